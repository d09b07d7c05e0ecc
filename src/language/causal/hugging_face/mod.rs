//! What Hugging Face folders say, in our terms: a configuration as versions 4 and 5 of `transformers` write it, and weights under
//! the names of each family.

pub mod config;
mod plan;
pub mod weights;

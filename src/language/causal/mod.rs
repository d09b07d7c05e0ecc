//! Causal language models of the families that are published as Hugging Face folders, behind one configuration: embedded
//! tokens in, hidden states and logits out, everything trainable.

pub mod rotary;
pub mod params;
pub mod tuning;
mod norm;
mod map;
mod block;
mod segments;
pub mod network;
pub mod padding;
pub mod next;
pub mod hugging_face;
#[cfg(test)]
pub(crate) mod tests;

/// What the names of a model's tensors begin with.
pub const NAME: &str = "language";

pub use network::Causal;
pub use params::CausalParams;

//! From counts to log-normalised expression: checks, quality, the split, normalisation, variable genes.
//!
//! Everything that is estimated from data takes the rows of the training cells; nothing here knows files or models.

pub mod counts;
pub mod labels;
pub mod split;
pub mod split_table;
pub mod folds;
pub mod quality;
pub mod normalize;
pub mod variable_genes;

//! From counts to log-normalised expression: checks, quality, the split, normalisation, variable genes.
//!
//! Everything that is estimated from data takes the rows of the training cells; nothing here knows files or models. What
//! looks at all counts takes them in blocks of rows and keeps numbers of genes or of cells only.

pub mod counts;
pub mod labels;
pub mod split;
pub mod split_table;
pub mod folds;
pub mod schemes;
mod median;
pub mod mitochondrial;
pub mod quality;
pub mod normalize;
pub mod gene_moments;
pub mod variable_genes;

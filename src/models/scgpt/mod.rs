//! scGPT for perturbations (Cui et al. 2024, doi 10.1038/s41592-024-02201-0), trained from scratch.
//!
//! A cell is a set of tokens, one for each gene: h_g = e(g) + v(x_g) + p [g is perturbed] + c, where e is an embedding of the
//! gene, v a perceptron on its log-normalised expression x_g (continuous, as the published program has it for perturbations;
//! it bins expression for other tasks only), p a vector that flags the genes which the condition perturbs, and c what is told
//! of the condition. A transformer in which every gene sees every other, without positions, takes the tokens of a control cell
//! to those of a perturbed one; a perceptron decodes each to a_g, b_g, and y_g = a_g x_g + b_g + m_g (the published affine
//! decoder, and a bias of the gene that starts at its mean). The loss is the mean squared error of y against a cell of the
//! condition that is paired with a control cell of the same covariates at random, as the loader of GEARS does.
//!
//! A step reads the same random genes of all its cells, as published. A prediction reads all of them in groups of as many.
//! The genes are those of the principal component analysis: cells are made as components, the projection of y.
//!
//! **What is made.** Pairs are random, so y tends to the mean of the condition given the control cell: cells of a condition
//! vary as far as their control cells foretell it, much less than real ones. Counts are drawn around them by the gene decoder.
//!
//! What is not as published: c. Perturbations here need not be genes, so a learned sum over the set of components and
//! covariates, free of order, stands beside the flag in every token, and so do the numbers of the estimate that flows are told
//! (`--no-inputs` leaves these away). Blocks normalise before, not after; gene and value embeddings are not normalised; weight
//! decay and learning rate as for all methods; no pretrained weights.

mod params;
mod panel;
mod pairs;
mod network;
mod kept;
mod objective;
mod fitted;
#[cfg(test)]
mod tests;

pub use fitted::Scgpt;
pub use objective::ScgptObjective;
pub use params::ScgptParams;

//! scGPT for perturbations (Cui et al. 2024, doi 10.1038/s41592-024-02201-0), from scratch or from published weights.
//!
//! A cell is a set of tokens, one for each gene: h_g = norm(e(g)) + norm(v(x_g)) + p [is g perturbed?] + c, where e is an embedding
//! of the gene, v a perceptron on its log-normalised expression x_g (continuous, as the published program has it for
//! perturbations; it bins expression for other tasks only), p one of two vectors that flag the genes which the condition perturbs,
//! and c what is told of the condition. A transformer in which every gene sees every other, without positions, takes the tokens of
//! a control cell to those of a perturbed one; its layers normalise afterwards, with rectified linear units. A perceptron of three
//! layers decodes each token to b_g, a_g, and y_g = b_g + a_g x_g + m_g, where m is a bias of the gene that starts at its mean. The
//! loss is the mean squared error of y against a cell of the condition that is paired with a control cell of the same covariates
//! at random, as the loader of GEARS does.
//!
//! A step reads the same random genes of all its cells, as published. A prediction reads all of them in groups of as many.
//! The genes are those of the principal component analysis: cells are made as components, the projection of y.
//!
//! **What is made.** Pairs are random, so y tends to the mean of the condition given the control cell: cells of a condition
//! vary as far as their control cells foretell it, much less than real ones. Counts are drawn around them by the gene decoder.
//!
//! **Pretrained weights** ([`Pretrained`]) are those of a published folder; `pretrained.rs` tells what is taken of it, and what
//! starts new or at zero. Before the first step, the network computes what PyTorch computes with the same weights.
//!
//! What is not as published: c, a_g and m_g. Perturbations here need not be genes, so a learned sum over the set of components and
//! covariates, free of order, stands beside the flag in every token, and so do the numbers of the estimate that flows are told
//! (`--no-inputs` leaves these away). There is no dropout, and no batch normalisation over the cells of a step before the
//! transformer, which the published perturbation model adds new; one that comes with weights stands still. Weight decay and
//! learning rate are as for all methods; pretrained tensors have neither decay nor the full rate.

mod params;
mod panel;
mod pairs;
mod network;
mod args;
mod vocabulary;
mod weights;
mod pretrained;
mod kept;
mod objective;
mod fitted;
#[cfg(test)]
mod tests;

pub use fitted::Scgpt;
pub use objective::ScgptObjective;
pub use params::ScgptParams;
pub use pretrained::{Pretrained, PretrainedFiles};
#[cfg(test)]
pub(crate) use {network::Network, network::Tokens, panel::Panel};

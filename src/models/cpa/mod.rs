//! CPA: the compositional perturbation autoencoder (Lotfollahi et al. 2023, doi 10.15252/msb.202211517) on counts.
//!
//! An encoder takes a cell, ln(1 + counts), to its basal state; the cell's latent is basal + Σ e_component + Σ e_covariate, with
//! an embedding for each perturbation and each value of a covariate; a decoder takes the latent to the law of the counts. Basal
//! states are to hold nothing of perturbation and covariates: adversaries predict these from the basal state, and the encoder
//! learns to mislead them. Cells of a condition are decoded from basal states of control cells with its covariates and the
//! embeddings of the condition. Beside these stands an affine map of an estimate of the condition's mean, the same that flows
//! are told (`--centre none` leaves it away: the published form). As embeddings add up, a combination that was never measured is the sum of its parts.
//!
//! Published: adversaries and autoencoder take steps in turn, each with its own optimiser; the adversaries' loss has a penalty
//! on the slope of their outputs by the basal state. Here both learn in every step from one loss, whose adversarial part passes
//! its slope to the encoder with the opposite sign (gradient reversal; Ganin et al. 2016, arXiv 1505.07818), which is the same
//! game with the steps of both taken at once. The penalty is the published one, in closed form, as an adversary has one hidden
//! layer. The law of counts is the negative binomial of [`super::counts`]; the first publication has a Gaussian on log1p values,
//! its authors' later program both. Where a screen has a component at several doses, its embedding is multiplied by a curve of
//! the dose that is learned for each component (`doses.rs`); elsewhere an embedding stands for the dose that was given.

mod params;
mod adversary;
mod doses;
mod network;
mod objective;
mod fitted;
#[cfg(test)]
mod tests;

pub use fitted::Cpa;
pub use objective::CpaObjective;
pub use params::CpaParams;

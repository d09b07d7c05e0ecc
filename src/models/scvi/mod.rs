//! scVI: a variational autoencoder of counts (Lopez et al. 2018, doi 10.1038/s41592-018-0229-2), told of the condition.
//!
//! z ~ N(0, I); ρ = softmax(decoder(z, s)); x_g ~ NB or ZINB(ℓ ρ_g, θ_g) with the observed library size ℓ, where s is the set
//! of codes of the condition: its components and the values of its covariates, each a 0 or 1 beside the numbers of every
//! layer, as scvi-tools has its categorical covariates. A condition has several components, so that a combination that was
//! never measured is a set like any other, free of order. Beside the codes stand the numbers of an estimate of the condition's
//! mean, the same that flows are told (`--centre none` leaves them away: the published form). q(z | x) = N(μ(x), σ²(x)) with the encoder on ln(1 + x); the loss is
//! −E_q ln p(x | z, s) + w KL(q(z | x) ‖ N(0, I)), w rising to 1.
//!
//! Cells of a condition are decoded from latents of control cells with its covariates (`--source control`, as scvi-tools
//! decodes under another batch with `transform_batch`), or from the prior (`--source noise`).
//!
//! What is not as in scvi-tools: layer instead of batch normalisation ([`super::counts::Stack`]); shares and dispersions of
//! genes start from a closed form; weight decay and learning rate as for all methods.

mod params;
mod network;
mod objective;
mod fitted;
#[cfg(test)]
mod tests;

pub use fitted::Scvi;
pub use objective::ScviObjective;
pub use params::ScviParams;

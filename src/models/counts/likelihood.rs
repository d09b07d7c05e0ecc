//! How likely counts are under what a network says of them.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::cells::Batch;
use super::composed::composed_loss;
use super::kernel::CountLoss;
use crate::Result;
use crate::language::kernels::is_fused;

/// The law of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CountLikelihood {
    /// Negative binomial.
    #[default]
    Nb,
    /// Negative binomial with more zeros.
    Zinb,
}

/// What a network says of the counts of some cells.
pub struct Outputs {
    /// Logarithms of the shares of genes, up to a constant for each cell, and one more where library sizes count other genes
    /// too: (n_cells, n_genes) or (n_cells, n_genes + 1).
    pub logits: Tensor,
    /// ln θ: (n_genes).
    pub log_inverse_dispersion: Tensor,
    /// Log odds of a zero beside those of the negative binomial, where there are such: (n_cells, n_genes).
    pub dropout: Option<Tensor>,
}

/// The mean of −ln p(count) over cells and genes: a scalar. `factor` multiplies the library sizes.
///
/// With μ = factor ℓ softmax(logits), NB: ln p(x) = ln Γ(x + θ) − ln Γ(θ) − ln x! + θ ln(θ / (θ + μ)) + x ln(μ / (θ + μ)).
/// ZINB: p(x) = π [x = 0] + (1 − π) NB(x), π = sigmoid(dropout) (scvi-tools' `NegativeBinomial` and
/// `ZeroInflatedNegativeBinomial`).
///
/// # Errors
/// [`crate::Error::Backend`] if the shapes do not fit.
pub fn negative_log_likelihood(outputs: &Outputs, batch: &Batch<'_>, factor: f32) -> Result<Tensor> {
    if !is_fused(&outputs.logits) {
        return composed_loss(outputs, batch, factor);
    }
    let (logits, size) = (outputs.logits.contiguous()?, &outputs.log_inverse_dispersion);
    let loss = CountLoss::new(batch.observed(), factor);
    Ok(match &outputs.dropout {
        None => logits.apply_op2(size, loss)?,
        Some(dropout) => logits.apply_op3(size, &dropout.contiguous()?, loss)?,
    })
}

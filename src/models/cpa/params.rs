//! The choices of a CPA.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::error::{refuse_below_zero, refuse_zero};
use crate::models::counts::CountLikelihood;
use crate::models::guide::Centre;

/// The choices of a CPA.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpaParams {
    /// The law of a count.
    pub likelihood: CountLikelihood,
    /// The estimate of a condition's mean that is told beside its codes; none tells codes only, as published.
    pub centre: Centre,
    /// Numbers of a basal state, and of embeddings.
    pub n_latent: usize,
    /// Numbers per hidden layer.
    pub width: usize,
    /// Hidden layers of the encoder, and of the decoder.
    pub n_layers: usize,
    /// Numbers of an adversary's hidden layer.
    pub adversary_width: usize,
    /// How much the encoder minds what the adversaries know; 0 lets it be.
    pub adversary: f64,
    /// The weight of the penalty on the adversaries' slopes.
    pub penalty: f64,
    /// Cells per training step.
    pub n_cells: usize,
}

impl Default for CpaParams {
    fn default() -> Self {
        Self {
            likelihood: CountLikelihood::Nb,
            centre: Centre::Interaction,
            n_latent: 32,
            width: 128,
            n_layers: 2,
            adversary_width: 64,
            adversary: 1.0,
            penalty: 3.0,
            n_cells: 128,
        }
    }
}

impl CpaParams {
    /// # Errors
    /// [`crate::Error::InvalidParameter`] for a value that cannot work.
    pub fn check(&self) -> Result<()> {
        refuse_zero([
            ("latent", self.n_latent),
            ("width", self.width),
            ("layers", self.n_layers),
            ("adversary-width", self.adversary_width),
            ("cells-per-step", self.n_cells),
        ])?;
        refuse_below_zero([("adversary", self.adversary), ("penalty", self.penalty)])
    }
}

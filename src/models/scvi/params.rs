//! The choices of an scVI.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::error::{refuse, refuse_zero};
use crate::models::counts::CountLikelihood;
use crate::models::guide::Centre;
use crate::models::source::Source;

/// The choices of an scVI; the sizes are scvi-tools' own but for a second layer, which told more conditions better.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScviParams {
    /// The law of a count.
    pub likelihood: CountLikelihood,
    /// The estimate of a condition's mean that is told beside its codes; none tells codes only, as published.
    pub centre: Centre,
    /// What cells of a condition are decoded from: latents of control cells, or the prior.
    pub source: Source,
    /// Numbers of a latent.
    pub n_latent: usize,
    /// Numbers per hidden layer.
    pub width: usize,
    /// Hidden layers of the encoder, and of the decoder.
    pub n_layers: usize,
    /// The probability with which a number of the encoder's layers is left out in training.
    pub dropout: f32,
    /// The share of the steps over which the weight of the divergence rises from zero to one.
    pub warm_up: f64,
    /// Cells per training step.
    pub n_cells: usize,
}

impl Default for ScviParams {
    fn default() -> Self {
        Self {
            likelihood: CountLikelihood::Nb,
            centre: Centre::Interaction,
            source: Source::Noise,
            n_latent: 10,
            width: 128,
            n_layers: 2,
            dropout: 0.1,
            warm_up: 0.3,
            n_cells: 128,
        }
    }
}

impl ScviParams {
    /// The weight of the divergence when a share of the steps is done.
    pub fn divergence_weight(&self, done: f64) -> f64 {
        if self.warm_up > 0.0 { (done / self.warm_up).min(1.0) } else { 1.0 }
    }

    /// # Errors
    /// [`crate::Error::InvalidParameter`] for a value that cannot work.
    pub fn check(&self) -> Result<()> {
        refuse_zero([
            ("latent", self.n_latent),
            ("width", self.width),
            ("layers", self.n_layers),
            ("cells-per-step", self.n_cells),
        ])?;
        if !(0.0..1.0).contains(&self.dropout) {
            return refuse("dropout", self.dropout, "it must be zero or above, and below one");
        }
        if !(0.0..=1.0).contains(&self.warm_up) {
            return refuse("warm-up", self.warm_up, "it must be between 0 and 1");
        }
        Ok(())
    }
}

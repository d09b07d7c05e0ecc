//! The settings of a fit.

use crate::{Error, Result};

/// How a [`super::GeneDecoder`] is fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneDecoderParams {
    /// The scale of the log1p expression from which the principal components were made: counts per cell.
    pub target_sum: f64,
    /// The seed of the order of the minibatches.
    pub seed: u64,
    /// Optimizer steps; 300 and 500 gave the same calibration on real screens of 2k to 3k cells.
    pub steps: usize,
    /// Cells per step.
    pub minibatch: usize,
    /// Peak step size of Adam, on components scaled to unit standard deviation.
    pub learning_rate: f64,
}

impl Default for GeneDecoderParams {
    fn default() -> Self {
        Self { target_sum: 1e4, seed: 0, steps: 300, minibatch: 128, learning_rate: 5e-3 }
    }
}

impl GeneDecoderParams {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] naming the setting that cannot work.
    pub fn check(&self) -> Result<()> {
        let invalid = |name: &str, value: String, reason: &str| {
            Err(Error::InvalidParameter { name: name.into(), value, reason: reason.into() })
        };
        if !(self.target_sum > 0.0 && self.target_sum.is_finite()) {
            return invalid("target_sum", self.target_sum.to_string(), "it must be a positive number of counts");
        }
        if self.steps == 0 {
            return invalid("steps", "0".into(), "at least one step is needed");
        }
        if self.minibatch == 0 {
            return invalid("minibatch", "0".into(), "a step needs at least one cell");
        }
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            return invalid("learning_rate", self.learning_rate.to_string(), "it must be positive");
        }
        Ok(())
    }
}

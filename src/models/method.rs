//! The door that every method comes through: what it does while it is fitted, and afterwards.

use std::collections::HashMap;

use candle_core::Tensor;
use ndarray::Array2;

use super::guide::Guide;
use super::reader::Reader;
use crate::Result;
use crate::conditions::Condition;
use crate::error::refuse;
use crate::flow::Solver;
use crate::training::Objective;
use crate::training::optimizer::Slot;

/// How cells are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draws {
    /// Scales the spread of every draw; 1 is the fitted law.
    pub temperature: f32,
    /// How far from the law of all conditions to that of the condition; 1 is the condition's, more exaggerates it.
    pub guidance: f32,
    /// How far the cells' mean and spread are drawn from the flow's own (0) towards the estimate of the condition's mean and
    /// the spread of its controls (1); the method's own choice if absent.
    pub anchor: Option<f32>,
    /// How a velocity is followed; the method's own way if absent.
    pub solver: Option<Solver>,
}

impl Default for Draws {
    fn default() -> Self {
        Self { temperature: 1.0, guidance: 1.0, anchor: None, solver: None }
    }
}

impl Draws {
    /// # Errors
    /// [`Error::InvalidParameter`] for a value that cannot work.
    pub fn check(&self) -> Result<()> {
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return refuse("temperature", self.temperature, "it must be zero or above");
        }
        if !self.guidance.is_finite() {
            return refuse("guidance", self.guidance, "it must be finite");
        }
        if let Some(anchor) = self.anchor.filter(|anchor| !(0.0..=1.0).contains(anchor)) {
            return refuse("anchor", anchor, "it must be between 0 and 1");
        }
        self.solver.map_or(Ok(()), Solver::check)
    }

    /// Fails if cells are to be drawn towards an estimate that is not there.
    pub(super) fn check_anchor(&self, method: &str, guide: &Guide) -> Result<()> {
        match self.anchor {
            Some(anchor) if anchor > 0.0 && !guide.has_estimates() => refuse(
                "anchor",
                anchor,
                &format!("this `{method}` has no estimate of a condition's mean; fit it with --centre interaction"),
            ),
            _ => Ok(()),
        }
    }

    /// Fails if guidance is asked of a method that was fitted without hidden conditions.
    pub(super) fn check_guidance(&self, method: &str, condition_dropout: f64) -> Result<()> {
        if self.guidance == 1.0 || condition_dropout > 0.0 {
            return Ok(());
        }
        let reason = format!("this `{method}` never saw a hidden condition; fit it with --condition-dropout 0.1");
        refuse("guidance", self.guidance, &reason)
    }
}

/// A method that is being fitted.
pub trait Fitting: Objective {
    /// The trainable tensors.
    fn slots(&self) -> Vec<Slot>;

    /// What the method reads of conditions.
    fn reader(&self) -> &Reader;

    /// The model as it is now, for generation.
    ///
    /// # Errors
    /// [`Error::BadValues`] if a weight is not finite.
    fn model(&self) -> Result<Box<dyn FittedMethod>>;
}

/// A fitted method: cells of any condition as principal components.
pub trait FittedMethod: Send + Sync {
    /// The name by which the method is asked for.
    fn name(&self) -> &'static str;

    /// Its choices, for a file.
    ///
    /// # Errors
    /// [`Error::Backend`] if they cannot be written.
    fn params(&self) -> Result<serde_json::Value>;

    /// What it reads of conditions.
    fn reader(&self) -> &Reader;

    /// Its weights.
    fn tensors(&self) -> &HashMap<String, Tensor>;

    /// Generates cells of one condition as principal components: (n_cells, n_dims).
    ///
    /// # Errors
    /// [`Error::UnknownName`] if a component or the covariates never occurred in training; those of [`Draws::check`].
    fn generate(&self, condition: &Condition, n_cells: usize, draws: Draws, seed: u64) -> Result<Array2<f32>>;
}

//! The door that every method comes through: what it does while it is fitted, and afterwards.

use ndarray::Array2;
use serde::Serialize;

use super::described::Strength;
use super::guide::Guide;
use super::record::Record;
use super::reference::Choice;
use crate::cells::SparseMatrix;
use crate::conditions::Condition;
use crate::conditions::descriptions::Descriptions;
use crate::embedding::pca::Pca;
use crate::error::refuse;
use crate::flow::Solver;
use crate::preprocess::normalize::log_normalize;
use crate::training::Objective;
use crate::training::optimizer::Slot;
use crate::{Error, Result};

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
    /// [`crate::Error::InvalidParameter`] for a value that cannot work.
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

/// A method that has met the training cells.
pub enum Begun {
    /// It is to be trained by gradients.
    Training(Box<dyn Fitting>),
    /// It is a closed form, and ready.
    Fitted(Box<dyn FittedMethod>),
}

/// A method that is being fitted by gradients: [`Objective`] is its loss.
pub trait Fitting: Objective {
    /// The trainable tensors.
    fn slots(&self) -> Vec<Slot>;

    /// The rule of combination that it rests on, where there is one.
    fn choice(&self) -> Option<&Choice> {
        None
    }

    /// How strongly it trusts descriptions of components, where it has some.
    fn strength(&self) -> Option<&Strength> {
        None
    }

    /// What it starts from, in words, where it does not start from nothing.
    fn origin(&self) -> Option<String> {
        None
    }

    /// The model as it is now, for generation.
    ///
    /// # Errors
    /// [`crate::Error::BadValues`] if a weight is not finite.
    fn model(&self) -> Result<Box<dyn FittedMethod>>;
}

/// A fitted method: cells of any condition.
///
/// A method either makes principal components, from which the gene decoder draws counts, or counts of its own, from which
/// components follow by normalising, log1p and projecting ([`Made`]). A flow is a [`super::fitted_flow::FittedFlow`].
pub trait FittedMethod: Send + Sync {
    /// The name by which the method is asked for.
    fn name(&self) -> &'static str;

    /// Its choices, for a file.
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if they cannot be written.
    fn params(&self) -> Result<serde_json::Value>;

    /// Everything else that [`super::registry::restore`] needs to put it together again.
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if something cannot be written.
    fn record(&self) -> Result<Record>;

    /// What it makes.
    fn makes(&self) -> Makes {
        Makes::Components
    }

    /// The sentence in which it is told of conditions, where it reads one.
    fn prompt(&self) -> Option<&str> {
        None
    }

    /// What it reads when cells of a condition are asked for: the sentence, and its tokens.
    ///
    /// # Errors
    /// Those of the tokenizer.
    fn told(&self, _condition: &Condition) -> Result<Option<(String, Vec<u32>)>> {
        Ok(None)
    }

    /// The rule of combination that it rests on, where there is one.
    fn choice(&self) -> Option<&Choice> {
        None
    }

    /// How strongly it trusts descriptions of components, where it has some.
    fn strength(&self) -> Option<&Strength> {
        None
    }

    /// Fails if it can say nothing of a component that no training cell had, whatever is said of it.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] with the reason.
    fn check_unseen(&self) -> Result<()> {
        let reason = format!(
            "method `{}` knows each component by a place of its own, and has none for others; fit an additive, a shift or a \
             flow with --descriptions",
            self.name()
        );
        refuse("allow-unseen", "given", &reason)
    }

    /// What is said of components, where it can be told; more may be added.
    fn descriptions(&self) -> Option<&Descriptions> {
        None
    }

    /// Takes descriptions of components, also of such that no training cell had: [`Self::make`] then makes cells of these.
    ///
    /// # Errors
    /// [`Error::BadValues`] if a component has another text already; those of [`Self::check_unseen`] where it reads none.
    fn describe(&mut self, _descriptions: &Descriptions) -> Result<()> {
        self.check_unseen()
    }

    /// The number of different control cells that cells of a condition are made from; none if each starts from a draw of its
    /// own, or from nothing at all. Where more cells are asked for, control cells are taken again.
    fn n_sources(&self, _condition: &Condition) -> Option<usize> {
        None
    }

    /// Makes the cells that are asked for.
    ///
    /// # Errors
    /// [`crate::Error::UnknownName`] if a component or the covariates never occurred in training; those of [`Draws::check`];
    /// [`crate::Error::InvalidParameter`] for a way of drawing that the method does not have.
    fn make(&self, asked: &Asked) -> Result<Made>;
}

/// The document of what is said of components.
pub(super) const DESCRIPTIONS: &str = "descriptions.json";

/// Refuses a component that no training cell had where descriptions could tell of it, but none were given.
pub(super) fn refuse_undescribed<T>(method: &str) -> Result<T> {
    let reason = format!("this `{method}` was fitted without descriptions; fit it with --descriptions FILE.csv");
    refuse("allow-unseen", "given", &reason)
}

/// The choices of a method, for a file.
pub(super) fn written(params: &impl Serialize) -> Result<serde_json::Value> {
    serde_json::to_value(params).map_err(|source| Error::backend("writing the choices of a model", source))
}

/// What is asked of a fitted method: cells of one condition.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The condition.
    pub condition: &'a Condition,
    /// How many cells.
    pub n_cells: usize,
    /// Library sizes of training cells with the same covariates, one drawn for each cell that is asked for: (n_cells). A
    /// method that makes counts gives its cells so many, or draws sizes of its own.
    pub library_sizes: &'a [f64],
    /// How they are drawn.
    pub draws: Draws,
    /// Seed of everything drawn.
    pub seed: u64,
}

/// What a method makes cells as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Makes {
    /// Principal components.
    Components,
    /// Counts of genes.
    Counts,
}

/// Cells of one condition as a method makes them.
#[derive(Debug, Clone)]
pub enum Made {
    /// Principal components: (n_cells, n_components).
    Components(Array2<f32>),
    /// Counts with what they are normalised by.
    Counts {
        /// (n_cells, n_genes), genes as in the prepared screen.
        counts: SparseMatrix,
        /// (n_cells), on the scale of the screen's library sizes.
        library_sizes: Vec<f64>,
    },
}

impl Made {
    /// The cells as principal components: (n_cells, n_components).
    ///
    /// # Errors
    /// Those of [`project`].
    pub fn into_components(self, pca: &Pca, target_sum: f64) -> Result<Array2<f32>> {
        match self {
            Self::Components(points) => Ok(points),
            Self::Counts { counts, library_sizes } => project(&counts, &library_sizes, pca, target_sum),
        }
    }
}

/// Counts as principal components, by normalising, log1p and projecting: (n_cells, n_genes) → (n_cells, n_components).
///
/// # Errors
/// [`crate::Error::ShapeMismatch`] if there are other genes.
pub fn project(counts: &SparseMatrix, library_sizes: &[f64], pca: &Pca, target_sum: f64) -> Result<Array2<f32>> {
    pca.transform(&log_normalize(counts, library_sizes, target_sum))
}

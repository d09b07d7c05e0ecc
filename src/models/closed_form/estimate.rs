//! Which closed form tells the mean, and what it was fitted to.

use std::collections::BTreeMap;

use ndarray::{Array1, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::conditions::Condition;
use crate::models::reference::{Choice, Effects, InteractionEffects, Linear};

/// The methods in closed form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClosedForm {
    /// Every cell is the mean of the control cells with the same covariates.
    ControlMean,
    /// Every cell is the mean of all perturbed cells with the same covariates
    /// ([`Effects::perturbed_mean_or_elsewhere`]).
    PerturbedMean,
    /// Every cell is control + Σ δ.
    Additive,
    /// Every cell is the mean that the ridge regression on factors tells ([`Linear`]).
    Linear,
    /// Control cells, moved by Σ δ.
    AdditiveShift,
    /// Control cells, moved by shrunk effects and an interaction ([`InteractionEffects`]).
    InteractionShift,
}

impl ClosedForm {
    /// The name by which the method is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::ControlMean => "control-mean",
            Self::PerturbedMean => "perturbed-mean",
            Self::Additive => "additive",
            Self::Linear => "linear",
            Self::AdditiveShift => "additive-shift",
            Self::InteractionShift => "interaction-shift",
        }
    }

    /// True if it adds effects of components up, which descriptions can tell.
    pub fn reads_descriptions(self) -> bool {
        !matches!(self, Self::ControlMean | Self::PerturbedMean)
    }

    /// True if control cells are moved; otherwise all cells are alike.
    pub fn is_shift(self) -> bool {
        matches!(self, Self::AdditiveShift | Self::InteractionShift)
    }
}

/// What the closed forms are fitted to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fit {
    Effects(Effects),
    Linear(Linear),
    Interaction(Box<InteractionEffects>),
}

impl Fit {
    /// Fits to training cells.
    ///
    /// **Shapes** `cells`: (n_cells, n_dims); one condition per cell.
    ///
    /// # Errors
    /// Those of [`Effects::fit`], [`Linear::fit`] and [`InteractionEffects::fit`].
    pub(super) fn to(form: ClosedForm, cells: ArrayView2<f32>, conditions: &[Condition], seed: u64) -> Result<Self> {
        Ok(match form {
            ClosedForm::Linear => Self::Linear(Linear::fit(cells, conditions)?),
            ClosedForm::InteractionShift => {
                Self::Interaction(Box::new(InteractionEffects::fit(cells, conditions, seed)?))
            }
            ClosedForm::ControlMean | ClosedForm::PerturbedMean | ClosedForm::Additive | ClosedForm::AdditiveShift => {
                Self::Effects(Effects::fit(cells, conditions, &vec![true; conditions.len()])?)
            }
        })
    }

    /// The mean of the control cells with the covariates of a condition, and that of the condition: (n_dims) each.
    ///
    /// # Errors
    /// [`crate::Error::UnknownName`] if the covariates or a component never occurred in training.
    pub(super) fn means(&self, form: ClosedForm, condition: &Condition) -> Result<[Array1<f32>; 2]> {
        let covariates = &condition.covariates;
        match self {
            Self::Effects(effects) => {
                let control = effects.control_mean(covariates)?;
                let mean = match form {
                    ClosedForm::PerturbedMean if !condition.perturbation.is_control() => {
                        effects.perturbed_mean_or_elsewhere(covariates)?
                    }
                    ClosedForm::Additive | ClosedForm::AdditiveShift => effects.additive(condition)?,
                    _ => control.clone(),
                };
                Ok([control, mean])
            }
            Self::Linear(linear) => Ok([linear.effects().control_mean(covariates)?, linear.estimate(condition)?]),
            Self::Interaction(interactions) => {
                let parts = interactions.parts(condition)?;
                let mean = parts.mean();
                Ok([parts.control, mean])
            }
        }
    }

    /// The effects of components that were measured alone: component → (n_dims).
    pub(super) fn singles(&self) -> BTreeMap<String, Array1<f32>> {
        match self {
            Self::Effects(effects) => effects.singles(),
            Self::Linear(linear) => linear.effects().singles(),
            Self::Interaction(interactions) => interactions.singles(),
        }
    }

    /// Takes an effect for a component that no training cell had; a known one keeps its own.
    pub(super) fn introduce(&mut self, component: &str, effect: Array1<f32>) {
        match self {
            Self::Effects(effects) => effects.introduce(component, effect),
            Self::Linear(linear) => linear.introduce(component, effect),
            Self::Interaction(interactions) => interactions.introduce(component, &effect),
        }
    }

    /// The rule of combination in use, where there is one.
    pub(super) fn choice(&self) -> Option<&Choice> {
        match self {
            Self::Interaction(interactions) => Some(interactions.choice()),
            Self::Effects(_) | Self::Linear(_) => None,
        }
    }
}

//! What simple methods would have generated.

use ndarray::{Array1, Axis};

use super::distances::choose;
use super::offer::{Expression, Offer};
use crate::conditions::Condition;
use crate::models::reference::Effects;
use crate::prepared::Prepared;
use crate::{Error, Result};

/// The simple methods, fitted on the training cells of a prepared screen.
///
/// Each takes training control cells of the same covariates as they are and moves all of them by one vector: none
/// (`control_mean`), the mean effect of all perturbations (`perturbed_mean`), or the sum of the components' own effects
/// (`additive`; Ahlmann-Eltze et al. 2025, Nature Methods).
pub struct Baselines<'a> {
    truth: &'a Prepared,
    embedded: Effects,
    expressed: Effects,
}

impl<'a> Baselines<'a> {
    /// The methods' names, in the order of the tables.
    pub const NAMES: [&'static str; 3] = ["control_mean", "perturbed_mean", "additive"];

    /// Takes the means over training cells, in principal components and in genes.
    ///
    /// # Errors
    /// Those of [`Effects::fit`].
    pub fn fit(truth: &'a Prepared) -> Result<Self> {
        let rows = truth.training_rows();
        let conditions: Vec<Condition> = rows.iter().map(|&row| truth.conditions[row].clone()).collect();
        let training = vec![true; rows.len()];
        let expression = truth.cells.x.select_rows(&rows).to_dense();
        let embedding = truth.embedding().select(Axis(0), &rows);
        Ok(Self {
            truth,
            embedded: Effects::fit(embedding.view(), &conditions, &training)?,
            expressed: Effects::fit(expression.view(), &conditions, &training)?,
        })
    }

    /// The mean expression of the training control cells with the condition's covariates: (n_genes).
    ///
    /// # Errors
    /// [`Error::UnknownName`] if there are none.
    pub fn control_means(&self, condition: &Condition) -> Result<Vec<f64>> {
        Ok(widen(&self.expressed.control_mean(&condition.covariates)?))
    }

    /// The mean expression of all perturbed training cells with the condition's covariates: (n_genes).
    ///
    /// # Errors
    /// [`Error::UnknownName`] if there are none.
    pub fn perturbed_means(&self, condition: &Condition) -> Result<Vec<f64>> {
        Ok(widen(&self.expressed.perturbed_mean(&condition.covariates)?))
    }

    /// At most `n` cells of the method `name`, drawn without replacement.
    ///
    /// # Errors
    /// [`Error::UnknownName`] if the covariates, a component or the method is not known.
    pub fn offer(&self, name: &str, condition: &Condition, n: usize, seed: u64) -> Result<Offer> {
        let estimate = |effects: &Effects| match name {
            "control_mean" => effects.control_mean(&condition.covariates),
            "perturbed_mean" => effects.perturbed_mean(&condition.covariates),
            "additive" => effects.additive(condition),
            _ => Err(Error::UnknownName {
                what: "method".into(),
                name: name.into(),
                place: "the baselines".into(),
                nearest: Self::NAMES.map(String::from).to_vec(),
            }),
        };
        let shift = estimate(&self.embedded)? - self.embedded.control_mean(&condition.covariates)?;
        let means = estimate(&self.expressed)?;
        let change = &means - self.expressed.control_mean(&condition.covariates)?;
        let controls = self.control_rows(condition);
        let rows: Vec<usize> = choose(controls.len(), n, seed).into_iter().map(|chosen| controls[chosen]).collect();
        let x = self.truth.cells.x.select_rows(&rows);
        Ok(Offer {
            points: self.truth.embedding().select(Axis(0), &rows) + &shift,
            means: widen(&means),
            expression: Expression { x, shift: Some(change.to_vec()) },
        })
    }

    /// The training control cells with the condition's covariates.
    pub fn control_rows(&self, condition: &Condition) -> Vec<usize> {
        let fits = |other: &Condition| other.perturbation.is_control() && other.covariates == condition.covariates;
        self.truth.training_rows().into_iter().filter(|&row| fits(&self.truth.conditions[row])).collect()
    }
}

fn widen(means: &Array1<f32>) -> Vec<f64> {
    means.iter().map(|&mean| f64::from(mean)).collect()
}

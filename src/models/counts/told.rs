//! What a network is told of a condition: its codes, its doses, and in numbers where its cells should lie on average.

use candle_core::{Device, Tensor};
use ndarray::ArrayView2;

use super::codes::Codes;
use crate::Result;
use crate::conditions::Condition;
use crate::conditions::descriptions::Descriptions;
use crate::models::coordinates::Coordinates;
use crate::models::guide::{Centre, Guide};
use crate::models::reference::Choice;

/// Codes, the numbers of doses where there are some, and a guide whose inputs stand after them, unless a network is told codes
/// and doses only.
#[derive(Debug, Clone)]
pub struct Told {
    /// Components and covariates.
    pub codes: Codes,
    /// The estimate of a condition's mean in principal components, the same that flows are told.
    pub guide: Option<Guide>,
}

impl Told {
    /// Fits both to training cells; without an estimate ([`Centre::None`]) codes are all.
    ///
    /// **Shapes** `embedding`: (n_cells, n_dims); one condition per cell.
    ///
    /// # Errors
    /// Those of [`Guide::fit`].
    pub fn fit(embedding: ArrayView2<f32>, conditions: &[Condition], centre: Centre, seed: u64) -> Result<Self> {
        let guide = match centre {
            Centre::None => None,
            _ => Some(Guide::fit(
                embedding,
                conditions,
                centre,
                Coordinates::Scaled,
                &Descriptions::default(),
                None,
                seed,
            )?),
        };
        Ok(Self { codes: Codes::fit(conditions), guide })
    }

    /// The rule of combination that the estimate rests on, where one is told.
    pub fn choice(&self) -> Option<&Choice> {
        self.guide.as_ref().and_then(Guide::choice)
    }

    /// Numbers in all.
    pub fn n_numbers(&self) -> usize {
        self.codes.n() + self.codes.doses().n() + self.guide.as_ref().map_or(0, Guide::n_inputs)
    }

    /// What is told of a condition in generation: (n_numbers).
    ///
    /// # Errors
    /// [`crate::Error::UnknownName`] if a component or the covariates never occurred in training.
    pub fn numbers(&self, condition: &Condition) -> Result<Vec<f32>> {
        let mut numbers = self.multi_hot(condition)?;
        if let Some(guide) = &self.guide {
            numbers.extend(guide.view(condition)?.inputs);
        }
        Ok(numbers)
    }

    /// All that is told of a training condition, one or the other at random: (n_numbers) each. An estimate is met as if the
    /// condition had not been measured, too ([`Guide::training_views`]).
    ///
    /// # Errors
    /// As [`Self::numbers`].
    pub fn training_numbers(&self, condition: &Condition) -> Result<Vec<Vec<f32>>> {
        let codes = self.multi_hot(condition)?;
        let Some(guide) = &self.guide else { return Ok(vec![codes]) };
        let views = guide.training_views(condition)?.into_iter();
        Ok(views.map(|view| codes.iter().copied().chain(view.inputs).collect()).collect())
    }

    /// Codes, 0 or 1, then doses.
    fn multi_hot(&self, condition: &Condition) -> Result<Vec<f32>> {
        let mut hot = vec![0.0; self.codes.n()];
        self.codes.of(condition)?.into_iter().for_each(|code| hot[code as usize] = 1.0);
        hot.extend(self.codes.doses().numbers(condition));
        Ok(hot)
    }
}

/// The same numbers for each of some cells: (n_cells, n_numbers).
///
/// # Errors
/// [`crate::Error::Backend`] if the tensor cannot be made.
pub(super) fn repeated(numbers: &[f32], n_cells: usize, device: &Device) -> Result<Tensor> {
    Ok(Tensor::from_vec(numbers.repeat(n_cells), (n_cells, numbers.len()), device)?)
}

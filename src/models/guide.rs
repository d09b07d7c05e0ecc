//! What a flow is told about a condition besides its prompt: where its cells should lie on average.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2, ArrayView2, Axis, concatenate};
use serde::{Deserialize, Serialize};

use super::reference::Effects;
use crate::conditions::Condition;
use crate::{Error, Result};

/// What cells are measured from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Centre {
    /// The mean of all training cells, the same for every condition; nothing but the prompt tells conditions apart.
    None,
    /// The additive estimate control + Σ δ of the condition, which is also given to the network as numbers.
    Additive,
}

/// Turns principal components into the numbers that a flow works on, and back.
///
/// z = (x − centre(condition)) / scale, per component; the scale is the standard deviation of training cells around
/// their centres, so that a flow from N(0, I) starts near its goal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Guide {
    centre: Centre,
    effects: Effects,
    #[serde(with = "numbers")]
    mean: Array1<f32>,
    #[serde(with = "numbers")]
    spread: Array1<f32>,
    #[serde(with = "numbers")]
    scale: Array1<f32>,
}

/// Arrays as lists, for a file.
mod numbers {
    use ndarray::Array1;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(array: &Array1<f32>, serializer: S) -> Result<S::Ok, S::Error> {
        array.to_vec().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Array1<f32>, D::Error> {
        Vec::deserialize(deserializer).map(Array1::from_vec)
    }
}

impl Guide {
    /// Fits the guide to training cells.
    ///
    /// **Shapes** `embedding`: (n_cells, n_dims); one condition per cell.
    ///
    /// # Errors
    /// Those of [`Effects::fit`]; [`Error::TooFew`] with fewer than two cells.
    pub fn fit(embedding: ArrayView2<f32>, conditions: &[Condition], centre: Centre) -> Result<Self> {
        let n_cells = embedding.nrows();
        if n_cells < 2 {
            return Err(Error::TooFew {
                what: "training cells".into(),
                needed: 2,
                got: n_cells,
                hint: "hold out fewer conditions".into(),
            });
        }
        let effects = Effects::fit(embedding, conditions, &vec![true; n_cells])?;
        let wide = embedding.mapv(f64::from);
        let mean = wide.mean_axis(Axis(0)).unwrap_or_default().mapv(|value| value as f32);
        let positive = |value: f64| if value > 0.0 { value as f32 } else { 1.0 };
        let spread = wide.std_axis(Axis(0), 0.0).mapv(positive);
        let mut guide = Self { centre, effects, mean, scale: spread.clone(), spread };
        if centre == Centre::Additive {
            let mut squares = Array1::<f64>::zeros(embedding.ncols());
            let mut centres = BTreeMap::new();
            for (row, condition) in embedding.rows().into_iter().zip(conditions) {
                if !centres.contains_key(condition) {
                    centres.insert(condition, guide.centre(condition)?);
                }
                let gap = &row - &centres[condition];
                squares.zip_mut_with(&gap, |sum, &gap| *sum += f64::from(gap).powi(2));
            }
            guide.scale = squares.mapv(|sum| positive((sum / n_cells as f64).sqrt()));
        }
        Ok(guide)
    }

    /// Number of components of a cell.
    pub fn n_dims(&self) -> usize {
        self.mean.len()
    }

    /// Number of numbers that describe a condition.
    pub fn n_inputs(&self) -> usize {
        match self.centre {
            Centre::None => 0,
            Centre::Additive => 2 * self.n_dims(),
        }
    }

    /// The point that a condition's cells are measured from: (n_dims).
    ///
    /// # Errors
    /// [`Error::UnknownName`] if the covariates or a component never occurred in training.
    pub fn centre(&self, condition: &Condition) -> Result<Array1<f32>> {
        match self.centre {
            Centre::None => Ok(self.mean.clone()),
            Centre::Additive => self.effects.additive(condition),
        }
    }

    /// The condition in numbers, the additive estimate and its distance from the control, in units of the spread of all
    /// training cells: (n_inputs).
    ///
    /// # Errors
    /// Those of [`Self::centre`].
    pub fn inputs(&self, condition: &Condition) -> Result<Array1<f32>> {
        if self.centre == Centre::None {
            return Ok(Array1::zeros(0));
        }
        let estimate = self.effects.additive(condition)?;
        let effect = &estimate - &self.effects.control_mean(&condition.covariates)?;
        let parts = [(&estimate - &self.mean) / &self.spread, effect / &self.spread];
        concatenate(Axis(0), &[parts[0].view(), parts[1].view()])
            .map_err(|source| Error::backend("joining the inputs of a condition", source))
    }

    /// Principal components → flow coordinates: (n_cells, n_dims) → the same.
    ///
    /// # Errors
    /// Those of [`Self::centre`].
    pub fn standardise(&self, embedding: ArrayView2<f32>, condition: &Condition) -> Result<Array2<f32>> {
        Ok((&embedding - &self.centre(condition)?) / &self.scale)
    }

    /// Flow coordinates → principal components: (n_cells, n_dims) → the same.
    ///
    /// # Errors
    /// Those of [`Self::centre`].
    pub fn restore(&self, points: ArrayView2<f32>, condition: &Condition) -> Result<Array2<f32>> {
        Ok(&points * &self.scale + &self.centre(condition)?)
    }
}

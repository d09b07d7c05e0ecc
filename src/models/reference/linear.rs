//! The linear estimate: ridge regression of changes on factors of genes and of perturbations.

use std::collections::BTreeMap;

use faer::Mat;
use ndarray::{Array1, Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::algebra::solve;
use super::effects::Effects;
use crate::conditions::Condition;
use crate::embedding::pca::eigen;
use crate::{Error, Result};

/// Factors at most (Ahlmann-Eltze et al. 2025).
const N_FACTORS: usize = 10;
/// The penalty on both sides (Ahlmann-Eltze et al. 2025).
const RIDGE: f64 = 0.1;
/// A factor with a smaller share of the largest variance than this is rounding error.
const LEAST_VARIANCE: f64 = 1e-12;

/// The linear model of Ahlmann-Eltze, Huber and Anders (2025, Nature Methods, "linear").
///
/// Y ≈ G·W·P + b, W = (GᵀG + λ)⁻¹·Gᵀ·(Y − b)·Pᵀ·(P·Pᵀ + λ)⁻¹, λ = 0.1. A column of Y is the mean change of a training
/// condition from the control cells of its covariates (zero for a control), b the mean of the columns, G the ten leading
/// principal components of Y − b, times their singular values.
///
/// In the paper a column of P is the row of G that belongs to the targeted gene, which a drug or a cytokine does not have.
/// Here it is the change that the perturbation alone makes ([`Effects`]) along the ten components; as in the paper, the
/// factors of a combination are the sum of those of its parts, and zero for a control. Rows of Y are principal components
/// of expression instead of genes: a rotation, which changes nothing but that the rest is cut off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    effects: Effects,
    /// b: (n_dims).
    intercept: Vec<f32>,
    /// The directions of the factors: a list of (n_dims) for each.
    directions: Vec<Vec<f32>>,
    /// G·W: for each factor of a perturbation what it does, (n_dims).
    responses: Vec<Vec<f32>>,
}

impl Linear {
    /// Fits the model to training cells.
    ///
    /// **Shapes** `cells`: (n_cells, n_dims), in principal components; one condition per cell.
    ///
    /// # Errors
    /// Those of [`Effects::fit`]; [`Error::TooFew`] if no perturbation differs from the others.
    pub fn fit(cells: ArrayView2<f32>, conditions: &[Condition]) -> Result<Self> {
        let effects = Effects::fit(cells, conditions, &vec![true; conditions.len()])?;
        let (of, changes) = changes(cells, conditions, &effects)?; // (n_conditions, n_dims)
        let intercept = changes.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(cells.ncols()));
        let centred = (&changes - &intercept).reversed_axes(); // (n_dims, n_conditions)
        let (directions, squares) = leading(&centred)?;
        let factors = of
            .iter()
            .map(|condition| Ok(directions.t().dot(&effect(&effects, condition)?)))
            .collect::<Result<Vec<Array1<f64>>>>()?;
        let factors = Array2::from_shape_fn((squares.len(), of.len()), |(k, column)| factors[column][k]);
        // With G = U·S the normal equations on the left are diagonal: G·(GᵀG + λ)⁻¹·Gᵀ = U·diag(s² / (s² + λ))·Uᵀ.
        let shares = squares.mapv(|square| square / (square + RIDGE));
        let mut gram = factors.dot(&factors.t());
        gram.diag_mut().mapv_inplace(|value| value + RIDGE);
        let right = directions.t().dot(&centred).dot(&factors.t()) * &shares.insert_axis(Axis(1));
        let weights = solve(gram.view(), right.t())?; // transposed, as the right side: (n_factors, n_factors)
        let responses = directions.dot(&weights.t());
        let columns = |matrix: &Array2<f64>| -> Vec<Vec<f32>> {
            matrix.columns().into_iter().map(|column| column.iter().map(|&value| value as f32).collect()).collect()
        };
        Ok(Self {
            intercept: intercept.iter().map(|&value| value as f32).collect(),
            directions: columns(&directions),
            responses: columns(&responses),
            effects,
        })
    }

    /// The mean of a condition: (n_dims).
    ///
    /// # Errors
    /// [`Error::UnknownName`] if the covariates or a component never occurred in training.
    pub fn estimate(&self, condition: &Condition) -> Result<Array1<f32>> {
        let effect = effect(&self.effects, condition)?;
        let mut mean = self.effects.control_mean(&condition.covariates)?.mapv(f64::from);
        mean.iter_mut().zip(&self.intercept).for_each(|(mean, value)| *mean += f64::from(*value));
        for (direction, response) in self.directions.iter().zip(&self.responses) {
            let factor: f64 = direction.iter().zip(&effect).map(|(one, other)| f64::from(*one) * other).sum();
            mean.iter_mut().zip(response).for_each(|(mean, value)| *mean += factor * f64::from(*value));
        }
        Ok(mean.mapv(|value| value as f32))
    }

    /// The means of control cells, and the effects of single components.
    pub fn effects(&self) -> &Effects {
        &self.effects
    }

    /// Takes an effect for a component that no training cell had.
    pub fn introduce(&mut self, component: &str, delta: Array1<f32>) {
        self.effects.introduce(component, delta);
    }
}

/// Σ δ of a condition: (n_dims).
fn effect(effects: &Effects, condition: &Condition) -> Result<Array1<f64>> {
    let change = effects.additive(condition)? - effects.control_mean(&condition.covariates)?;
    Ok(change.mapv(f64::from))
}

/// The training conditions and how their means differ from their controls: (n_conditions, n_dims).
fn changes<'a>(
    cells: ArrayView2<f32>,
    conditions: &'a [Condition],
    effects: &Effects,
) -> Result<(Vec<&'a Condition>, Array2<f64>)> {
    let mut sums = BTreeMap::<&Condition, (Array1<f64>, f64)>::new();
    for (cell, condition) in cells.rows().into_iter().zip(conditions) {
        let sum = sums.entry(condition).or_insert_with(|| (Array1::zeros(cells.ncols()), 0.0));
        sum.0.zip_mut_with(&cell, |total, &value| *total += f64::from(value));
        sum.1 += 1.0;
    }
    let mut changes = Array2::zeros((sums.len(), cells.ncols()));
    for (mut row, (condition, (total, n))) in changes.rows_mut().into_iter().zip(&sums) {
        if !condition.perturbation.is_control() {
            let control = effects.control_mean(&condition.covariates)?.mapv(f64::from);
            row.assign(&(total / *n - control));
        }
    }
    Ok((sums.into_keys().collect(), changes))
}

/// The leading left singular vectors, (n_dims, n_factors), and the squares of their singular values.
fn leading(centred: &Array2<f64>) -> Result<(Array2<f64>, Array1<f64>)> {
    let gram = centred.dot(&centred.t());
    let n_dims = gram.nrows();
    let (values, vectors) = eigen(&Mat::from_fn(n_dims, n_dims, |i, j| gram[[i, j]]))?;
    // Eigenvalues rise, factors fall.
    let largest = values.last().copied().unwrap_or(0.0);
    let kept: Vec<usize> = (0..n_dims)
        .rev()
        .take(N_FACTORS)
        .filter(|&k| values[k] > LEAST_VARIANCE * largest && values[k] > 0.0)
        .collect();
    if kept.is_empty() {
        return Err(Error::TooFew {
            what: "training conditions that differ from each other".into(),
            needed: 2,
            got: 1,
            hint: "the linear estimate has nothing to learn from; hold fewer conditions out".into(),
        });
    }
    let directions = Array2::from_shape_fn((n_dims, kept.len()), |(dim, k)| vectors[(dim, kept[k])]);
    Ok((directions, kept.iter().map(|&k| values[k]).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_what_numpy_and_scikit_learn_tell() {
        let golden = include_str!("../../../tests/golden/linear.json");
        let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
        let numbers = |value: &serde_json::Value| -> Vec<f32> { serde_json::from_value(value.clone()).unwrap() };
        let parse = |value: &serde_json::Value| Condition::parse(value.as_str().unwrap(), "control").unwrap();
        let rows: Vec<Vec<f32>> = golden["cells"].as_array().unwrap().iter().map(numbers).collect();
        let cells = Array2::from_shape_fn((rows.len(), rows[0].len()), |(row, column)| rows[row][column]);
        let conditions: Vec<Condition> = golden["conditions"].as_array().unwrap().iter().map(parse).collect();
        let linear = Linear::fit(cells.view(), &conditions).unwrap();
        assert_eq!(linear.directions.len(), N_FACTORS);
        for (name, expected) in golden["expected"].as_object().unwrap() {
            let found = linear.estimate(&Condition::parse(name, "control").unwrap()).unwrap();
            // Single precision of cells of size ten.
            let gap = found.iter().zip(numbers(expected)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(gap < 2e-4, "{name}: {gap}");
        }
        let text = serde_json::to_string(&linear).unwrap();
        assert_eq!(serde_json::from_str::<Linear>(&text).unwrap(), linear);
    }
}

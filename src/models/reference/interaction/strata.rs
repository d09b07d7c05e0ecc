//! Mean effects of training conditions, each within its own covariates.

use std::collections::BTreeMap;

use ndarray::{Array1, ArrayView2};

use super::shrinkage::{Mean, Shrinkage};
use crate::conditions::{Condition, Perturbation};
use crate::{Error, Result};

pub(super) type Covariates = BTreeMap<String, String>;

/// One perturbed training condition.
#[derive(Debug, Clone)]
pub(super) struct Stratum {
    pub(super) condition: Condition,
    /// Mean of its cells − mean of the control cells with the same covariates, each as sure as [`Shrinkage`] makes it:
    /// (n_dims).
    pub(super) effect: Array1<f64>,
    pub(super) n_cells: f64,
    /// Variance of its mean: (n_dims).
    pub(super) noise: Array1<f64>,
}

/// All perturbed training conditions, in the order of conditions.
#[derive(Debug, Clone)]
pub(super) struct Strata {
    pub(super) controls: BTreeMap<Covariates, Array1<f64>>,
    pub(super) strata: Vec<Stratum>,
    n_dims: usize,
}

impl Strata {
    /// Takes the means over training cells.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`]; [`Error::TooFew`] if there are no control cells in a covariate stratum.
    pub(super) fn of(embedding: ArrayView2<f32>, conditions: &[Condition]) -> Result<Self> {
        if embedding.nrows() != conditions.len() {
            return Err(Error::ShapeMismatch {
                what: "interactions".into(),
                expected: format!("{} cells", embedding.nrows()),
                got: format!("{} conditions", conditions.len()),
            });
        }
        let n_dims = embedding.ncols();
        let mut rows = BTreeMap::<&Condition, Vec<usize>>::new();
        for (row, condition) in conditions.iter().enumerate() {
            rows.entry(condition).or_default().push(row);
        }
        let (mut controls, mut means) = (BTreeMap::new(), Vec::new());
        for (condition, rows) in rows {
            let n_cells = rows.len() as f64;
            let mut mean = Array1::<f64>::zeros(n_dims);
            for &row in &rows {
                mean.zip_mut_with(&embedding.row(row), |sum, &value| *sum += f64::from(value));
            }
            mean /= n_cells;
            let mut squares = Array1::<f64>::zeros(n_dims);
            for &row in &rows {
                let gaps = embedding.row(row).mapv(f64::from) - &mean;
                squares += &gaps.mapv(|gap| gap * gap);
            }
            let one = Mean { condition, mean, n_cells, squares };
            if condition.perturbation.is_control() {
                controls.insert(condition.covariates.clone(), one);
            } else {
                means.push(one);
            }
        }
        let n_strata = means.iter().fold(BTreeMap::<Perturbation, usize>::new(), |mut n_strata, one| {
            *n_strata.entry(one.condition.perturbation.clone()).or_default() += 1;
            n_strata
        });
        let shrinkage = Shrinkage::of(controls.values().chain(&means));
        let controls: BTreeMap<Covariates, Array1<f64>> =
            controls.into_iter().map(|(covariates, control)| (covariates, shrinkage.shrink(&control))).collect();
        let mut strata = Vec::with_capacity(means.len());
        for one in means {
            let control = controls.get(&one.condition.covariates).ok_or_else(|| Error::TooFew {
                what: format!("control cells like `{}`", one.condition),
                needed: 1,
                got: 0,
                hint: "drop the covariate, or remove the cells of this stratum".into(),
            })?;
            // A perturbation that other strata tell of is weighed against these and not against other perturbations.
            let (mean, noise) = match n_strata[&one.condition.perturbation] {
                1 => (shrinkage.shrink(&one), shrinkage.noise(&one) * shrinkage.weight(&one)),
                _ => (one.mean.clone(), shrinkage.noise(&one)),
            };
            let (condition, effect) = (one.condition.clone(), mean - control);
            strata.push(Stratum { condition, effect, n_cells: one.n_cells, noise });
        }
        Ok(Self { controls, strata, n_dims })
    }

    /// Number of dimensions of a cell.
    pub(super) fn n_dims(&self) -> usize {
        self.n_dims
    }

    /// The same without some perturbations, whatever their covariates.
    pub(super) fn without(&self, perturbations: &[&Perturbation]) -> Self {
        let stays = |stratum: &&Stratum| !perturbations.contains(&&stratum.condition.perturbation);
        let strata = self.strata.iter().filter(stays).cloned().collect();
        Self { controls: self.controls.clone(), strata, n_dims: self.n_dims }
    }

    /// Combinations of two or more components, each once.
    pub(super) fn combinations(&self) -> Vec<&Perturbation> {
        let all = self.strata.iter().map(|stratum| &stratum.condition.perturbation);
        let mut combinations: Vec<&Perturbation> =
            all.filter(|perturbation| perturbation.components().len() > 1).collect();
        combinations.sort();
        combinations.dedup();
        combinations
    }
}

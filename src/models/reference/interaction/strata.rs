//! Mean effects of training conditions, each within its own covariates.

use std::collections::BTreeMap;

use ndarray::{Array1, ArrayView2};

use crate::conditions::{Condition, Perturbation};
use crate::{Error, Result};

pub(super) type Covariates = BTreeMap<String, String>;

/// One perturbed training condition.
#[derive(Debug, Clone)]
pub(super) struct Stratum {
    pub(super) condition: Condition,
    /// Mean of its cells − mean of the control cells with the same covariates: (n_dims).
    pub(super) effect: Array1<f64>,
    pub(super) n_cells: f64,
    /// Σ of squared distances of its cells from their mean: (n_dims).
    squares: Array1<f64>,
}

/// All perturbed training conditions, in the order of conditions.
#[derive(Debug, Clone)]
pub(super) struct Strata {
    pub(super) controls: BTreeMap<Covariates, Array1<f64>>,
    pub(super) strata: Vec<Stratum>,
    /// Variance of cells around the mean of their condition, control or perturbed: (n_dims).
    pub(super) within: Array1<f64>,
    /// Σ of squared distances of control cells from the means of their strata, and their degrees of freedom.
    of_controls: (Array1<f64>, f64),
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
        let mut of_controls = (Array1::<f64>::zeros(n_dims), 0.0);
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
            if condition.perturbation.is_control() {
                of_controls.0 += &squares;
                of_controls.1 += n_cells - 1.0;
                controls.insert(condition.covariates.clone(), mean);
            } else {
                means.push((condition, mean, n_cells, squares));
            }
        }
        let mut strata = Vec::with_capacity(means.len());
        for (condition, mean, n_cells, squares) in means {
            let control = controls.get(&condition.covariates).ok_or_else(|| Error::TooFew {
                what: format!("control cells like `{condition}`"),
                needed: 1,
                got: 0,
                hint: "drop the covariate, or remove the cells of this stratum".into(),
            })?;
            strata.push(Stratum { condition: condition.clone(), effect: mean - control, n_cells, squares });
        }
        Ok(Self::with(controls, strata, of_controls))
    }

    fn with(
        controls: BTreeMap<Covariates, Array1<f64>>,
        strata: Vec<Stratum>,
        of_controls: (Array1<f64>, f64),
    ) -> Self {
        let (mut squares, mut freedom) = of_controls.clone();
        for stratum in &strata {
            squares += &stratum.squares;
            freedom += stratum.n_cells - 1.0;
        }
        Self { controls, strata, within: squares / f64::max(freedom, 1.0), of_controls }
    }

    /// Number of dimensions of a cell.
    pub(super) fn n_dims(&self) -> usize {
        self.within.len()
    }

    /// The same without some perturbations, whatever their covariates.
    pub(super) fn without(&self, perturbations: &[&Perturbation]) -> Self {
        let stays = |stratum: &&Stratum| !perturbations.contains(&&stratum.condition.perturbation);
        let strata = self.strata.iter().filter(stays).cloned().collect();
        Self::with(self.controls.clone(), strata, self.of_controls.clone())
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

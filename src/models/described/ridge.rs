//! Kernel ridge regression with an intercept, and what it tells of each row when that row is left out.

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};
use ndarray::{Array1, Array2, Axis};

use crate::{Error, Result};

/// A fitted regression: f(x) = b + Σ α_i·k(x, x_i).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ridge {
    /// α: (n_rows, n_targets).
    pub(super) coefficients: Array2<f64>,
    /// b: (n_targets).
    pub(super) intercept: Array1<f64>,
    /// What is told of each row by a regression on the other rows: (n_rows, n_targets).
    pub(super) left_out: Array2<f64>,
}

impl Ridge {
    /// Solves min ‖Y − 1·bᵀ − K·α‖² + λ·tr(αᵀ·K·α); the intercept is not penalised.
    ///
    /// With M = (K + λ)⁻¹ and P = M − M·1·1ᵀ·M / (1ᵀ·M·1): b = 1ᵀ·M·Y / (1ᵀ·M·1) and α = P·Y. A row that is left out lies
    /// α_i / P_ii from what the others tell of it (Cawley & Talbot 2004, doi:10.1016/j.neunet.2004.07.002). Without a ridge
    /// (none, which stands for λ → ∞) everything is the mean.
    ///
    /// **Shapes** `kernel`: (n_rows, n_rows); `targets`: (n_rows, n_targets), two rows at least.
    ///
    /// # Errors
    /// [`Error::Backend`] if the kernel is not positive semidefinite.
    pub(super) fn fit(kernel: &Array2<f64>, targets: &Array2<f64>, ridge: Option<f64>) -> Result<Self> {
        let n = targets.nrows();
        let Some(ridge) = ridge else {
            let mean = targets.mean_axis(Axis(0)).unwrap_or_default();
            let share = n as f64 / (n - 1) as f64;
            let left_out = targets - &((targets - &mean) * share);
            return Ok(Self { coefficients: Array2::zeros(targets.dim()), intercept: mean, left_out });
        };
        let regular = Mat::from_fn(n, n, |i, j| kernel[[i, j]] + if i == j { ridge } else { 0.0 });
        let factor = regular.llt(Side::Lower).map_err(|source| {
            let reason = std::io::Error::other(format!("{source:?}"));
            Error::backend("regressing effects on descriptions", reason)
        })?;
        let inverse = factor.solve(Mat::<f64>::identity(n, n));
        let inverse = Array2::from_shape_fn((n, n), |(i, j)| inverse[(i, j)]);
        let sums = inverse.sum_axis(Axis(1));
        let total = sums.sum();
        let intercept = sums.dot(targets) / total;
        let outer = sums.clone().insert_axis(Axis(1)).dot(&sums.insert_axis(Axis(0))) / total;
        let projection = inverse - outer;
        let coefficients = projection.dot(targets);
        let scale = projection.diag().to_owned().insert_axis(Axis(1));
        let left_out = targets - &(&coefficients / &scale);
        Ok(Self { coefficients, intercept, left_out })
    }

    /// Mean over rows of the squared distance from what the others tell.
    pub(super) fn left_out_error(&self, targets: &Array2<f64>) -> f64 {
        (targets - &self.left_out).mapv(|gap| gap * gap).sum() / targets.nrows() as f64
    }
}

#[cfg(test)]
mod tests {
    use ndarray::s;

    use super::*;

    #[test]
    fn a_row_that_is_left_out_is_told_what_the_others_tell() {
        let points = Array2::from_shape_fn((6, 3), |(i, j)| ((i * 7 + j * 5) % 11) as f64 / 5.0 - 1.0);
        let kernel = points.dot(&points.t());
        let targets = Array2::from_shape_fn((6, 2), |(i, j)| ((i * 3 + j) % 5) as f64);
        for ridge in [Some(0.1), Some(3.0), None] {
            let whole = Ridge::fit(&kernel, &targets, ridge).unwrap();
            for row in 0..6 {
                let others: Vec<usize> = (0..6).filter(|&other| other != row).collect();
                let part = kernel.select(Axis(0), &others);
                let less =
                    Ridge::fit(&part.select(Axis(1), &others), &targets.select(Axis(0), &others), ridge).unwrap();
                let told = &less.intercept + &part.column(row).dot(&less.coefficients);
                let gap = &told - &whole.left_out.slice(s![row, ..]);
                assert!(gap.iter().all(|gap| gap.abs() < 1e-10), "{ridge:?} {row}: {gap}");
            }
        }
    }
}

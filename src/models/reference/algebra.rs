//! The small linear problems of the estimates.

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};
use ndarray::{Array1, Array2, ArrayView2};

use crate::{Error, Result};

/// Solves A·x = B for a symmetric positive definite A.
///
/// **Shapes** `matrix`: (n, n); `right`: (n, n_targets) → the same.
///
/// # Errors
/// [`Error::Backend`] if A is not positive definite.
pub(super) fn solve(matrix: ArrayView2<f64>, right: ArrayView2<f64>) -> Result<Array2<f64>> {
    let matrix = Mat::from_fn(matrix.nrows(), matrix.ncols(), |i, j| matrix[[i, j]]);
    let factor = matrix.llt(Side::Lower).map_err(|source| {
        let reason = std::io::Error::other(format!("{source:?}"));
        Error::backend("solving for an estimate", reason)
    })?;
    let solved = factor.solve(Mat::from_fn(right.nrows(), right.ncols(), |i, j| right[[i, j]]));
    Ok(Array2::from_shape_fn(right.dim(), |(i, j)| solved[(i, j)]))
}

/// Ridge regression: the x that minimises Σ w‖f·x − y‖² + λ‖x‖².
///
/// **Shapes** `features`: (n, n_features); `targets`: (n, n_targets) → (n_features, n_targets).
///
/// # Errors
/// Those of [`solve`].
pub(super) fn ridge(features: ArrayView2<f64>, targets: ArrayView2<f64>, lambda: f64) -> Result<Array2<f64>> {
    let mut gram = features.t().dot(&features);
    gram.diag_mut().mapv_inplace(|value| value + lambda);
    solve(gram.view(), features.t().dot(&targets).view())
}

/// The products x_i·y_j + x_j·y_i (i < j) and x_i·y_i, which do not change when x and y change places.
pub(super) fn symmetric_products(x: &Array1<f64>, y: &Array1<f64>) -> Vec<f64> {
    let pairs = (0..x.len()).flat_map(|i| (i..x.len()).map(move |j| (i, j)));
    pairs.map(|(i, j)| if i == j { x[i] * y[i] } else { x[i] * y[j] + x[j] * y[i] }).collect()
}

/// The pairs of a combination's components.
pub(super) fn pairs(components: &[String]) -> impl Iterator<Item = (&String, &String)> {
    components.iter().enumerate().flat_map(|(i, a)| components[i + 1..].iter().map(move |b| (a, b)))
}

/// The mean squared length of vectors.
pub(super) fn mean_square(vectors: ArrayView2<f64>) -> f64 {
    vectors.iter().map(|value| value * value).sum::<f64>() / vectors.nrows().max(1) as f64
}

/// Vectors as the rows of a matrix.
pub(super) fn stack<'a>(vectors: impl ExactSizeIterator<Item = &'a Array1<f64>>, n_dims: usize) -> Array2<f64> {
    let mut matrix = Array2::zeros((vectors.len(), n_dims));
    for (mut row, vector) in matrix.rows_mut().into_iter().zip(vectors) {
        row.assign(vector);
    }
    matrix
}

#[cfg(test)]
mod tests {
    use ndarray::{arr1, arr2};

    use super::*;

    #[test]
    fn ridge_fulfils_its_normal_equations() {
        let (features, targets) = (arr2(&[[1.0, 2.0], [0.5, -1.0], [3.0, 0.0]]), arr2(&[[1.0], [2.0], [-1.0]]));
        let x = ridge(features.view(), targets.view(), 0.7).unwrap();
        let rest = features.t().dot(&(&targets - &features.dot(&x))) - &x * 0.7;
        assert!(rest.iter().all(|value| value.abs() < 1e-12), "{rest}");
    }

    #[test]
    fn products_do_not_know_which_came_first() {
        let (x, y) = (arr1(&[1.0, 2.0]), arr1(&[3.0, -1.0]));
        assert_eq!(symmetric_products(&x, &y), symmetric_products(&y, &x));
        assert_eq!(symmetric_products(&x, &y), [3.0, 5.0, -2.0]);
    }
}

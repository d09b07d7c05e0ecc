//! Distances between points, and random choices of points.

use ndarray::{Array2, ArrayView2, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::{Error, Result};

/// Squared Euclidean distances between all pairs: (n, m).
///
/// **Shapes** `first`: (n, n_dims); `second`: (m, n_dims).
///
/// # Errors
/// [`Error::ShapeMismatch`] if the dimensions differ.
pub fn squared(first: ArrayView2<f32>, second: ArrayView2<f32>) -> Result<Array2<f64>> {
    if first.ncols() != second.ncols() {
        return Err(Error::ShapeMismatch {
            what: "clouds of points".into(),
            expected: format!("{} dimensions", first.ncols()),
            got: format!("{}", second.ncols()),
        });
    }
    let (first, second) = (first.mapv(f64::from), second.mapv(f64::from));
    // |x - y|² = |x|² + |y|² - 2xy loses digits far from the origin, so the origin is put into the middle.
    let middle = first.mean_axis(Axis(0)).unwrap_or_default();
    let (first, second) = if first.nrows() > 0 { (first - &middle, second - &middle) } else { (first, second) };
    let norms = |points: &Array2<f64>| points.map_axis(Axis(1), |row| row.dot(&row));
    let (rows, columns) = (norms(&first), norms(&second));
    let mut distances = first.dot(&second.t());
    for ((i, j), value) in distances.indexed_iter_mut() {
        *value = (rows[i] + columns[j] - 2.0 * *value).max(0.0);
    }
    Ok(distances)
}

/// The mean of a square matrix without its diagonal.
pub fn mean_off_diagonal(matrix: &Array2<f64>) -> f64 {
    let n = matrix.nrows() as f64;
    (matrix.sum() - matrix.diag().sum()) / (n * (n - 1.0))
}

/// Chooses `n` of the positions 0..`n_all` without replacement, in rising order; all if there are not more.
pub fn choose(n_all: usize, n: usize, seed: u64) -> Vec<usize> {
    if n >= n_all {
        return (0..n_all).collect();
    }
    let mut chosen = rand::seq::index::sample(&mut ChaCha8Rng::seed_from_u64(seed), n_all, n).into_vec();
    chosen.sort_unstable();
    chosen
}

/// Fails unless both clouds have at least two points.
///
/// # Errors
/// [`Error::TooFew`].
pub fn at_least_two(first: ArrayView2<f32>, second: ArrayView2<f32>) -> Result<()> {
    match first.nrows().min(second.nrows()) {
        got @ (0 | 1) => Err(Error::TooFew {
            what: "cells for a distance between distributions".into(),
            needed: 2,
            got,
            hint: "generate more cells".into(),
        }),
        _ => Ok(()),
    }
}

//! Maximum mean discrepancy.

use ndarray::ArrayView2;

use super::distances::{at_least_two, mean_off_diagonal, squared};
use crate::{Error, Result};

/// γ = 1 / median of the squared distances between different points (Gretton et al. 2012, JMLR 13:723, §8, taken over
/// the real cells only, so that γ does not depend on the method that is judged).
///
/// # Errors
/// [`Error::TooFew`] with fewer than two points; [`Error::BadValues`] if the median is not above zero.
pub fn gamma_median(points: ArrayView2<f32>) -> Result<f64> {
    at_least_two(points, points)?;
    let distances = squared(points, points)?;
    let n = points.nrows();
    let mut pairs: Vec<f64> = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j))).map(|ij| distances[ij]).collect();
    pairs.sort_unstable_by(f64::total_cmp);
    let middle = pairs.len() / 2;
    let median = if pairs.len() % 2 == 1 { pairs[middle] } else { (pairs[middle - 1] + pairs[middle]) / 2.0 };
    if median > 0.0 && median.is_finite() {
        return Ok(1.0 / median);
    }
    Err(Error::BadValues {
        place: "squared distances between real cells".into(),
        problem: "without a median above zero".into(),
        n_bad: pairs.len(),
        n_total: pairs.len(),
        examples: vec![median.to_string()],
        hint: "look for NaN or identical cells in the embedding".into(),
    })
}

/// MMD² = mean_{i≠j} k(x_i, x_j) + mean_{i≠j} k(y_i, y_j) − 2 mean k(x_i, y_j), k(x, y) = exp(−γ|x − y|²): the unbiased
/// estimate (Gretton et al. 2012, JMLR 13:723, eq. 3), which may fall below zero.
///
/// # Errors
/// [`Error::TooFew`] with fewer than two points on a side; [`Error::ShapeMismatch`].
pub fn mmd2_rbf(first: ArrayView2<f32>, second: ArrayView2<f32>, gamma: f64) -> Result<f64> {
    at_least_two(first, second)?;
    let kernel = |a: &ArrayView2<f32>, b: &ArrayView2<f32>| {
        squared(*a, *b).map(|distances| distances.mapv_into(|d| (-gamma * d).exp()))
    };
    let between = kernel(&first, &second)?;
    let cross = between.sum() / between.len() as f64;
    Ok(mean_off_diagonal(&kernel(&first, &first)?) + mean_off_diagonal(&kernel(&second, &second)?) - 2.0 * cross)
}

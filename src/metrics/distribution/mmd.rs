//! Maximum mean discrepancy.

use ndarray::ArrayView2;

use super::distances::{at_least_two, mean_over_distinct_pairs, mean_over_pairs, median_over_distinct_pairs};
use crate::{Error, Result};

/// γ = 1 / median of the squared distances between different points (Gretton et al. 2012, JMLR 13:723, §8, taken over
/// the real cells only, so that γ does not depend on the method that is judged).
///
/// # Errors
/// [`Error::TooFew`] with fewer than two points; [`Error::BadValues`] if the median is not above zero.
pub fn gamma_median(points: ArrayView2<f32>) -> Result<f64> {
    at_least_two(points, points)?;
    let median = median_over_distinct_pairs(points);
    if median > 0.0 && median.is_finite() {
        return Ok(1.0 / median);
    }
    let n_pairs = points.nrows() * (points.nrows() - 1) / 2;
    Err(Error::BadValues {
        place: "squared distances between real cells".into(),
        problem: "without a median above zero".into(),
        n_bad: n_pairs,
        n_total: n_pairs,
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
    let kernel = |distance: f64| [(-gamma * distance).exp()];
    let [cross] = mean_over_pairs(first, second, kernel)?;
    let within = |points: ArrayView2<f32>| mean_over_distinct_pairs(points, kernel)[0];
    Ok(within(first) + within(second) - 2.0 * cross)
}

//! Energy distance.

use ndarray::{Array1, ArrayView2, Axis};

use super::distances::{at_least_two, mean_over_distinct_pairs, mean_over_pairs, same_dimensions};
use crate::Result;

/// 2 E|x − y| − E|x − x'| − E|y − y'| with the Euclidean norm, pairs of a cell with itself left out (Székely & Rizzo
/// 2013, J. Stat. Plan. Inference 143:1249; U-statistic), which may fall below zero.
///
/// # Errors
/// [`crate::Error::TooFew`] with fewer than two points on a side; [`crate::Error::ShapeMismatch`].
pub fn energy(first: ArrayView2<f32>, second: ArrayView2<f32>) -> Result<f64> {
    at_least_two(first, second)?;
    let distance = |squared: f64| [squared.sqrt()];
    let [cross] = mean_over_pairs(first, second, distance)?;
    let within = |points: ArrayView2<f32>| mean_over_distinct_pairs(points, distance)[0];
    Ok(2.0 * cross - within(first) - within(second))
}

/// 2 E|x − y|² − E|x − x'|² − E|y − y'|², pairs of a cell with itself left out: the energy distance with squared norms, as
/// scPerturb corrects it for the number of cells (Peidli et al. 2024, Nature Methods 21:531), which may fall below zero.
///
/// It sees means alone, 2|x̄ − ȳ|² − 2 tr S_x / n − 2 tr S_y / m with covariances S, and is computed so.
///
/// # Errors
/// [`crate::Error::TooFew`] with fewer than two points on a side; [`crate::Error::ShapeMismatch`].
pub fn energy_squared(first: ArrayView2<f32>, second: ArrayView2<f32>) -> Result<f64> {
    at_least_two(first, second)?;
    same_dimensions(first, second)?;
    let moments = |points: ArrayView2<f32>| -> (Array1<f64>, f64) {
        let points = points.mapv(f64::from);
        (points.sum_axis(Axis(0)) / points.nrows() as f64, points.var_axis(Axis(0), 1.0).sum() / points.nrows() as f64)
    };
    let (mean, noise) = moments(first);
    let (other, other_noise) = moments(second);
    let gap: f64 = mean.iter().zip(&other).map(|(x, y)| (x - y).powi(2)).sum();
    Ok(2.0 * (gap - noise - other_noise))
}

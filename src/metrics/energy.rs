//! Energy distance.

use ndarray::ArrayView2;

use super::distances::{at_least_two, mean_off_diagonal, squared};
use crate::Result;

/// 2 E|x − y| − E|x − x'| − E|y − y'| with the Euclidean norm, pairs of a cell with itself left out (Székely & Rizzo
/// 2013, J. Stat. Plan. Inference 143:1249; U-statistic), which may fall below zero.
///
/// # Errors
/// [`crate::Error::TooFew`] with fewer than two points on a side; [`crate::Error::ShapeMismatch`].
pub fn energy(first: ArrayView2<f32>, second: ArrayView2<f32>) -> Result<f64> {
    at_least_two(first, second)?;
    let distance =
        |a: &ArrayView2<f32>, b: &ArrayView2<f32>| squared(*a, *b).map(|distances| distances.mapv_into(f64::sqrt));
    let between = distance(&first, &second)?;
    let cross = between.sum() / between.len() as f64;
    Ok(2.0 * cross - mean_off_diagonal(&distance(&first, &first)?) - mean_off_diagonal(&distance(&second, &second)?))
}

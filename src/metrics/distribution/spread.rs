//! How much generated cells vary, next to real ones.

use ndarray::{ArrayView2, Axis};

use super::distances::at_least_two;
use crate::{Error, Result};

/// Σ_j v_j (s_j / √v_j) / Σ_j v_j, v_j the variance of real cells in dimension j and s_j the standard deviation of
/// generated ones: 1 where generated cells vary as real ones do, near 0 where they collapse to their mean.
///
/// # Errors
/// [`Error::TooFew`] with fewer than two points on a side; [`Error::BadValues`] if real cells do not vary.
pub fn std_ratio(real: ArrayView2<f32>, generated: ArrayView2<f32>) -> Result<f64> {
    at_least_two(real, generated)?;
    let real = real.mapv(f64::from).var_axis(Axis(0), 1.0);
    let generated = generated.mapv(f64::from).std_axis(Axis(0), 1.0);
    let total = real.sum();
    if total <= 0.0 || !total.is_finite() {
        return Err(Error::BadValues {
            place: "variances of real cells".into(),
            problem: "zero or not finite".into(),
            n_bad: real.len(),
            n_total: real.len(),
            examples: Vec::new(),
            hint: "look for NaN or identical cells in the embedding".into(),
        });
    }
    Ok(real.iter().zip(&generated).map(|(variance, deviation)| variance.sqrt() * deviation).sum::<f64>() / total)
}

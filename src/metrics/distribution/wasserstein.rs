//! Wasserstein distance.

use ndarray::ArrayView2;

use super::distances::{squared, squared_around_means};
use crate::transport::entropic;
use crate::transport::exact::assignment;
use crate::{Error, Result};

/// √(min over permutations π of mean |x_i − y_π(i)|²): the exact 2-Wasserstein distance between clouds of equal size.
///
/// The best permutation does not change when a cloud is moved, so it is sought between clouds around their means:
/// W₂² = |mean x − mean y|² + W₂²(x − mean x, y − mean y).
///
/// # Errors
/// [`Error::ShapeMismatch`] if the sizes differ; [`Error::TooFew`] without points; [`Error::BadValues`] for NaN.
pub fn w2_exact(first: ArrayView2<f32>, second: ArrayView2<f32>) -> Result<f64> {
    at_least_one(first)?;
    let (costs, gap) = squared_around_means(first, second)?;
    let columns = assignment(costs.view())?;
    let total: f64 = columns.iter().enumerate().map(|(row, &column)| costs[[row, column]]).sum();
    Ok((gap + total / columns.len() as f64).sqrt())
}

/// Marginals of an entropic plan are uniform within this, in all.
const TOLERANCE: f64 = 1e-6;

/// √(Σ P_ij |x_i − y_j|²), P the entropic plan with uniform marginals and regularisation `strength` times the greatest
/// squared distance (POT: `sinkhorn` on costs divided by their maximum), for clouds of equal size; the entropy is not
/// counted. Blurred plans cost more: the value is above zero between equal clouds.
///
/// # Errors
/// [`Error::ShapeMismatch`] if the sizes differ; [`Error::TooFew`] without points; [`Error::BadValues`] for NaN;
/// [`Error::Backend`] if the iterations do not converge.
pub fn w2_sinkhorn(first: ArrayView2<f32>, second: ArrayView2<f32>, strength: f64) -> Result<f64> {
    at_least_one(first)?;
    let costs = squared(first, second)?;
    let greatest = costs.iter().copied().fold(0.0, f64::max);
    if greatest == 0.0 {
        return Ok(0.0);
    }
    Ok(entropic::cost(costs.view(), strength * greatest, TOLERANCE)?.sqrt())
}

fn at_least_one(points: ArrayView2<f32>) -> Result<()> {
    if points.nrows() > 0 {
        return Ok(());
    }
    Err(Error::TooFew {
        what: "cells for a Wasserstein distance".into(),
        needed: 1,
        got: 0,
        hint: "generate more cells".into(),
    })
}

//! Wasserstein distance.

use ndarray::ArrayView2;

use super::distances::squared;
use crate::transport::exact::assignment;
use crate::{Error, Result};

/// √(min over permutations π of mean |x_i − y_π(i)|²): the exact 2-Wasserstein distance between clouds of equal size.
///
/// # Errors
/// [`Error::ShapeMismatch`] if the sizes differ; [`Error::TooFew`] without points; [`Error::BadValues`] for NaN.
pub fn w2_exact(first: ArrayView2<f32>, second: ArrayView2<f32>) -> Result<f64> {
    if first.is_empty() {
        return Err(Error::TooFew {
            what: "cells for a Wasserstein distance".into(),
            needed: 1,
            got: 0,
            hint: "generate more cells".into(),
        });
    }
    let costs = squared(first, second)?;
    let columns = assignment(costs.view())?;
    let total: f64 = columns.iter().enumerate().map(|(row, &column)| costs[[row, column]]).sum();
    Ok((total / columns.len() as f64).sqrt())
}

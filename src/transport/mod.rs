//! Optimal transport between clouds of points.

mod auction;
pub mod exact;
pub mod entropic;

use ndarray::ArrayView2;

use crate::{Error, Result};

/// Fails if costs are not a square matrix of finite numbers.
fn check(costs: ArrayView2<f64>, what: &str) -> Result<()> {
    if costs.nrows() != costs.ncols() {
        return Err(Error::ShapeMismatch {
            what: what.into(),
            expected: "a square matrix".into(),
            got: format!("{} × {}", costs.nrows(), costs.ncols()),
        });
    }
    let n_bad = costs.iter().filter(|cost| !cost.is_finite()).count();
    if n_bad > 0 {
        return Err(Error::BadValues {
            place: what.into(),
            problem: "not finite".into(),
            n_bad,
            n_total: costs.len(),
            examples: Vec::new(),
            hint: "look for NaN or infinite values in the embedding".into(),
        });
    }
    Ok(())
}

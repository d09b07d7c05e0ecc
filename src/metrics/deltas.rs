//! Mean expression and its change, gene by gene.

use crate::{Error, Result};

/// Pearson correlation over genes of the changes from the control: corr(real − control, generated − control).
///
/// **Shapes** all: (n_genes).
///
/// # Errors
/// [`Error::ShapeMismatch`]; [`Error::BadValues`] if one of the changes is the same for every gene.
pub fn pearson_delta(real: &[f64], generated: &[f64], control: &[f64]) -> Result<f64> {
    same_length(real, generated)?;
    same_length(real, control)?;
    let change = |means: &[f64]| -> Vec<f64> { means.iter().zip(control).map(|(mean, base)| mean - base).collect() };
    let centre = |values: Vec<f64>| -> Vec<f64> {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.into_iter().map(|value| value - mean).collect()
    };
    let (real, generated) = (centre(change(real)), centre(change(generated)));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let scale = (product(&real, &real) * product(&generated, &generated)).sqrt();
    if scale > 0.0 && scale.is_finite() {
        return Ok(product(&real, &generated) / scale);
    }
    Err(constant("change of mean expression", real.len(), "a change that does not vary has no correlation"))
}

/// R² = 1 − Σ(real − generated)² / Σ(real − mean of real)² over genes, as in scikit-learn's `r2_score`.
///
/// **Shapes** both: (n_genes).
///
/// # Errors
/// [`Error::ShapeMismatch`]; [`Error::BadValues`] if the real means are the same for every gene.
pub fn r2_mean(real: &[f64], generated: &[f64]) -> Result<f64> {
    same_length(real, generated)?;
    let mean = real.iter().sum::<f64>() / real.len() as f64;
    let total: f64 = real.iter().map(|value| (value - mean).powi(2)).sum();
    let rest: f64 = real.iter().zip(generated).map(|(x, y)| (x - y).powi(2)).sum();
    if total > 0.0 && rest.is_finite() {
        return Ok(1.0 - rest / total);
    }
    Err(constant("mean expression", real.len(), "look for NaN in the expression matrix"))
}

fn same_length(first: &[f64], second: &[f64]) -> Result<()> {
    if first.len() == second.len() {
        return Ok(());
    }
    Err(Error::ShapeMismatch {
        what: "mean expression".into(),
        expected: format!("{} genes", first.len()),
        got: format!("{}", second.len()),
    })
}

fn constant(place: &str, n: usize, hint: &str) -> Error {
    Error::BadValues {
        place: place.into(),
        problem: "the same, or not finite".into(),
        n_bad: n,
        n_total: n,
        examples: Vec::new(),
        hint: hint.into(),
    }
}

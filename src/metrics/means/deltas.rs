//! Change of mean expression from a reference, gene by gene.

use super::correlation::{constant, pearson, same_length, spearman};
use crate::Result;

const WHAT: &str = "change of mean expression";

/// Pearson correlation over genes of the changes from the reference: corr(real − reference, generated − reference).
///
/// **Shapes** all: (n_genes).
///
/// # Errors
/// [`crate::Error::ShapeMismatch`]; [`crate::Error::BadValues`] if one of the changes is the same for every gene.
pub fn pearson_delta(real: &[f64], generated: &[f64], reference: &[f64]) -> Result<f64> {
    let [real, generated] = changes(real, generated, reference)?;
    pearson(&real, &generated, WHAT)
}

/// As [`pearson_delta`], with ranks over genes.
///
/// # Errors
/// Those of [`pearson_delta`].
pub fn spearman_delta(real: &[f64], generated: &[f64], reference: &[f64]) -> Result<f64> {
    let [real, generated] = changes(real, generated, reference)?;
    spearman(&real, &generated, WHAT)
}

/// As [`pearson_delta`], over some genes only.
///
/// # Errors
/// Those of [`pearson_delta`].
pub fn pearson_delta_of(genes: &[usize], real: &[f64], generated: &[f64], reference: &[f64]) -> Result<f64> {
    let changes = changes(real, generated, reference)?;
    let [real, generated] = changes.map(|change| genes.iter().map(|&gene| change[gene]).collect::<Vec<f64>>());
    pearson(&real, &generated, WHAT)
}

/// R² of the changes: 1 − Σ(real − generated)² / Σ(real change − its mean over genes)², as in scikit-learn's `r2_score`.
///
/// # Errors
/// [`crate::Error::ShapeMismatch`]; [`crate::Error::BadValues`] if the real change is the same for every gene.
pub fn r2_delta(real: &[f64], generated: &[f64], reference: &[f64]) -> Result<f64> {
    let [real, generated] = changes(real, generated, reference)?;
    r2(&real, &generated, WHAT)
}

/// R² = 1 − Σ(real − generated)² / Σ(real − mean of real)² over genes, as in scikit-learn's `r2_score`.
///
/// **Shapes** both: (n_genes).
///
/// # Errors
/// [`crate::Error::ShapeMismatch`]; [`crate::Error::BadValues`] if the real means are the same for every gene.
pub fn r2_mean(real: &[f64], generated: &[f64]) -> Result<f64> {
    same_length(real, generated, "mean expression")?;
    r2(real, generated, "mean expression")
}

/// Real and generated changes from the reference.
///
/// # Errors
/// [`crate::Error::ShapeMismatch`].
pub fn changes(real: &[f64], generated: &[f64], reference: &[f64]) -> Result<[Vec<f64>; 2]> {
    same_length(real, generated, "mean expression")?;
    same_length(real, reference, "mean expression")?;
    Ok([real, generated].map(|means| means.iter().zip(reference).map(|(mean, base)| mean - base).collect()))
}

fn r2(real: &[f64], generated: &[f64], what: &str) -> Result<f64> {
    let mean = real.iter().sum::<f64>() / real.len() as f64;
    let total: f64 = real.iter().map(|value| (value - mean).powi(2)).sum();
    let rest: f64 = real.iter().zip(generated).map(|(x, y)| (x - y).powi(2)).sum();
    if total > 0.0 && rest.is_finite() {
        return Ok(1.0 - rest / total);
    }
    Err(constant(what, real.len(), "look for NaN in the expression matrix"))
}

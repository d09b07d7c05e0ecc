//! Agreement of label distributions.

use crate::{Error, Result};

/// Added to the count of every label before a divergence is taken, after the generated counts are scaled to the number of
/// real cells: a label without generated cells costs much but not everything, and equal shares are at zero whatever the
/// numbers of cells.
pub const SMOOTHING: f64 = 0.5;

/// How often each label occurs: (n_labels).
pub fn histogram(labels: &[usize], n_labels: usize) -> Vec<f64> {
    let mut counts = vec![0.0; n_labels];
    labels.iter().for_each(|&label| counts[label] += 1.0);
    counts
}

/// KL(p ‖ q) = Σ p ln(p/q) in nats, p ∝ share of real cells + s/n_real, q ∝ share of generated cells + s/n_real, with s
/// the [`SMOOTHING`].
///
/// # Errors
/// [`Error::ShapeMismatch`]; [`Error::TooFew`] if a side has no cells.
pub fn kld(real: &[f64], generated: &[f64]) -> Result<f64> {
    check(real, generated)?;
    let (n_real, n_generated) = (real.iter().sum::<f64>(), generated.iter().sum::<f64>());
    let scaled: Vec<f64> = generated.iter().map(|count| count * n_real / n_generated).collect();
    let (p, q) = (shares(real, SMOOTHING), shares(&scaled, SMOOTHING));
    Ok(p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum())
}

/// ½ Σ |p − q| of the plain shares: the part of the cells that carries other labels.
///
/// # Errors
/// [`Error::ShapeMismatch`]; [`Error::TooFew`] if a side has no cells.
pub fn total_variation(real: &[f64], generated: &[f64]) -> Result<f64> {
    check(real, generated)?;
    let (p, q) = (shares(real, 0.0), shares(generated, 0.0));
    Ok(p.iter().zip(&q).map(|(p, q)| (p - q).abs()).sum::<f64>() / 2.0)
}

fn shares(counts: &[f64], smoothing: f64) -> Vec<f64> {
    let total = counts.iter().sum::<f64>() + smoothing * counts.len() as f64;
    counts.iter().map(|count| (count + smoothing) / total).collect()
}

fn check(real: &[f64], generated: &[f64]) -> Result<()> {
    if real.len() != generated.len() {
        return Err(Error::ShapeMismatch {
            what: "label counts".into(),
            expected: format!("{} labels", real.len()),
            got: format!("{}", generated.len()),
        });
    }
    if real.iter().sum::<f64>() <= 0.0 || generated.iter().sum::<f64>() <= 0.0 {
        return Err(Error::TooFew {
            what: "labelled cells".into(),
            needed: 1,
            got: 0,
            hint: "generate more cells".into(),
        });
    }
    Ok(())
}

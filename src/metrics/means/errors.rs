//! Errors of mean expression.

use super::correlation::same_length;
use crate::{Error, Result};

/// Mean over genes of (real − generated)².
///
/// # Errors
/// [`Error::ShapeMismatch`]; [`Error::TooFew`] without genes.
pub fn mse(real: &[f64], generated: &[f64]) -> Result<f64> {
    mean(real, generated, |difference| difference * difference)
}

/// Mean over genes of |real − generated|.
///
/// # Errors
/// Those of [`mse`].
pub fn mae(real: &[f64], generated: &[f64]) -> Result<f64> {
    mean(real, generated, f64::abs)
}

/// √Σ (real − generated)² over the given genes.
///
/// # Errors
/// Those of [`mse`].
pub fn l2(genes: &[usize], real: &[f64], generated: &[f64]) -> Result<f64> {
    let of = |means: &[f64]| -> Vec<f64> { genes.iter().map(|&gene| means[gene]).collect() };
    same_length(real, generated, "mean expression")?;
    Ok((mse(&of(real), &of(generated))? * genes.len() as f64).sqrt())
}

/// The `k` genes of the greatest mean; ties in the order of the genes.
pub fn most_expressed(means: &[f64], k: usize) -> Vec<usize> {
    let mut genes: Vec<usize> = (0..means.len()).collect();
    genes.sort_by(|&a, &b| means[b].total_cmp(&means[a]));
    genes.truncate(k);
    genes
}

fn mean(real: &[f64], generated: &[f64], of: impl Fn(f64) -> f64) -> Result<f64> {
    same_length(real, generated, "mean expression")?;
    if real.is_empty() {
        return Err(Error::TooFew {
            what: "genes".into(),
            needed: 1,
            got: 0,
            hint: "keep more genes in `scflow preprocess`".into(),
        });
    }
    Ok(real.iter().zip(generated).map(|(x, y)| of(x - y)).sum::<f64>() / real.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_closed_forms() {
        let (real, generated) = ([0.0, 1.0, 5.0, 2.0], [0.0, 4.0, 1.0, 2.0]);
        assert_eq!(mse(&real, &generated).unwrap(), 25.0 / 4.0);
        assert_eq!(mae(&real, &generated).unwrap(), 7.0 / 4.0);
        assert_eq!(l2(&[0, 1, 2, 3], &real, &generated).unwrap(), 5.0);
        assert_eq!(l2(&[1, 3], &real, &generated).unwrap(), 3.0);
        assert_eq!(most_expressed(&real, 2), [2, 3]);
        assert!(mse(&[], &[]).is_err() && l2(&[], &real, &generated).is_err() && mae(&real, &[0.0]).is_err());
    }
}

//! Correlation of two lists of numbers.

use crate::{Error, Result};

/// Pearson's correlation; `what` the lists hold is told if one does not vary.
///
/// # Errors
/// [`Error::ShapeMismatch`]; [`Error::BadValues`] if a list is the same everywhere, or not finite.
pub fn pearson(first: &[f64], second: &[f64], what: &str) -> Result<f64> {
    same_length(first, second, what)?;
    let centre = |values: &[f64]| -> Vec<f64> {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|value| value - mean).collect()
    };
    let (first, second) = (centre(first), centre(second));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let scale = (product(&first, &first) * product(&second, &second)).sqrt();
    if scale > 0.0 && scale.is_finite() {
        return Ok(product(&first, &second) / scale);
    }
    Err(constant(what, first.len(), "what does not vary has no correlation"))
}

/// Spearman's correlation: Pearson's of the ranks.
///
/// # Errors
/// Those of [`pearson`].
pub fn spearman(first: &[f64], second: &[f64], what: &str) -> Result<f64> {
    pearson(&mid_ranks(first), &mid_ranks(second), what)
}

/// Ranks from 1 in rising order; equal values share the mean of their ranks.
pub fn mid_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for group in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = start as f64 + (group.len() + 1) as f64 / 2.0;
        group.iter().for_each(|&place| ranks[place] = rank);
        start += group.len();
    }
    ranks
}

/// Fails unless both lists are of one length.
///
/// # Errors
/// [`Error::ShapeMismatch`].
pub fn same_length(first: &[f64], second: &[f64], what: &str) -> Result<()> {
    if first.len() == second.len() {
        return Ok(());
    }
    Err(Error::ShapeMismatch {
        what: what.into(),
        expected: format!("{} values", first.len()),
        got: format!("{}", second.len()),
    })
}

/// The error for a list that does not vary.
pub(super) fn constant(place: &str, n: usize, hint: &str) -> Error {
    Error::BadValues {
        place: place.into(),
        problem: "the same, or not finite".into(),
        n_bad: n,
        n_total: n,
        examples: Vec::new(),
        hint: hint.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_their_mean_rank() {
        assert_eq!(mid_ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
        assert_eq!(mid_ranks(&[0.0, -0.0]), [1.5, 1.5]);
        assert!(mid_ranks(&[]).is_empty());
    }

    #[test]
    fn a_rising_curve_has_a_rank_correlation_of_one_and_a_line_a_correlation_of_one() {
        let first = [1.0, 2.0, 3.0, 4.0];
        assert!((spearman(&first, &first.map(f64::exp), "x").unwrap() - 1.0).abs() < 1e-12);
        assert!(pearson(&first, &first.map(f64::exp), "x").unwrap() < 0.95);
        assert!((pearson(&first, &first.map(|x| 5.0 - 2.0 * x), "x").unwrap() + 1.0).abs() < 1e-12);
        assert!(pearson(&first, &[1.0; 4], "x").is_err() && pearson(&first, &[1.0], "x").is_err());
    }
}

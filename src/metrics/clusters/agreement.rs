//! How well two labellings of the same cells agree, and how sure and how varied a classifier's answers are.

use ndarray::{ArrayView2, Axis};

use crate::{Error, Result};

/// The adjusted Rand index of two labellings of the same cells: 1 where they are the same but for names, about 0 by chance
/// (Hubert & Arabie 1985, J. Classification 2:193; scikit-learn: `adjusted_rand_score`).
///
/// # Errors
/// [`Error::ShapeMismatch`]; [`Error::TooFew`] without cells.
pub fn adjusted_rand_index(first: &[usize], second: &[usize]) -> Result<f64> {
    if first.len() != second.len() {
        return Err(Error::ShapeMismatch {
            what: "labels".into(),
            expected: format!("{} cells", first.len()),
            got: format!("{}", second.len()),
        });
    }
    not_empty(first.len())?;
    let n_labels = |labels: &[usize]| labels.iter().max().map_or(0, |&label| label + 1);
    let mut table = ndarray::Array2::<f64>::zeros((n_labels(first), n_labels(second)));
    first.iter().zip(second).for_each(|(&row, &column)| table[[row, column]] += 1.0);
    let pairs = |n: f64| n * (n - 1.0) / 2.0;
    let [rows, columns] = [1, 0].map(|axis| table.sum_axis(Axis(axis)).mapv(pairs).sum());
    let expected = rows * columns / pairs(first.len() as f64);
    let most = (rows + columns) / 2.0;
    // One cluster, or as many as cells, on both sides: the same labelling.
    if most == expected || first.len() < 2 {
        return Ok(1.0);
    }
    Ok((table.mapv(pairs).sum() - expected) / (most - expected))
}

/// exp(mean over cells of KL(p(label | cell) ‖ p(label))): 1 where all cells get the same answer, as many as there are
/// labels where every cell gets a sure one and all labels are as frequent (Salimans et al. 2016, arXiv 1606.03498).
///
/// **Shapes** `probabilities`: (n_cells, n_labels), rows sum to one.
///
/// # Errors
/// [`Error::TooFew`] without cells.
pub fn inception_score(probabilities: ArrayView2<f64>) -> Result<f64> {
    not_empty(probabilities.nrows())?;
    let n = probabilities.nrows() as f64;
    let marginal = probabilities.sum_axis(Axis(0)) / n;
    let divergence = |row: ndarray::ArrayView1<f64>| -> f64 {
        row.iter().zip(&marginal).filter(|(p, _)| **p > 0.0).map(|(p, q)| p * (p / q).ln()).sum()
    };
    Ok((probabilities.rows().into_iter().map(divergence).sum::<f64>() / n).exp())
}

fn not_empty(n: usize) -> Result<()> {
    if n > 0 {
        return Ok(());
    }
    Err(Error::TooFew { what: "labelled cells".into(), needed: 1, got: 0, hint: "generate more cells".into() })
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    #[test]
    fn the_rand_index_is_one_for_renamed_labels_and_has_scikit_learns_value_else() {
        assert_eq!(adjusted_rand_index(&[0, 0, 1, 1], &[1, 1, 0, 0]).unwrap(), 1.0);
        // adjusted_rand_score([0, 0, 1, 2], [0, 0, 1, 1]) = 0.57 in scikit-learn's documentation: 4/7.
        assert!((adjusted_rand_index(&[0, 0, 1, 2], &[0, 0, 1, 1]).unwrap() - 4.0 / 7.0).abs() < 1e-12);
        assert_eq!(adjusted_rand_index(&[0, 0, 0], &[0, 0, 0]).unwrap(), 1.0);
        assert!((adjusted_rand_index(&[0, 0, 1, 1], &[0, 1, 0, 1]).unwrap() + 0.5).abs() < 1e-12);
        assert!(adjusted_rand_index(&[0], &[]).is_err() && adjusted_rand_index(&[], &[]).is_err());
    }

    #[test]
    fn the_inception_score_counts_sure_and_varied_answers() {
        assert!((inception_score(Array2::eye(4).view()).unwrap() - 4.0).abs() < 1e-12);
        assert!((inception_score(array![[0.3, 0.7], [0.3, 0.7]].view()).unwrap() - 1.0).abs() < 1e-12);
        let p = array![[0.9, 0.1], [0.1, 0.9]];
        let expected = (0.9 * (1.8_f64).ln() + 0.1 * (0.2_f64).ln()).exp();
        assert!((inception_score(p.view()).unwrap() - expected).abs() < 1e-12);
        assert!(inception_score(Array2::zeros((0, 2)).view()).is_err());
    }
}

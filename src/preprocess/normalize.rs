//! Library-size normalisation and log1p.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::median::median;
use crate::cells::{Annotations, SparseMatrix};
use crate::numbers::{ln_1p_double, vectorized};
use crate::{Error, Result};

/// Rows of one task; a row has about a thousand values.
const ROWS_PER_TASK: usize = 64;

/// Takes the library sizes from a column of `obs`, which holds the total counts of each cell.
///
/// **Units** counts per cell, over the whole transcriptome: never less than `row_sums`, the counts of the file's genes.
///
/// # Errors
/// [`Error::MissingColumn`]; [`Error::InvalidParameter`] if the column is not numeric; [`Error::BadValues`] for missing,
/// infinite or non-positive values, and if most are smaller than the row sums, as scaling factors around 1 are.
pub fn library_sizes_from(obs: &Annotations, column: &str, row_sums: &[f64]) -> Result<Vec<f64>> {
    let sizes = obs.floats("obs", column)?;
    let bad = |is_bad: &dyn Fn(usize) -> bool, problem: &str, hint: &str| {
        let rows: Vec<usize> = (0..sizes.len()).filter(|&row| is_bad(row)).collect();
        Error::BadValues {
            place: format!("obs[\"{column}\"]"),
            problem: problem.to_owned(),
            n_bad: rows.len(),
            n_total: sizes.len(),
            examples: rows.iter().take(3).map(|&row| format!("{} in cell {}", sizes[row], obs.index[row])).collect(),
            hint: hint.to_owned(),
        }
    };
    let is_unusable = |row: usize| !(sizes[row].is_finite() && sizes[row] > 0.0);
    if (0..sizes.len()).any(is_unusable) {
        let hint = "size factors are the total counts of each cell: correct them, or leave --size-factors out";
        return Err(bad(&is_unusable, "missing or not positive", hint));
    }
    let is_too_small = |row: usize| sizes[row] < row_sums[row] * (1.0 - 1e-6);
    if 2 * (0..sizes.len()).filter(|&row| is_too_small(row)).count() > sizes.len() {
        let hint =
            "--size-factors takes the total counts of each cell, not factors around 1; leave it out to use row sums";
        return Err(bad(&is_too_small, "smaller than the counts of the cell", hint));
    }
    Ok(sizes)
}

/// How many counts every cell is scaled to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TargetSum {
    /// This many.
    Counts(f64),
    /// The median library size of the training cells with counts; scanpy's default.
    Median(Median),
}

/// The word `median`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Median {
    /// `median`.
    Median,
}

impl std::str::FromStr for TargetSum {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "median" => Ok(Self::Median(Median::Median)),
            _ => text.parse().map(Self::Counts).map_err(|_| "give a number, or `median`".to_owned()),
        }
    }
}

impl std::fmt::Display for TargetSum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Counts(counts) => counts.fmt(f),
            Self::Median(_) => "median".fmt(f),
        }
    }
}

impl TargetSum {
    /// The number of counts; `library_sizes` are those of the training cells.
    ///
    /// # Errors
    /// [`Error::TooFew`] if a median is asked for and no cell has counts.
    pub fn resolve(self, library_sizes: impl IntoIterator<Item = f64>) -> Result<f64> {
        if let Self::Counts(counts) = self {
            return Ok(counts);
        }
        let mut sizes: Vec<f64> = library_sizes.into_iter().filter(|&size| size > 0.0).collect();
        if sizes.is_empty() {
            return Err(Error::TooFew {
                what: "training cells with counts, whose median is the target sum".into(),
                needed: 1,
                got: 0,
                hint: "give a number to --target-sum".into(),
            });
        }
        Ok(median(&mut sizes))
    }
}

/// Normalises each cell to `target_sum` counts and takes log1p: x = ln(1 + counts / library_size · target_sum).
///
/// **Shapes** `counts`: (n_cells, n_genes); `library_sizes`: (n_cells), positive → (n_cells, n_genes)
pub fn log_normalize(counts: &SparseMatrix, library_sizes: &[f64], target_sum: f64) -> SparseMatrix {
    let factors: Vec<f64> = library_sizes.iter().map(|size| target_sum / size).collect();
    let mut x = counts.clone();
    log_scaled(&mut x, &factors);
    x
}

/// Replaces counts by ln(1 + count · factor of the row); the factor is target sum / library size.
///
/// **Shapes** `counts`: (n_cells, n_genes); `factors`: (n_cells)
pub fn log_scaled(counts: &mut SparseMatrix, factors: &[f64]) {
    let rows = counts.rows_mut().into_par_iter().zip(factors).with_min_len(ROWS_PER_TASK);
    rows.for_each(|(values, &factor)| log_row(values, factor));
}

vectorized! {
    /// Rounded once: to 10⁻⁷ of each value.
    fn log_row(values: &mut [f32], factor: f64) {
        for value in values {
            *value = ln_1p_double(f64::from(*value) * factor) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::Column;

    fn cells(sizes: Vec<f64>) -> Annotations {
        let mut obs = Annotations::new((0..sizes.len()).map(|row| format!("c{row}")).collect());
        obs.set("total", Column::Float(sizes));
        obs.set("text", Column::Text(vec!["1".into(); 2]));
        obs
    }

    #[test]
    fn normalised_cells_sum_to_the_target() {
        let counts = SparseMatrix::from_rows(3, [vec![(0, 1.0), (2, 3.0)], vec![(1, 5.0)]]);
        let x = log_normalize(&counts, &counts.row_sums(), 100.0);
        for row in 0..2 {
            let sum: f64 = x.row(row).1.iter().map(|&value| f64::from(value).exp_m1()).sum();
            assert!((sum - 100.0).abs() < 1e-4, "{sum}");
        }
        let half = log_normalize(&counts, &[8.0, 5.0], 100.0);
        assert!((half.row(0).1[0] - 13.5_f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn the_target_is_a_number_or_the_median() {
        let median: TargetSum = "median".parse().unwrap();
        assert_eq!(median.resolve([9.0, 0.0, 4.0, 5.0]).unwrap(), 5.0);
        assert_eq!("1e4".parse::<TargetSum>().unwrap().resolve([]).unwrap(), 1e4);
        assert!(median.resolve([0.0]).is_err() && "mean".parse::<TargetSum>().is_err());
        for target in [TargetSum::Counts(5e3), median] {
            let json = serde_json::to_string(&target).unwrap();
            assert_eq!(serde_json::from_str::<TargetSum>(&json).unwrap(), target, "{json}");
        }
    }

    #[test]
    fn size_factors_must_be_total_counts() {
        let sums = [4.0, 5.0];
        assert_eq!(library_sizes_from(&cells(vec![4.0, 9.0]), "total", &sums).unwrap(), [4.0, 9.0]);
        for bad in [f64::NAN, 0.0, -1.0, f64::INFINITY] {
            let message = library_sizes_from(&cells(vec![4.0, bad]), "total", &sums).unwrap_err().to_string();
            assert!(message.contains("1 of 2") && message.contains("cell c1"), "{message}");
        }
        let error = library_sizes_from(&cells(vec![0.9, 1.1]), "total", &sums).unwrap_err();
        assert!(error.hint().unwrap().contains("not factors around 1"), "{error:?}");
        assert!(library_sizes_from(&cells(vec![4.0, 9.0]), "text", &sums).is_err());
    }
}

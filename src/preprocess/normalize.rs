//! Library-size normalisation and log1p.

use crate::cells::{Cells, SparseMatrix};
use crate::{Error, Result};

/// Takes the library sizes from a column of `obs`, which holds the total counts of each cell.
///
/// **Units** counts per cell, over the whole transcriptome: never less than `row_sums`, the counts of the file's genes.
///
/// # Errors
/// [`Error::MissingColumn`]; [`Error::InvalidParameter`] if the column is not numeric; [`Error::BadValues`] for missing,
/// infinite or non-positive values, and if most are smaller than the row sums, as scaling factors around 1 are.
pub fn library_sizes_from(cells: &Cells, column: &str, row_sums: &[f64]) -> Result<Vec<f64>> {
    let sizes = cells.obs.floats("obs", column)?;
    let bad = |is_bad: &dyn Fn(usize) -> bool, problem: &str, hint: &str| {
        let rows: Vec<usize> = (0..sizes.len()).filter(|&row| is_bad(row)).collect();
        Error::BadValues {
            place: format!("obs[\"{column}\"]"),
            problem: problem.to_owned(),
            n_bad: rows.len(),
            n_total: sizes.len(),
            examples: rows
                .iter()
                .take(3)
                .map(|&row| format!("{} in cell {}", sizes[row], cells.obs.index[row]))
                .collect(),
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

/// Normalises each cell to `target_sum` counts and takes log1p: x = ln(1 + counts / library_size · target_sum).
///
/// **Shapes** `counts`: (n_cells, n_genes); `library_sizes`: (n_cells), positive → (n_cells, n_genes)
pub fn log_normalize(counts: &SparseMatrix, library_sizes: &[f64], target_sum: f64) -> SparseMatrix {
    let mut x = counts.clone();
    for (row, size) in library_sizes.iter().enumerate() {
        let factor = target_sum / size;
        for value in x.row_values_mut(row) {
            *value = (f64::from(*value) * factor).ln_1p() as f32;
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::{Annotations, Column};

    fn cells(sizes: Vec<f64>) -> Cells {
        let mut obs = Annotations::new((0..sizes.len()).map(|row| format!("c{row}")).collect());
        obs.set("total", Column::Float(sizes));
        obs.set("text", Column::Text(vec!["1".into(); 2]));
        Cells { obs, ..Cells::default() }
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

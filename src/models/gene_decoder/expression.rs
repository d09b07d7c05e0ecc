//! From counts to the scale that users and tests expect.

use crate::cells::SparseMatrix;
use crate::{Error, Result};

/// log1p(counts / library size · target_sum); zeros stay zeros.
///
/// **Shapes** `counts`: (n_cells, n_genes); `library_sizes`: (n_cells) → (n_cells, n_genes)
///
/// # Errors
/// [`Error::ShapeMismatch`]; [`Error::BadValues`] for a library size that is not positive and finite.
pub fn log1p_expression(counts: &SparseMatrix, library_sizes: &[f64], target_sum: f64) -> Result<SparseMatrix> {
    check_libraries(library_sizes, counts.n_rows())?;
    let mut expression = counts.clone();
    for (cell, library) in library_sizes.iter().enumerate() {
        for value in expression.row_values_mut(cell) {
            *value = (f64::from(*value) / library * target_sum).ln_1p() as f32;
        }
    }
    Ok(expression)
}

/// Checks that there is one usable library size per cell.
pub(super) fn check_libraries(library_sizes: &[f64], n_cells: usize) -> Result<()> {
    if library_sizes.len() != n_cells {
        return Err(Error::ShapeMismatch {
            what: "library sizes".into(),
            expected: format!("{n_cells} cells"),
            got: format!("{}", library_sizes.len()),
        });
    }
    let usable = |library: f64| library > 0.0 && library.is_finite();
    let bad: Vec<usize> = (0..n_cells).filter(|&cell| !usable(library_sizes[cell])).collect();
    if bad.is_empty() {
        return Ok(());
    }
    Err(Error::BadValues {
        place: "library sizes".into(),
        problem: "not positive and finite".into(),
        n_bad: bad.len(),
        n_total: n_cells,
        examples: bad.iter().take(3).map(|&cell| format!("cell {cell}: {}", library_sizes[cell])).collect(),
        hint: "remove cells without counts, and take library sizes from a column of total counts".into(),
    })
}

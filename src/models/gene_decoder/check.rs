//! What a decoder refuses.

use ndarray::ArrayView2;

use crate::cells::SparseMatrix;
use crate::{Error, Result};

/// Checks that the components are as many as the decoder knows, and finite.
pub(super) fn components(embedding: ArrayView2<f32>, n_components: usize) -> Result<()> {
    if embedding.ncols() != n_components {
        return Err(Error::ShapeMismatch {
            what: "embedding of the gene decoder".into(),
            expected: format!("{n_components} components"),
            got: format!("{}", embedding.ncols()),
        });
    }
    let bad: Vec<_> = embedding.indexed_iter().filter(|(_, value)| !value.is_finite()).collect();
    if bad.is_empty() {
        return Ok(());
    }
    Err(Error::BadValues {
        place: "principal components".into(),
        problem: "not finite".into(),
        n_bad: bad.len(),
        n_total: embedding.len(),
        examples: bad.iter().take(3).map(|((cell, c), value)| format!("cell {cell}, component {c}: {value}")).collect(),
        hint: "look for cells without counts in the data, or for a model whose training diverged".into(),
    })
}

/// Checks that there is one row per cell.
pub(super) fn same_cells(what: &str, n_cells: usize, found: usize) -> Result<()> {
    if n_cells == found {
        return Ok(());
    }
    Err(Error::ShapeMismatch { what: what.into(), expected: format!("{n_cells} cells"), got: format!("{found}") })
}

/// Checks that the matrix holds counts.
pub(super) fn whole_counts(counts: &SparseMatrix) -> Result<()> {
    let usable = |value: f32| value >= 0.0 && value.is_finite() && value.fract() == 0.0;
    let bad: Vec<f32> = counts.values().iter().copied().filter(|&value| !usable(value)).collect();
    if bad.is_empty() {
        return Ok(());
    }
    Err(Error::WrongScale {
        what: "counts for the gene decoder".into(),
        expected: "whole numbers from 0".into(),
        found: format!("{} of {} stored values are not, for example {}", bad.len(), counts.n_stored(), bad[0]),
        hint: "pass the layer of raw counts".into(),
    })
}

/// Checks that there is one usable library size per cell.
pub(super) fn libraries(library_sizes: &[f64], n_cells: usize) -> Result<()> {
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

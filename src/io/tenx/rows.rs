//! Rows of cells that are gathered into blocks.

use std::path::{Path, PathBuf};

use super::{AGAIN, invalid};
use crate::cells::SparseMatrix;
use crate::{Error, Result};

/// A block ends with the cell that brings it to so many values, or to so many cells.
const BLOCK_VALUES: usize = 1 << 22;
const BLOCK_CELLS: usize = 1 << 14;

/// Cells being gathered, each with the counts of the chosen features.
pub(super) struct Rows<'a> {
    pub(super) path: PathBuf,
    barcodes: &'a [String],
    /// The new place of each feature.
    places: Vec<Option<u32>>,
    n_chosen: usize,
    n_done: usize,
    indptr: Vec<usize>,
    indices: Vec<u32>,
    values: Vec<f32>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(path: &Path, chosen: &[usize], (n_features, _): (usize, usize), barcodes: &'a [String]) -> Self {
        let mut places = vec![None; n_features];
        chosen.iter().enumerate().for_each(|(place, &feature)| places[feature] = Some(place as u32));
        let (path, n_chosen) = (path.to_owned(), chosen.len());
        let (indptr, indices, values) = (vec![0], Vec::new(), Vec::new());
        Self { path, barcodes, places, n_chosen, n_done: 0, indptr, indices, values }
    }

    pub(super) fn n_cells(&self) -> usize {
        self.barcodes.len()
    }

    pub(super) fn n_features(&self) -> usize {
        self.places.len()
    }

    /// The cell that is being filled.
    pub(super) fn cell(&self) -> usize {
        self.n_done + self.indptr.len() - 1
    }

    /// Adds a count to the cell being filled; `feature` is below [`Self::n_features`].
    pub(super) fn push(&mut self, feature: usize, value: f32) {
        if let Some(place) = self.places[feature].filter(|_| value != 0.0) {
            self.indices.push(place);
            self.values.push(value);
        }
    }

    /// Ends the cell being filled.
    pub(super) fn end_cell(&mut self) {
        self.indptr.push(self.indices.len());
    }

    /// True if a block is full.
    pub(super) fn is_full(&self) -> bool {
        self.indices.len() >= BLOCK_VALUES || self.indptr.len() > BLOCK_CELLS
    }

    /// The finished cells as a block.
    pub(super) fn take(&mut self) -> Result<SparseMatrix> {
        let first = self.n_done;
        let indptr = std::mem::replace(&mut self.indptr, vec![0]);
        self.n_done += indptr.len() - 1;
        let (indices, values) = (std::mem::take(&mut self.indices), std::mem::take(&mut self.values));
        let doubled = |indices: &[u32], indptr: &[usize]| {
            (1..indptr.len()).find(|&row| {
                let mut row = indices[indptr[row - 1]..indptr[row]].to_vec();
                row.sort_unstable();
                row.windows(2).any(|pair| pair[0] == pair[1])
            })
        };
        SparseMatrix::new(self.n_chosen, indptr.clone(), indices.clone(), values).map_err(|error| match error {
            Error::ShapeMismatch { .. } => {
                let row = doubled(&indices, &indptr).unwrap_or(1);
                let cell = self.barcodes.get(first + row - 1).map_or("", String::as_str);
                invalid(&self.path, format!("the matrix has a feature twice in the cell `{cell}`"), AGAIN)
            }
            other => other,
        })
    }
}

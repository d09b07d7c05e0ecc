//! Writing a file that is made from another one, whose matrices are never in memory.

use std::path::Path;

use super::rows::Rows;
use super::target::{self, Target};
use super::write;
use crate::cells::{Cells, SparseMatrix};
use crate::error::refuse;
use crate::{Error, Result};

/// A file that is being made: its matrices first, block by block.
pub struct Derived<'a> {
    root: &'a Target<'a>,
    layers: Target<'a>,
    shape: (usize, usize),
}

/// Writes a file of the given shape, in place of whatever is at `path`; the same content gives the same bytes.
///
/// `fill` writes the matrices, `X` at least, and returns everything else, with an empty `x` and no layers.
///
/// # Errors
/// Those of `fill`; [`Error::ShapeMismatch`], [`Error::BadValues`] or [`Error::InvalidParameter`] if what it returns cannot
/// be written; [`Error::Io`] if the disk is full or read-only. No file is left then.
pub fn write_derived(path: &Path, shape: (usize, usize), fill: impl FnOnce(&Derived) -> Result<Cells>) -> Result<()> {
    target::create(path, |root| {
        root.root_encoding()?;
        let layers = root.group("layers", "dict", "0.1.0")?;
        let derived = Derived { root, layers, shape };
        let cells = fill(&derived)?;
        if !root.group.link_exists("X") {
            return refuse("X", "", "a file of cells needs this matrix");
        }
        let found = (cells.obs.index.len(), cells.var.index.len());
        if found != shape {
            let [expected, got] = [shape, found].map(|(n_cells, n_genes)| format!("{n_cells} × {n_genes}"));
            return Err(Error::ShapeMismatch { what: "cells × genes".into(), expected, got });
        }
        write::check_annotations(&cells)?;
        write::annotations(root, &cells)
    })
}

impl Derived<'_> {
    /// Begins matrices that have their values in the same places: `None` for `X`, a name for a layer. All together have
    /// `n_most` values each at most.
    ///
    /// # Errors
    /// Those of writing.
    pub fn matrices(&self, names: &[Option<&str>], n_most: usize) -> Result<Matrices<'_>> {
        let places: Vec<(&Target, &str)> =
            names.iter().map(|name| name.map_or((self.root, "X"), |name| (&self.layers, name))).collect();
        let rows = Rows::new(&places, self.shape, None, i32::try_from(n_most).is_err())?;
        Ok(Matrices { root: self.root, rows, shape: self.shape, n_rows: 0 })
    }
}

/// Matrices that are being filled with blocks of rows.
pub struct Matrices<'a> {
    root: &'a Target<'a>,
    rows: Rows,
    shape: (usize, usize),
    n_rows: usize,
}

impl Matrices<'_> {
    /// Puts the next rows at the end of each matrix.
    ///
    /// # Errors
    /// Those of writing; [`Error::ShapeMismatch`] if the blocks have other columns or do not have their values in the same
    /// places.
    pub fn append(&mut self, blocks: &[&SparseMatrix]) -> Result<()> {
        if let [first, others @ ..] = blocks {
            let same = |other: &&&SparseMatrix| other.indptr() == first.indptr() && other.indices() == first.indices();
            let n_unlike = others.iter().filter(|other| !same(other)).count();
            if n_unlike > 0 || first.n_columns() != self.shape.1 {
                return Err(Error::ShapeMismatch {
                    what: "blocks of matrices".into(),
                    expected: format!("{} columns, and values in the same places", self.shape.1),
                    got: format!("{} columns, and {n_unlike} blocks unlike the first", first.n_columns()),
                });
            }
            self.n_rows += first.n_rows();
        }
        self.rows.append(self.root, blocks)
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// Those of writing; [`Error::ShapeMismatch`] if there were more or fewer rows than the file has.
    pub fn finish(self) -> Result<()> {
        if self.n_rows != self.shape.0 {
            let (expected, got) = (self.shape.0.to_string(), self.n_rows.to_string());
            return Err(Error::ShapeMismatch { what: "rows of all blocks".into(), expected, got });
        }
        self.rows.finish(self.root)
    }
}

//! `X` and the layers: dense or sparse on disk, read whole or in blocks of rows as [`SparseMatrix`].

use std::ops::Range;
use std::sync::OnceLock;

use hdf5::{Group, LocationType};

use super::ahead::one_ahead;
use super::compressed::Compressed;
use super::dense::Dense;
use super::remembered::Remembered;
use super::source::Source;
use super::transposed::Transposed;
use crate::cells::SparseMatrix;
use crate::{Error, Result};

/// Blocks begin at multiples of so many rows.
pub(super) const UNIT: usize = 256;
/// Values of a block if nothing else is said: 16 MiB with their columns.
pub const BLOCK: usize = 1 << 21;

/// A matrix on disk, of which nothing but the offsets of its rows is in memory, and what it is told to remember.
pub struct Matrix<'a> {
    n_rows: usize,
    n_columns: usize,
    form: Form<'a>,
    remembered: Option<Remembered>,
}

enum Form<'a> {
    Dense(Dense<'a>),
    Rows(Compressed<'a>),
    Columns(Compressed<'a>, OnceLock<Transposed>),
}

impl<'a> Matrix<'a> {
    /// Opens a matrix of the given shape; `None`, with a note, if its encoding has no counterpart here.
    ///
    /// Values become 32-bit floats; a note tells where whole numbers lose digits by that.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if the shape is another; [`Error::InvalidFile`] if the matrix is broken.
    pub(super) fn open(
        source: &'a Source,
        group: &Group,
        name: &str,
        slot: &str,
        shape: (usize, usize),
    ) -> Result<Option<Self>> {
        let form = match source.kind(group, name, slot) {
            Some(LocationType::Dataset) => {
                let dataset = group.dataset(name).map_err(source.hdf5(slot))?;
                Some(Form::Dense(Dense::open(source, &dataset, slot, shape)?))
            }
            Some(LocationType::Group) => {
                let group = group.group(name).map_err(source.hdf5(slot))?;
                Compressed::open(source, &group, slot, shape)?.map(|matrix| match matrix.is_csr {
                    true => Form::Rows(matrix),
                    false => Form::Columns(matrix, OnceLock::new()),
                })
            }
            _ => {
                source.note(slot, "is not a matrix; left out");
                None
            }
        };
        Ok(form.map(|form| Self { n_rows: shape.0, n_columns: shape.1, form, remembered: None }))
    }

    /// The same matrix, which keeps blocks of counts once they were read, packed into `n_bytes` at most: for one that is gone
    /// through several times.
    pub fn remembering(self, n_bytes: usize) -> Self {
        Self { remembered: Some(Remembered::new(n_bytes)), ..self }
    }

    /// The whole matrix.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] or [`Error::BadValues`] if it is broken.
    pub fn read(&self) -> Result<SparseMatrix> {
        let matrix = match &self.form {
            Form::Dense(dense) => dense.rows(0..self.n_rows)?,
            Form::Rows(rows) => rows.rows(0..self.n_rows)?,
            Form::Columns(columns, _) => columns.rows(0..self.n_columns)?.transposed(),
        };
        self.check()?;
        Ok(matrix)
    }

    /// Some rows, in rising order; of blocks of rows, those that hold one of them are read.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) fn select(&self, rows: &[usize]) -> Result<SparseMatrix> {
        if let Form::Columns(..) = self.form {
            return Ok(self.read()?.select_rows(rows));
        }
        let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
        let mut rest = rows;
        while let Some(&first) = rest.first() {
            let end = self.end(first, BLOCK).max(first + 1);
            let (some, later) = rest.split_at(rest.partition_point(|&row| row < end));
            let last = some[some.len() - 1];
            let block = self.rows(first..last + 1)?;
            for &row in some {
                let (some_indices, some_values) = block.row(row - first);
                indices.extend_from_slice(some_indices);
                values.extend_from_slice(some_values);
                indptr.push(indices.len());
            }
            rest = later;
        }
        self.check()?;
        SparseMatrix::new(self.n_columns, indptr, indices, values)
    }

    /// Calls `visit` with all rows, block by block: the number of the first row of each, and the block. Blocks begin at
    /// multiples of 256 rows and hold about `n_values` values.
    ///
    /// # Errors
    /// As [`Self::read`], and those of `visit`; [`Error::Io`] if compressed columns cannot be turned into rows by way of a
    /// temporary file.
    pub fn blocks(&self, n_values: usize, visit: &mut dyn FnMut(usize, SparseMatrix) -> Result<()>) -> Result<()> {
        if let Form::Columns(columns, transposed) = &self.form {
            let transposed = match transposed.get() {
                Some(transposed) => transposed,
                None => {
                    let new = Transposed::new(columns, n_values)?;
                    transposed.get_or_init(|| new)
                }
            };
            transposed.blocks(visit)?;
            return self.check();
        }
        let mut start = 0;
        let ranges = std::iter::from_fn(|| {
            let from = start;
            if from == self.n_rows {
                return None;
            }
            start = (self.end(from, n_values) / UNIT * UNIT).max((from / UNIT + 1) * UNIT).min(self.n_rows);
            Some(from..start)
        });
        let read = |range: Range<usize>| {
            let start = range.start;
            let block = match &self.remembered {
                Some(remembered) => remembered.rows(range, |range| self.rows(range))?,
                None => self.rows(range)?,
            };
            Ok((start, block))
        };
        one_ahead(ranges, read, &mut |(start, block)| visit(start, block))?;
        self.check()
    }

    /// Whether another matrix of the same shape holds the same values.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn equals(&self, other: &Matrix) -> Result<bool> {
        let columns = match other.form {
            Form::Columns(..) => Some(other.read()?),
            _ => None,
        };
        let mut are_equal = true;
        self.blocks(BLOCK, &mut |start, block| {
            let range = start..start + block.n_rows();
            are_equal = are_equal
                && match &columns {
                    Some(columns) => block == columns.select_rows(&range.collect::<Vec<_>>()),
                    None => block == other.rows(range)?,
                };
            Ok(())
        })?;
        Ok(are_equal)
    }

    /// Number of columns.
    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// Number of values that are stored; of a dense matrix, all.
    pub fn n_stored(&self) -> usize {
        match &self.form {
            Form::Dense(_) => self.n_rows * self.n_columns,
            Form::Rows(rows) | Form::Columns(rows, _) => rows.n_stored(),
        }
    }

    /// The end of rows that hold about so many values.
    fn end(&self, start: usize, n_values: usize) -> usize {
        match &self.form {
            Form::Dense(_) => (start + n_values / self.n_columns.max(1)).min(self.n_rows),
            Form::Rows(rows) | Form::Columns(rows, _) => {
                let stored = &rows.indptr[start + 1..];
                start + stored.partition_point(|&end| end - rows.indptr[start] <= n_values)
            }
        }
    }

    fn rows(&self, range: Range<usize>) -> Result<SparseMatrix> {
        match &self.form {
            Form::Dense(dense) => dense.rows(range),
            Form::Rows(rows) | Form::Columns(rows, _) => rows.rows(range),
        }
    }

    fn check(&self) -> Result<()> {
        match &self.form {
            Form::Dense(dense) => dense.check(),
            Form::Rows(rows) | Form::Columns(rows, _) => rows.check(),
        }
    }
}

/// Makes sure that a matrix fits `obs` and `var`.
pub(super) fn check_shape(source: &Source, slot: &str, needed: (usize, usize), found: (usize, usize)) -> Result<()> {
    if needed == found {
        return Ok(());
    }
    Err(Error::ShapeMismatch {
        what: format!("`{}`: `{slot}`", source.path.display()),
        expected: format!("{} × {}, the rows of `obs` and of `var`", needed.0, needed.1),
        got: format!("{} × {}", found.0, found.1),
    })
}

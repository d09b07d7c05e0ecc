//! Dense arrays: `X` and layers written as such, `obsm` and `varm`.

use std::collections::BTreeMap;
use std::ops::Range;

use hdf5::{Dataset, LocationType};
use ndarray::Array2;
use rayon::prelude::*;

use super::floats::Floats;
use super::source::Source;
use super::{attributes, legacy, matrix};
use crate::cells::SparseMatrix;
use crate::{Error, Result};

/// Rows that one thread looks through.
const ROWS: usize = 64;

/// A dense matrix on disk.
pub(super) struct Dense<'a> {
    values: Floats<'a>,
    n_columns: usize,
}

impl<'a> Dense<'a> {
    /// Opens a matrix of the given shape.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if the shape is another; [`Error::InvalidFile`] if it holds no numbers.
    pub(super) fn open(source: &'a Source, dataset: &Dataset, slot: &str, shape: (usize, usize)) -> Result<Self> {
        let stored = dataset.get_shape().map_err(source.hdf5(slot))?;
        let found = match stored[..] {
            [n_rows, n_columns] => (n_rows, n_columns),
            // Before anndata 0.7, a matrix of one column or one row lost a dimension.
            [n] if shape.0.min(shape.1) == 1 && shape.0.max(shape.1) == n => shape,
            _ => return Err(source.damaged(slot, format!("has the shape {stored:?} and is not a matrix"))),
        };
        matrix::check_shape(source, slot, shape, found)?;
        if u32::try_from(shape.1).is_err() {
            return Err(source.damaged(slot, "has too many columns: 2^32 or more"));
        }
        Ok(Self { values: Floats::open(source, dataset, slot)?, n_columns: shape.1 })
    }

    /// Some rows; zeros are not stored.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if they cannot be read.
    pub(super) fn rows(&self, range: Range<usize>) -> Result<SparseMatrix> {
        let (n_rows, n_columns) = (range.len(), self.n_columns);
        // A list is one row or one column.
        let per_row = n_columns / self.values.width().max(1);
        let values = self.values.rows(range.start * per_row..range.end * per_row)?;
        if values.is_empty() {
            return SparseMatrix::new(n_columns, vec![0; n_rows + 1], Vec::new(), Vec::new());
        }
        let parts: Vec<(Vec<usize>, Vec<u32>, Vec<f32>)> = values
            .par_chunks(ROWS * n_columns)
            .map(|rows| {
                let (mut lengths, mut indices, mut stored) = (Vec::new(), Vec::new(), Vec::new());
                for row in rows.chunks_exact(n_columns) {
                    let before = indices.len();
                    for (column, &value) in row.iter().enumerate().filter(|&(_, &value)| value != 0.0) {
                        indices.push(column as u32);
                        stored.push(value);
                    }
                    lengths.push(indices.len() - before);
                }
                (lengths, indices, stored)
            })
            .collect();
        let (mut indptr, mut indices, mut stored) = (vec![0], Vec::new(), Vec::new());
        for (lengths, some_indices, some_values) in parts {
            for length in lengths {
                indptr.push(indptr[indptr.len() - 1] + length);
            }
            indices.extend(some_indices);
            stored.extend(some_values);
        }
        SparseMatrix::new(n_columns, indptr, indices, stored)
    }

    /// Fails if values that were read have no counterpart here.
    pub(super) fn check(&self) -> Result<()> {
        self.values.check()
    }
}

/// Reads the arrays of `obsm` or `varm` that `keeps` names, of `n_rows` rows; what is not a dense array is left out with a
/// note.
///
/// # Errors
/// [`Error::ShapeMismatch`] if an array has another number of rows; [`Error::InvalidFile`] if one cannot be read.
pub(super) fn read_arrays(
    source: &Source,
    name: &str,
    n_rows: usize,
    keeps: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, Array2<f32>>> {
    let mut arrays = BTreeMap::new();
    match source.kind(&source.file, name, name) {
        Some(LocationType::Dataset) => {
            arrays = legacy::arrays(source, name)?;
            arrays.retain(|key, _| keeps(key));
        }
        Some(LocationType::Group) => {
            let group = source.file.group(name).map_err(source.hdf5(name))?;
            for key in source.members(&group, name)?.into_iter().filter(|key| keeps(key)) {
                let slot = format!("{name}/{key}");
                if source.kind(&group, &key, &slot) != Some(LocationType::Dataset) {
                    let encoding = group.group(&key).map(|inner| attributes::encoding(source, &slot, &inner));
                    let encoding = encoding.ok().transpose()?.unwrap_or_default();
                    source.note(&slot, &format!("has the encoding `{encoding}` and is not a dense array; left out"));
                    continue;
                }
                let dataset = group.dataset(&key).map_err(source.hdf5(&slot))?;
                let shape = dataset.get_shape().map_err(source.hdf5(&slot))?;
                if shape.len() != 2 {
                    source.note(&slot, &format!("is an array of {} dimensions, not of two; left out", shape.len()));
                    continue;
                }
                let values = Floats::open(source, &dataset, &slot)?;
                let array = Array2::from_shape_vec((shape[0], shape[1]), values.rows(0..shape[0])?)
                    .map_err(|error| source.damaged(&slot, format!("cannot be read ({error})")))?;
                values.check()?;
                arrays.insert(key, array);
            }
        }
        _ => {}
    }
    match arrays.iter().find(|(_, array)| array.nrows() != n_rows) {
        None => Ok(arrays),
        Some((key, array)) => Err(Error::ShapeMismatch {
            what: format!("`{}`: `{name}/{key}`", source.path.display()),
            expected: format!("{n_rows} rows, as many as `{}` has", &name[..3]),
            got: format!("{} rows", array.nrows()),
        }),
    }
}

//! Dense arrays: `X` and layers written as such, `obsm` and `varm`.

use std::collections::BTreeMap;

use hdf5::{Dataset, LocationType};
use ndarray::{Array2, s};

use super::matrix::{self, Conversion, Narrowing};
use super::source::Source;
use super::{attributes, legacy, raw};
use crate::cells::SparseMatrix;
use crate::{Error, Result};

/// Values read at a time.
const BLOCK: usize = 1 << 22;

/// Reads the rows of a dense matrix of the given shape that `keeps` names; zeros are not stored.
///
/// # Errors
/// [`Error::ShapeMismatch`] if the shape is another; [`Error::InvalidFile`] if the matrix cannot be read.
pub(super) fn read_sparse(
    source: &Source,
    dataset: &Dataset,
    slot: &str,
    shape: (usize, usize),
    keeps: impl Fn(usize) -> bool,
) -> Result<SparseMatrix> {
    let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
    if u32::try_from(shape.1).is_err() {
        return Err(source.damaged(slot, "has too many columns: 2^32 or more"));
    }
    let mut number = 0;
    rows(source, dataset, slot, Some(shape), |row| {
        number += 1;
        if !keeps(number - 1) {
            return;
        }
        for (column, &value) in row.iter().enumerate() {
            if value != 0.0 {
                indices.push(column as u32);
                values.push(value);
            }
        }
        indptr.push(indices.len());
    })?;
    SparseMatrix::new(shape.1, indptr, indices, values)
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
                let mut values = Vec::with_capacity(raw::check_size(source, &slot, &dataset)?);
                rows(source, &dataset, &slot, None, |row| values.extend_from_slice(row))?;
                let array = Array2::from_shape_vec((shape[0], shape[1]), values)
                    .map_err(|error| source.damaged(&slot, format!("cannot be read ({error})")))?;
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

/// Calls `take` with every row of a matrix, in blocks of whole chunks.
fn rows(
    source: &Source,
    dataset: &Dataset,
    slot: &str,
    shape: Option<(usize, usize)>,
    mut take: impl FnMut(&[f32]),
) -> Result<()> {
    let stored = dataset.get_shape().map_err(source.hdf5(slot))?;
    let (n_rows, n_columns) = match (&stored[..], shape) {
        (&[n_rows, n_columns], _) => (n_rows, n_columns),
        // Before anndata 0.7, a matrix of one column or one row lost a dimension.
        (&[n], Some((n_rows, n_columns))) if n_rows.min(n_columns) == 1 && n_rows.max(n_columns) == n => {
            (n_rows, n_columns)
        }
        _ => return Err(source.damaged(slot, format!("has the shape {stored:?} and is not a matrix"))),
    };
    matrix::check_shape(source, slot, shape.unwrap_or((n_rows, n_columns)), (n_rows, n_columns))?;
    let size = raw::check_size(source, slot, dataset)?;
    let conversion = Conversion::of(source, dataset, slot)?;
    if size == 0 {
        (0..n_rows).for_each(|_| take(&[]));
        return Ok(());
    }
    if conversion == Conversion::Booleans || stored.len() == 1 {
        let values = match conversion {
            Conversion::Booleans => matrix::booleans(source, dataset, slot)?,
            _ => dataset.read_raw().map_err(source.hdf5(slot))?,
        };
        values.chunks_exact(n_columns).for_each(take);
        return Ok(());
    }
    let chunk = dataset.chunk().map_or(1, |chunk| chunk[0].max(1));
    let block = (BLOCK / n_columns).max(1).div_ceil(chunk) * chunk;
    let mut narrowing = Narrowing::new(conversion, 0);
    let mut start = 0;
    while start < n_rows {
        let range = s![start..(start + block).min(n_rows), ..];
        if conversion == Conversion::Exact {
            let values = dataset.read_slice_2d::<f32, _>(range).map_err(source.hdf5(slot))?;
            values.as_standard_layout().as_slice().unwrap_or_default().chunks_exact(n_columns).for_each(&mut take);
        } else {
            let values = dataset.read_slice_2d::<f64, _>(range).map_err(source.hdf5(slot))?;
            for row in values.rows() {
                let row: Vec<f32> = row.iter().map(|&value| narrowing.narrow(value)).collect();
                take(&row);
            }
        }
        start += block;
    }
    narrowing.finish(source, slot).map(|_| ())
}

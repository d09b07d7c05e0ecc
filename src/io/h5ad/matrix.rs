//! `X` and the layers: dense or sparse on disk, [`SparseMatrix`] in memory.

use std::ops::Range;

use hdf5::types::{FloatSize, IntSize, TypeDescriptor};
use hdf5::{Dataset, Group, LocationType};
use ndarray::s;

use super::raw::{self, Elements};
use super::source::Source;
use super::{attributes, dense};
use crate::cells::SparseMatrix;
use crate::{Error, Result};

/// Values read and converted at a time.
const BLOCK: usize = 1 << 22;

/// Reads a matrix of the given shape; `None`, with a note, if its encoding has no counterpart here.
///
/// Values become 32-bit floats; a note tells where whole numbers lose digits by that.
///
/// # Errors
/// [`Error::ShapeMismatch`] if the shape is another; [`Error::InvalidFile`] if the matrix is broken.
pub(super) fn read(
    source: &Source,
    group: &Group,
    name: &str,
    slot: &str,
    shape: (usize, usize),
) -> Result<Option<SparseMatrix>> {
    match source.kind(group, name, slot) {
        Some(LocationType::Dataset) => {
            let dataset = group.dataset(name).map_err(source.hdf5(slot))?;
            dense::read_sparse(source, &dataset, slot, shape, |_| true).map(Some)
        }
        Some(LocationType::Group) => {
            let group = group.group(name).map_err(source.hdf5(slot))?;
            Compressed::open(source, &group, slot, shape)?.map(Compressed::read).transpose()
        }
        _ => {
            source.note(slot, "is not a matrix; left out");
            Ok(None)
        }
    }
}

/// Reads some rows, in rising order, of a matrix of the given shape, as [`read`].
pub(super) fn read_rows(
    source: &Source,
    group: &Group,
    name: &str,
    slot: &str,
    shape: (usize, usize),
    rows: &[usize],
) -> Result<Option<SparseMatrix>> {
    match source.kind(group, name, slot) {
        Some(LocationType::Dataset) => {
            let dataset = group.dataset(name).map_err(source.hdf5(slot))?;
            dense::read_sparse(source, &dataset, slot, shape, |row| rows.binary_search(&row).is_ok()).map(Some)
        }
        Some(LocationType::Group) => {
            let group = group.group(name).map_err(source.hdf5(slot))?;
            Compressed::open(source, &group, slot, shape)?.map(|matrix| matrix.read_rows(rows)).transpose()
        }
        _ => Ok(None),
    }
}

/// A compressed matrix on disk.
struct Compressed<'a> {
    source: &'a Source,
    slot: &'a str,
    is_csr: bool,
    /// Columns of compressed rows, or rows of compressed columns.
    n_minor: usize,
    indptr: Vec<usize>,
    indices: Dataset,
    data: Dataset,
}

impl<'a> Compressed<'a> {
    fn open(source: &'a Source, group: &Group, slot: &'a str, shape: (usize, usize)) -> Result<Option<Self>> {
        let mut format = attributes::encoding(source, slot, group)?;
        let mut stored_shape = attributes::shape(source, slot, group, "shape")?;
        if format.is_empty() {
            // Before anndata 0.7: `csr` and `csc` under other names.
            let old = attributes::text(source, slot, group, "h5sparse_format")?.unwrap_or_default();
            format = format!("{old}_matrix");
            stored_shape = attributes::shape(source, slot, group, "h5sparse_shape")?;
        }
        if !matches!(format.as_str(), "csr_matrix" | "csc_matrix") {
            source.note(slot, &format!("has the encoding `{format}`, which is not understood; left out"));
            return Ok(None);
        }
        let stored_shape = stored_shape.ok_or_else(|| source.damaged(slot, "does not say what shape it has"))?;
        check_shape(source, slot, shape, stored_shape)?;
        let part = |name: &str| {
            let place = format!("{slot}/{name}");
            let dataset = group.dataset(name).map_err(|_| source.damaged(&place, "is missing or is not a data set"))?;
            let rank = dataset.get_shape().map_err(source.hdf5(&place))?.len();
            if rank == 1 { Ok((dataset, place)) } else { Err(source.damaged(&place, "is not a list")) }
        };
        let is_csr = format == "csr_matrix";
        let (n_major, n_minor) = if is_csr { shape } else { (shape.1, shape.0) };
        let (dataset, place) = part("indptr")?;
        let indptr = offsets(source, &dataset, &place)?;
        if indptr.len() != n_major + 1 {
            let reason = format!("has {} entries where {} are needed", indptr.len(), n_major + 1);
            return Err(source.damaged(&place, reason));
        }
        let ((indices, place), (data, _)) = (part("indices")?, part("data")?);
        check_whole(source, &indices, &place)?;
        Ok(Some(Self { source, slot, is_csr, n_minor, indptr, indices, data }))
    }

    fn read(self) -> Result<SparseMatrix> {
        let indices = self.indices(None)?;
        let values = self.values(None)?;
        let matrix = self.matrix(self.indptr.clone(), indices, values)?;
        if self.is_csr { Ok(matrix) } else { transpose(&matrix) }
    }

    /// Of compressed rows, blocks that hold the rows asked for; of compressed columns, all.
    fn read_rows(self, rows: &[usize]) -> Result<SparseMatrix> {
        let conversion = Conversion::of(self.source, &self.data, self.slot)?;
        if !self.is_csr || conversion == Conversion::Booleans {
            return Ok(self.read()?.select_rows(rows));
        }
        let ends = [&self.indices, &self.data].map(|part| raw::check_size(self.source, self.slot, part));
        let [n_indices, n_values] = ends;
        // The offsets decide what is read: they must be in order before.
        let ends = (self.indptr.first(), self.indptr.last().copied());
        if ends != (Some(&0), Some(n_indices?)) || ends.1 != Some(n_values?) || !self.indptr.is_sorted() {
            return Err(self.source.damaged(self.slot, "has offsets that do not fit its values"));
        }
        let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
        let mut rest = rows;
        while let Some(&first) = rest.first() {
            let start = self.indptr[first];
            let fits = |&row: &usize| self.indptr[row + 1] - start <= BLOCK;
            let (block, later) = rest.split_at(rest.partition_point(fits).max(1));
            let range = start..self.indptr[block[block.len() - 1] + 1];
            let (all_indices, all_values) = (self.indices(Some(range.clone()))?, self.values(Some(range))?);
            for &row in block {
                let range = self.indptr[row] - start..self.indptr[row + 1] - start;
                indices.extend_from_slice(&all_indices[range.clone()]);
                values.extend_from_slice(&all_values[range]);
                indptr.push(indices.len());
            }
            rest = later;
        }
        self.matrix(indptr, indices, values)
    }

    fn matrix(&self, indptr: Vec<usize>, indices: Vec<u32>, values: Vec<f32>) -> Result<SparseMatrix> {
        SparseMatrix::new(self.n_minor, indptr, indices, values).map_err(|error| match error {
            Error::ShapeMismatch { expected, got, .. } => {
                self.source.damaged(self.slot, format!("needs {expected}, but has {got}"))
            }
            other => other,
        })
    }

    /// The column (or row) of each value; the library keeps numbers too large for 32 bits at the largest, which is too
    /// large for every matrix.
    fn indices(&self, range: Option<Range<usize>>) -> Result<Vec<u32>> {
        let (source, slot) = (self.source, format!("{}/indices", self.slot));
        if raw::check_size(source, &slot, &self.indices)? == 0 {
            return Ok(Vec::new());
        }
        let too_many = |_| source.damaged(&slot, "has too many columns: 2^31 or more");
        let n_minor = i32::try_from(self.n_minor).map_err(too_many)?;
        let indices: Vec<i32> = part(&self.indices, range).map_err(source.hdf5(&slot))?;
        let is_bad = |index: i32| index < 0 || index >= n_minor;
        let n_bad = indices.iter().filter(|&&index| is_bad(index)).count();
        if n_bad == 0 {
            return Ok(indices.into_iter().map(|index| index as u32).collect());
        }
        let bad = (0..indices.len()).filter(|&at| is_bad(indices[at]));
        Err(Error::BadValues {
            place: format!("{}: {slot}", source.path.display()),
            problem: format!("outside 0 to {}", n_minor - 1),
            n_bad,
            n_total: indices.len(),
            examples: bad.take(3).map(|at| format!("{} at {at}", indices[at])).collect(),
            hint: "the file is damaged; make or download it again".into(),
        })
    }

    /// The stored values as 32-bit floats.
    fn values(&self, range: Option<Range<usize>>) -> Result<Vec<f32>> {
        let (source, slot) = (self.source, format!("{}/data", self.slot));
        let size = raw::check_size(source, &slot, &self.data)?;
        if size == 0 {
            return Ok(Vec::new());
        }
        let conversion = Conversion::of(source, &self.data, &slot)?;
        match conversion {
            Conversion::Exact => part(&self.data, range).map_err(source.hdf5(&slot)),
            Conversion::Booleans => booleans(source, &self.data, &slot),
            Conversion::Checked { .. } => {
                let range = range.unwrap_or(0..size);
                let mut narrowed = Narrowing::new(conversion, range.len());
                let block = block_length(&self.data);
                let mut start = range.start;
                while start < range.end {
                    let end = (start + block).min(range.end);
                    let values = part::<f64>(&self.data, Some(start..end)).map_err(source.hdf5(&slot))?;
                    values.into_iter().for_each(|value| narrowed.push(value));
                    start = end;
                }
                narrowed.finish(source, &slot)
            }
        }
    }
}

/// A list, or a part of it.
fn part<T: hdf5::H5Type>(dataset: &Dataset, range: Option<Range<usize>>) -> hdf5::Result<Vec<T>> {
    match range {
        None => dataset.read_raw(),
        Some(range) if range.is_empty() => Ok(Vec::new()),
        Some(range) => Ok(dataset.read_slice_1d(s![range])?.into_raw_vec_and_offset().0),
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

/// Where each row (or column) starts.
fn offsets(source: &Source, dataset: &Dataset, slot: &str) -> Result<Vec<usize>> {
    check_whole(source, dataset, slot)?;
    let offsets: Vec<i64> = if raw::check_size(source, slot, dataset)? == 0 {
        Vec::new()
    } else {
        dataset.read_raw().map_err(source.hdf5(slot))?
    };
    let offsets: std::result::Result<Vec<usize>, _> = offsets.into_iter().map(usize::try_from).collect();
    offsets.map_err(|_| source.damaged(slot, "holds negative offsets"))
}

fn check_whole(source: &Source, dataset: &Dataset, slot: &str) -> Result<()> {
    match raw::descriptor(source, slot, dataset)? {
        Some(TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_)) => Ok(()),
        _ => Err(source.damaged(slot, "does not hold whole numbers")),
    }
}

/// About [`BLOCK`] values, in whole chunks of the data set.
fn block_length(dataset: &Dataset) -> usize {
    let chunk = dataset.chunk().and_then(|chunk| chunk.first().copied()).unwrap_or(1).max(1);
    BLOCK.div_ceil(chunk) * chunk
}

/// How the elements of a data set become 32-bit floats.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Conversion {
    /// Every value has a 32-bit float: the library converts.
    Exact,
    /// True is 1.
    Booleans,
    /// By way of 64-bit floats, with a look at each value.
    Checked { is_whole: bool },
}

impl Conversion {
    pub(super) fn of(source: &Source, dataset: &Dataset, slot: &str) -> Result<Self> {
        use TypeDescriptor as Type;
        match raw::descriptor(source, slot, dataset)? {
            Some(Type::Float(FloatSize::U4)) => Ok(Self::Exact),
            Some(Type::Integer(IntSize::U1 | IntSize::U2) | Type::Unsigned(IntSize::U1 | IntSize::U2)) => {
                Ok(Self::Exact)
            }
            Some(Type::Float(_)) => Ok(Self::Checked { is_whole: false }),
            Some(Type::Integer(_) | Type::Unsigned(_)) => Ok(Self::Checked { is_whole: true }),
            Some(Type::Boolean) => Ok(Self::Booleans),
            _ => Err(source.damaged(slot, "does not hold numbers")),
        }
    }
}

/// Booleans as 0 and 1.
pub(super) fn booleans(source: &Source, dataset: &Dataset, slot: &str) -> Result<Vec<f32>> {
    match raw::elements(source, slot, dataset)? {
        Some(Elements::Booleans(values)) => Ok(values.into_iter().map(|value| f32::from(u8::from(value))).collect()),
        _ => Err(source.damaged(slot, "does not hold numbers")),
    }
}

/// 64-bit floats on their way to 32 bits.
pub(super) struct Narrowing {
    values: Vec<f32>,
    is_whole: bool,
    n_seen: usize,
    n_rounded: usize,
    n_lost: usize,
    examples: Vec<String>,
}

impl Narrowing {
    pub(super) fn new(conversion: Conversion, capacity: usize) -> Self {
        let is_whole = conversion == Conversion::Checked { is_whole: true };
        let values = Vec::with_capacity(capacity);
        Self { values, is_whole, n_seen: 0, n_rounded: 0, n_lost: 0, examples: Vec::new() }
    }

    /// The value as 32 bits, counted if it suffers.
    pub(super) fn narrow(&mut self, value: f64) -> f32 {
        let narrow = value as f32;
        self.n_seen += 1;
        if narrow.is_infinite() && value.is_finite() {
            self.n_lost += 1;
            if self.examples.len() < 3 {
                self.examples.push(value.to_string());
            }
        } else if self.is_whole && f64::from(narrow) != value {
            self.n_rounded += 1;
        }
        narrow
    }

    fn push(&mut self, value: f64) {
        let narrow = self.narrow(value);
        self.values.push(narrow);
    }

    /// The values, unless some have no 32-bit counterpart; a note if some were rounded.
    pub(super) fn finish(self, source: &Source, slot: &str) -> Result<Vec<f32>> {
        if self.n_lost > 0 {
            return Err(Error::BadValues {
                place: format!("{}: {slot}", source.path.display()),
                problem: "too large for 32-bit floats".into(),
                n_bad: self.n_lost,
                n_total: self.n_seen,
                examples: self.examples,
                hint: "rescale the matrix".into(),
            });
        }
        if self.n_rounded > 0 {
            source.note(slot, &format!("holds {} whole numbers above 2^24; rounded to 32-bit floats", self.n_rounded));
        }
        Ok(self.values)
    }
}

/// Compressed columns, held as the rows of their transpose, to compressed rows.
fn transpose(matrix: &SparseMatrix) -> Result<SparseMatrix> {
    let n_rows = matrix.n_columns();
    let mut indptr = vec![0_usize; n_rows + 1];
    matrix.indices().iter().for_each(|&row| indptr[row as usize + 1] += 1);
    for row in 0..n_rows {
        indptr[row + 1] += indptr[row];
    }
    let mut next = indptr.clone();
    let (mut indices, mut values) = (vec![0_u32; matrix.n_stored()], vec![0_f32; matrix.n_stored()]);
    for column in 0..matrix.n_rows() {
        let (rows, stored) = matrix.row(column);
        for (&row, &value) in rows.iter().zip(stored) {
            let at = next[row as usize];
            indices[at] = column as u32;
            values[at] = value;
            next[row as usize] += 1;
        }
    }
    SparseMatrix::new(matrix.n_rows(), indptr, indices, values)
}

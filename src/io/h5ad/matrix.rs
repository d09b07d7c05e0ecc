//! `X` and the layers: dense or sparse on disk, [`SparseMatrix`] in memory.

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
            dense::read_sparse(source, &dataset, slot, shape).map(Some)
        }
        Some(LocationType::Group) => {
            let matrix = group.group(name).map_err(source.hdf5(slot))?;
            sparse(source, &matrix, slot, shape)
        }
        _ => {
            source.note(slot, "is not a matrix; left out");
            Ok(None)
        }
    }
}

fn sparse(source: &Source, group: &Group, slot: &str, shape: (usize, usize)) -> Result<Option<SparseMatrix>> {
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
        return Err(source.damaged(&place, format!("has {} entries where {} are needed", indptr.len(), n_major + 1)));
    }
    let (dataset, place) = part("indices")?;
    let indices = indices(source, &dataset, &place, n_minor)?;
    let (dataset, place) = part("data")?;
    let values = values(source, &dataset, &place)?;
    let matrix = SparseMatrix::new(n_minor, indptr, indices, values).map_err(|error| match error {
        Error::ShapeMismatch { expected, got, .. } => source.damaged(slot, format!("needs {expected}, but has {got}")),
        other => other,
    })?;
    Ok(Some(if is_csr { matrix } else { transpose(&matrix)? }))
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

/// The column (or row) of each value; the library keeps numbers too large for 32 bits at the largest, which is too
/// large for every matrix.
fn indices(source: &Source, dataset: &Dataset, slot: &str, n_minor: usize) -> Result<Vec<u32>> {
    check_whole(source, dataset, slot)?;
    if raw::check_size(source, slot, dataset)? == 0 {
        return Ok(Vec::new());
    }
    let n_minor = i32::try_from(n_minor).map_err(|_| source.damaged(slot, "has too many columns: 2^31 or more"))?;
    let indices: Vec<i32> = dataset.read_raw().map_err(source.hdf5(slot))?;
    let bad: Vec<usize> =
        (0..indices.len()).filter(|&at| indices[at] < 0 || indices[at] >= n_minor).take(1000).collect();
    if bad.is_empty() {
        return Ok(indices.into_iter().map(|index| index as u32).collect());
    }
    Err(Error::BadValues {
        place: format!("{}: {slot}", source.path.display()),
        problem: format!("outside 0 to {}", n_minor - 1),
        n_bad: indices.iter().filter(|&&index| index < 0 || index >= n_minor).count(),
        n_total: indices.len(),
        examples: bad.iter().take(3).map(|&at| format!("{} at {at}", indices[at])).collect(),
        hint: "the file is damaged; make or download it again".into(),
    })
}

fn check_whole(source: &Source, dataset: &Dataset, slot: &str) -> Result<()> {
    match raw::descriptor(source, slot, dataset)? {
        Some(TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_)) => Ok(()),
        _ => Err(source.damaged(slot, "does not hold whole numbers")),
    }
}

/// The stored values as 32-bit floats.
fn values(source: &Source, dataset: &Dataset, slot: &str) -> Result<Vec<f32>> {
    let size = raw::check_size(source, slot, dataset)?;
    if size == 0 {
        return Ok(Vec::new());
    }
    let conversion = Conversion::of(source, dataset, slot)?;
    match conversion {
        Conversion::Exact => dataset.read_raw().map_err(source.hdf5(slot)),
        Conversion::Booleans => booleans(source, dataset, slot),
        Conversion::Checked { .. } => {
            let mut narrowed = Narrowing::new(conversion, size);
            let mut start = 0;
            let block = block_length(dataset);
            while start < size {
                let end = (start + block).min(size);
                let values = dataset.read_slice_1d::<f64, _>(s![start..end]).map_err(source.hdf5(slot))?;
                values.iter().for_each(|&value| narrowed.push(value));
                start = end;
            }
            narrowed.finish(source, slot)
        }
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

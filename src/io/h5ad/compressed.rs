//! Matrices in compressed sparse rows or columns.

use std::ops::Range;

use hdf5::types::{IntSize, TypeDescriptor};
use hdf5::{Dataset, Group};
use ndarray::s;

use super::chunks::Chunks;
use super::floats::Floats;
use super::source::Source;
use super::{attributes, matrix, raw};
use crate::cells::SparseMatrix;
use crate::{Error, Result};

/// A compressed matrix on disk.
pub(super) struct Compressed<'a> {
    source: &'a Source,
    slot: String,
    /// True for compressed rows, false for compressed columns.
    pub(super) is_csr: bool,
    /// Columns of compressed rows, or rows of compressed columns.
    pub(super) n_minor: usize,
    /// Where each row (or column) starts, and the last one ends.
    pub(super) indptr: Vec<usize>,
    indices: Dataset,
    /// The way to the indices that goes around the library, and their type.
    chunks: Option<(Chunks, Narrow)>,
    values: Floats<'a>,
}

/// Turns the bytes of elements into positions below a limit; gives the number of those that are not.
type Narrow = fn(&[u8], &mut [u32], usize) -> usize;

impl<'a> Compressed<'a> {
    /// Opens a matrix of the given shape; `None`, with a note, if its encoding has no counterpart here.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if the shape is another; [`Error::InvalidFile`] if its offsets are wrong.
    pub(super) fn open(source: &'a Source, group: &Group, slot: &str, shape: (usize, usize)) -> Result<Option<Self>> {
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
        matrix::check_shape(source, slot, shape, stored_shape)?;
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
        let ((indices, place), (data, data_place)) = (part("indices")?, part("data")?);
        let narrow = narrowing(check_whole(source, &indices, &place)?);
        let n_indices = raw::check_size(source, &place, &indices)?;
        let chunks = if n_indices == 0 { None } else { Chunks::of(source, &place, &indices)? };
        let values = Floats::open(source, &data, &data_place)?;
        // The offsets decide what is read: they must be in order before.
        if !indptr.is_sorted() {
            return Err(source.damaged(slot, "has offsets that do not fit: indptr never falls, but this one does"));
        }
        let (first, last, n_values) = (indptr[0], indptr[n_major], values.n_rows());
        if first != 0 || last != n_indices || last != n_values {
            let reason = format!(
                "has offsets that do not fit: they go from {first} to {last}, over {n_indices} indices and {n_values} values"
            );
            return Err(source.damaged(slot, reason));
        }
        let chunks = chunks.map(|chunks| (chunks, narrow));
        Ok(Some(Self { source, slot: slot.to_owned(), is_csr, n_minor, indptr, indices, chunks, values }))
    }

    /// Number of rows, or of columns of compressed columns.
    pub(super) fn n_major(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Number of values.
    pub(super) fn n_stored(&self) -> usize {
        self.indptr[self.n_major()]
    }

    /// Some rows; of compressed columns, some columns as the rows of a transposed matrix.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] or [`Error::BadValues`] if they are broken.
    pub(super) fn rows(&self, range: Range<usize>) -> Result<SparseMatrix> {
        let stored = self.indptr[range.start]..self.indptr[range.end];
        let indptr = self.indptr[range.start..=range.end].iter().map(|end| end - stored.start).collect();
        let (indices, values) = (self.indices(stored.clone())?, self.values.rows(stored)?);
        SparseMatrix::new(self.n_minor, indptr, indices, values).map_err(|error| match error {
            Error::ShapeMismatch { expected, got, .. } => {
                let place = if range.start == 0 { String::new() } else { format!(" (rows from {})", range.start) };
                self.source.damaged(&self.slot, format!("needs {expected}, but has {got}{place}"))
            }
            other => other,
        })
    }

    /// Only the positions of [`Self::rows`].
    pub(super) fn indices(&self, range: Range<usize>) -> Result<Vec<u32>> {
        let (source, slot) = (self.source, format!("{}/indices", self.slot));
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let too_many = |_| source.damaged(&slot, "has too many columns: 2^31 or more");
        let n_minor = i32::try_from(self.n_minor).map_err(too_many)?;
        if let Some((chunks, narrow)) = &self.chunks {
            let (narrow, limit) = (*narrow, self.n_minor);
            let read = chunks.rows(range.clone(), |bytes, indices| narrow(bytes, indices, limit));
            let (indices, n_bad) = read.map_err(|reason| source.damaged(&slot, reason))?;
            if n_bad.iter().all(|&n_bad| n_bad == 0) {
                return Ok(indices);
            }
        }
        // The library keeps numbers too large for 32 bits at the largest, which is too large for every matrix.
        let indices = self.indices.read_slice_1d::<i32, _>(s![range.clone()]).map_err(source.hdf5(&slot))?;
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
            examples: bad.take(3).map(|at| format!("{} at {}", indices[at], range.start + at)).collect(),
            hint: "the file is damaged; make or download it again".into(),
        })
    }

    /// Fails if values that were read have no counterpart here.
    pub(super) fn check(&self) -> Result<()> {
        self.values.check()
    }
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

fn check_whole(source: &Source, dataset: &Dataset, slot: &str) -> Result<TypeDescriptor> {
    match raw::descriptor(source, slot, dataset)? {
        Some(whole @ (TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_))) => Ok(whole),
        _ => Err(source.damaged(slot, "does not hold whole numbers")),
    }
}

fn narrowing(whole: TypeDescriptor) -> Narrow {
    // A negative number is too large once its bits are read as unsigned.
    match whole {
        TypeDescriptor::Integer(size) => match size {
            IntSize::U1 => |bytes, to, limit| narrow(bytes, to, limit, |b| i8::from_ne_bytes(b) as u64),
            IntSize::U2 => |bytes, to, limit| narrow(bytes, to, limit, |b| i16::from_ne_bytes(b) as u64),
            IntSize::U4 => |bytes, to, limit| narrow_32(bytes, to, limit),
            IntSize::U8 => |bytes, to, limit| narrow(bytes, to, limit, u64::from_ne_bytes),
        },
        TypeDescriptor::Unsigned(IntSize::U1) => |bytes, to, limit| narrow(bytes, to, limit, |[b]| u64::from(b)),
        TypeDescriptor::Unsigned(IntSize::U2) => {
            |bytes, to, limit| narrow(bytes, to, limit, |b| u64::from(u16::from_ne_bytes(b)))
        }
        TypeDescriptor::Unsigned(IntSize::U4) => |bytes, to, limit| narrow_32(bytes, to, limit),
        _ => |bytes, to, limit| narrow(bytes, to, limit, u64::from_ne_bytes),
    }
}

fn narrow<const N: usize>(bytes: &[u8], to: &mut [u32], limit: usize, of: impl Fn([u8; N]) -> u64) -> usize {
    let mut n_bad = 0;
    for (index, bytes) in to.iter_mut().zip(bytes.as_chunks::<N>().0) {
        let wide = of(*bytes);
        n_bad += usize::from(wide >= limit as u64);
        *index = wide as u32;
    }
    n_bad
}

/// The common case, in 32 bits throughout so that it vectorises; the limit is below 2^31.
fn narrow_32(bytes: &[u8], to: &mut [u32], limit: usize) -> usize {
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let mut n_bad = 0_u32;
    for (index, bytes) in to.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *index = u32::from_ne_bytes(*bytes);
        n_bad += u32::from(*index >= limit);
    }
    n_bad as usize
}

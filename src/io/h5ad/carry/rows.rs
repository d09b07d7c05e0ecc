//! Rows of data sets whose elements are plain bytes, in the types of the file.

use std::ops::Range;

use hdf5::{Dataset, Dataspace, Datatype, H5Type, SimpleExtents};
use hdf5_sys::h5d::{H5Dread, H5Dwrite};
use hdf5_sys::h5i::hid_t;
use hdf5_sys::h5p::H5P_DEFAULT;
use hdf5_sys::h5s::{H5S_ALL, H5S_seloper_t, H5Sselect_hyperslab};
use hdf5_sys::h5t::{
    H5T_class_t, H5Tclose, H5Tget_class, H5Tget_member_type, H5Tget_nmembers, H5Tget_super, H5Tis_variable_str,
    H5Treclaim,
};

use crate::Result;
use crate::io::h5ad::source::Source;
use crate::io::h5ad::target::Target;
use crate::io::h5ad::{failure, raw};

/// Bytes read at a time.
const BLOCK_BYTES: usize = 1 << 24;
/// Bytes of a chunk, before compression.
const CHUNK_BYTES: usize = 1 << 18;
/// Deflate's level, after the bytes were shuffled.
const LEVEL: u8 = 1;
/// Shorter arrays are stored as they are.
const LEAST_COMPRESSED_BYTES: usize = 1024;

/// What the elements of a data set are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Plain {
    /// Numbers and truths.
    Number,
    /// Text.
    Text { is_fixed: bool },
    /// Records of plain members.
    Records,
    /// Records and lists with members of any length, such as texts.
    Pointers,
    /// Something that points to other objects of its file, or is unknown.
    No,
}

impl Plain {
    pub(super) fn of(source: &Source, slot: &str, dataset: &Dataset) -> Result<Self> {
        let datatype = dataset.dtype().map_err(source.hdf5(slot))?;
        // The type is open for the call.
        Ok(hdf5::sync::sync(|| unsafe { kind(datatype.id(), 0) }))
    }
}

/// What a type is made of.
///
/// # Safety
/// `datatype` must be the identifier of an open type, and the library's lock be held.
unsafe fn kind(datatype: hid_t, depth: usize) -> Plain {
    // Each type that is asked for is closed again.
    let inner = |part: hid_t| unsafe {
        if part < 0 || depth > 8 {
            return Plain::No;
        }
        let kind = kind(part, depth + 1);
        H5Tclose(part);
        kind
    };
    match unsafe { H5Tget_class(datatype) } {
        H5T_class_t::H5T_INTEGER
        | H5T_class_t::H5T_FLOAT
        | H5T_class_t::H5T_ENUM
        | H5T_class_t::H5T_BITFIELD
        | H5T_class_t::H5T_OPAQUE => Plain::Number,
        H5T_class_t::H5T_STRING => Plain::Text { is_fixed: unsafe { H5Tis_variable_str(datatype) } == 0 },
        H5T_class_t::H5T_ARRAY => match inner(unsafe { H5Tget_super(datatype) }) {
            Plain::No => Plain::No,
            Plain::Pointers | Plain::Text { is_fixed: false } => Plain::Pointers,
            _ => Plain::Number,
        },
        H5T_class_t::H5T_VLEN => match inner(unsafe { H5Tget_super(datatype) }) {
            Plain::No => Plain::No,
            _ => Plain::Pointers,
        },
        H5T_class_t::H5T_COMPOUND => {
            let n = unsafe { H5Tget_nmembers(datatype) }.max(0) as u32;
            let mut whole = Plain::Records;
            for member in 0..n {
                match inner(unsafe { H5Tget_member_type(datatype, member) }) {
                    Plain::No => return Plain::No,
                    Plain::Pointers | Plain::Text { is_fixed: false } => whole = Plain::Pointers,
                    _ => {}
                }
            }
            whole
        }
        _ => Plain::No,
    }
}

/// Rows of a data set, as the bytes that the file holds.
pub(super) fn read(dataset: &Dataset, rows: Range<usize>) -> hdf5::Result<Vec<u8>> {
    let datatype = dataset.dtype()?;
    let mut count = dataset.get_shape()?;
    count[0] = rows.len();
    let n_bytes = count.iter().product::<usize>() * datatype.size();
    let mut buffer = vec![0_u8; n_bytes];
    if n_bytes > 0 {
        let (file, memory) = spaces(dataset, rows.start, &count)?;
        // The buffer holds the selected elements in the type of the file.
        check(|| unsafe {
            H5Dread(dataset.id(), datatype.id(), memory.id(), file.id(), H5P_DEFAULT, buffer.as_mut_ptr().cast())
        })?;
    }
    Ok(buffer)
}

/// The selection of rows in the file, and the space of as many in memory.
fn spaces(dataset: &Dataset, start: usize, count: &[usize]) -> hdf5::Result<(Dataspace, Dataspace)> {
    let (file, memory) = (dataset.space()?, Dataspace::try_new(count)?);
    let mut first = vec![0_u64; count.len()];
    first[0] = start as u64;
    let count: Vec<u64> = count.iter().map(|&n| n as u64).collect();
    // Both lists have as many entries as the data set has dimensions.
    check(|| unsafe {
        let (set, none) = (H5S_seloper_t::H5S_SELECT_SET, std::ptr::null());
        H5Sselect_hyperslab(file.id(), set, first.as_ptr(), none, count.as_ptr(), none)
    })?;
    Ok((file, memory))
}

/// Calls the library, and asks it what went wrong.
fn check(call: impl FnOnce() -> i32) -> hdf5::Result<()> {
    hdf5::sync::sync(|| match call() {
        0.. => Ok(()),
        _ => Err(hdf5::Error::query().unwrap_or_else(|error| error)),
    })
}

/// Writes a single element of the type that the source has.
pub(super) fn single(source: &Source, dataset: &Dataset, to: &Target, name: &str, slot: &str) -> Result<()> {
    let datatype = dataset.dtype().map_err(source.hdf5(slot))?;
    let mut buffer = vec![0_u8; datatype.size()];
    check(|| unsafe {
        H5Dread(dataset.id(), datatype.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, buffer.as_mut_ptr().cast())
    })
    .map_err(source.hdf5(slot))?;
    let builder = to.group.new_dataset_builder().obj_track_times(false).no_chunk();
    let copy = builder.empty_as(&datatype).shape(()).create(name);
    // Both buffers hold one element of this type.
    let written = copy.and_then(|copy| {
        let written = check(|| unsafe {
            H5Dwrite(copy.id(), datatype.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, buffer.as_ptr().cast())
        });
        reclaim(&datatype, &[], &mut buffer);
        written
    });
    to.check()?;
    written.map_err(to.hdf5(slot))
}

/// Gives back what the library allocated for elements of any length.
fn reclaim(datatype: &Datatype, shape: &[usize], buffer: &mut [u8]) {
    if let Ok(space) = if shape.is_empty() { Dataspace::try_new(()) } else { Dataspace::try_new(shape) } {
        // The buffer holds as many elements as the space, as the library read them; their pointers are not used again.
        hdf5::sync::sync(|| unsafe {
            H5Treclaim(datatype.id(), space.id(), H5P_DEFAULT, buffer.as_mut_ptr().cast());
        });
    }
}

/// Writes the kept rows, and of these the kept places of the second axis, with the type that the source has.
pub(super) fn cut(
    source: &Source,
    dataset: &Dataset,
    to: &Target,
    name: &str,
    slot: &str,
    shape: &[usize],
    kept: [Option<&[usize]>; 2],
) -> Result<()> {
    raw::check_size(source, slot, dataset)?;
    let hdf5 = source.hdf5(slot);
    let datatype = dataset.dtype().map_err(&hdf5)?;
    // Bytes of one place of the second axis, of one row before, and of one row after.
    let inner = shape.iter().skip(2).product::<usize>() * datatype.size();
    let second = shape.get(1).copied().unwrap_or(1);
    let width = second * inner;
    let all: Vec<usize>;
    let rows = match kept[0] {
        Some(rows) => rows,
        None => {
            all = (0..shape[0]).collect();
            &all
        }
    };
    let mut new_shape = shape.to_vec();
    new_shape[0] = rows.len();
    if let (Some(columns), Some(length)) = (kept[1], new_shape.get_mut(1)) {
        *length = columns.len();
    }
    let plain = Plain::of(source, slot, dataset)?;
    let has_pointers = matches!(plain, Plain::Pointers | Plain::Text { is_fixed: false });
    let mut target = Rows::new(to, name, slot, datatype.clone(), &new_shape, false)?;
    let most_rows = (BLOCK_BYTES / width.max(1)).max(1);
    let mut rest = rows;
    while let Some(&first) = rest.first() {
        let fits = |at: usize| rest[at] > rest[at - 1] && rest[at] - first < most_rows;
        let n = (1..rest.len()).find(|&at| !fits(at)).unwrap_or(rest.len());
        let (block, later) = rest.split_at(n);
        let mut bytes = read(dataset, first..block[n - 1] + 1).map_err(&hdf5)?;
        let mut chosen = Vec::with_capacity(n * width);
        for &row in block {
            let row = &bytes[(row - first) * width..(row - first + 1) * width];
            match kept[1] {
                Some(columns) if shape.len() > 1 => columns
                    .iter()
                    .for_each(|&column| chosen.extend_from_slice(&row[column * inner..(column + 1) * inner])),
                _ => chosen.extend_from_slice(row),
            }
        }
        target.append(to, &chosen)?;
        if has_pointers {
            target.write(to, true)?;
            let mut read = shape.to_vec();
            read[0] = block[n - 1] + 1 - first;
            reclaim(&datatype, &read, &mut bytes);
        }
        rest = later;
    }
    target.finish(to)
}

/// A data set that is filled row by row.
pub(super) struct Rows {
    dataset: Dataset,
    slot: String,
    datatype: Datatype,
    /// The shape of one row.
    inner: Vec<usize>,
    grows: bool,
    chunk_rows: usize,
    pending: Vec<u8>,
    n_written: usize,
}

impl Rows {
    /// A list of any length, of the type that another one has.
    pub(super) fn list(source: &Source, to: &Target, name: &str, slot: &str, like: &Dataset) -> Result<Self> {
        Self::new(to, name, slot, like.dtype().map_err(source.hdf5(slot))?, &[0], true)
    }

    pub(super) fn new(
        to: &Target,
        name: &str,
        slot: &str,
        datatype: Datatype,
        shape: &[usize],
        grows: bool,
    ) -> Result<Self> {
        let inner = shape[1..].to_vec();
        let row_bytes = (inner.iter().product::<usize>() * datatype.size()).max(1);
        let chunk_rows = (CHUNK_BYTES / row_bytes).max(1);
        let builder = to.group.new_dataset_builder().obj_track_times(false);
        let is_large = !inner.contains(&0) && (grows || shape[0] * row_bytes >= LEAST_COMPRESSED_BYTES);
        let chunk: Vec<usize> = std::iter::once(if grows { chunk_rows } else { chunk_rows.min(shape[0].max(1)) })
            .chain(inner.clone())
            .collect();
        let builder = match is_large {
            true => builder.chunk(chunk).shuffle().deflate(LEVEL),
            false => builder.no_chunk(),
        };
        let extents = match grows {
            true => SimpleExtents::resizable([0]),
            false => SimpleExtents::fixed(shape),
        };
        let dataset = builder.empty_as(&datatype).shape(extents).create(name).map_err(to.hdf5(slot))?;
        let slot = slot.to_owned();
        Ok(Self { dataset, slot, datatype, inner, grows, chunk_rows, pending: Vec::new(), n_written: 0 })
    }

    /// Bytes of one row.
    pub(super) fn row_bytes(&self) -> usize {
        self.inner.iter().product::<usize>() * self.datatype.size()
    }

    /// Puts whole rows at the end, as bytes of the data set's own type.
    pub(super) fn append(&mut self, to: &Target, bytes: &[u8]) -> Result<()> {
        self.pending.extend_from_slice(bytes);
        self.write(to, false)
    }

    /// Puts whole numbers at the end of a list, which the library converts.
    pub(super) fn append_integers(&mut self, to: &Target, values: &[i64]) -> Result<()> {
        let memory = i64::type_descriptor();
        let converted = Datatype::from_descriptor(&memory)
            .and_then(|memory| self.put(values.len(), values.as_ptr().cast(), &memory));
        self.finish_put(to, converted)
    }

    /// Writes what is left.
    pub(super) fn finish(mut self, to: &Target) -> Result<()> {
        self.write(to, true)?;
        self.dataset.flush().map_err(to.hdf5(&self.slot))?;
        to.check()
    }

    fn write(&mut self, to: &Target, all: bool) -> Result<()> {
        let width = self.row_bytes();
        let n = self.pending.len() / width.max(1);
        let n = if all { n } else { n / self.chunk_rows * self.chunk_rows };
        let pending = std::mem::take(&mut self.pending);
        let datatype = self.datatype.clone();
        let written = self.put(n, pending.as_ptr().cast(), &datatype);
        self.pending = pending;
        self.pending.drain(..n * width);
        self.finish_put(to, written)
    }

    /// Writes so many rows from memory, which must hold as many in the given type.
    fn put(&mut self, n: usize, from: *const std::ffi::c_void, memory_type: &Datatype) -> hdf5::Result<()> {
        if n == 0 {
            return Ok(());
        }
        let start = self.n_written;
        if self.grows {
            self.dataset.resize([start + n])?;
        }
        let count: Vec<usize> = std::iter::once(n).chain(self.inner.iter().copied()).collect();
        let (file, memory) = spaces(&self.dataset, start, &count)?;
        // The caller's buffer holds the selected elements in this type.
        check(|| unsafe { H5Dwrite(self.dataset.id(), memory_type.id(), memory.id(), file.id(), H5P_DEFAULT, from) })?;
        self.n_written += n;
        Ok(())
    }

    /// Tells of the disk first, as what the library says of it is only its consequence.
    fn finish_put(&self, to: &Target, written: hdf5::Result<()>) -> Result<()> {
        to.check()?;
        written.map_err(|error| failure::writing(to.path, &self.slot, &error))
    }
}

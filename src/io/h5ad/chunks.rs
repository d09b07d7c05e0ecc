//! Chunks of a data set, taken from the file as they lie there and unpacked by several threads: the library would undo
//! one after the other, under the one lock that all its calls take.

use std::ops::Range;

use hdf5::filters::Filter;
use hdf5::types::TypeDescriptor;
use hdf5::{Dataset, Datatype};
use hdf5_sys::h5d::{H5D_fill_value_t, H5Dget_chunk_info_by_coord, H5Dget_create_plist, H5Dread_chunk};
use hdf5_sys::h5p::{H5P_DEFAULT, H5Pclose, H5Pfill_value_defined};
use libdeflater::Decompressor;
use rayon::prelude::*;

use super::raw;
use super::source::Source;
use crate::Result;

/// A list or a matrix in chunks that are deflated, shuffled, both or neither, and whose elements lie in the file as in
/// memory.
pub(super) struct Chunks {
    dataset: Dataset,
    /// Rows and columns; a list has one column.
    shape: (usize, usize),
    chunk: (usize, usize),
    is_list: bool,
    element_bytes: usize,
    /// What was done to each chunk, in the order in which it was done.
    filters: Vec<Undo>,
    /// The size of the file, which no chunk can exceed.
    n_bytes: u64,
}

/// A filter that is undone here.
#[derive(Clone, Copy, PartialEq)]
enum Undo {
    Shuffle,
    Deflate,
}

impl Chunks {
    /// `None` if the library has to read this data set.
    ///
    /// # Errors
    /// [`crate::Error::InvalidFile`] if the data set is broken.
    pub(super) fn of(source: &Source, slot: &str, dataset: &Dataset) -> Result<Option<Self>> {
        raw::check_size(source, slot, dataset)?;
        let (shape, chunk) = (dataset.get_shape().map_err(source.hdf5(slot))?, dataset.chunk().unwrap_or_default());
        let (shape, chunk) = match (&shape[..], &chunk[..]) {
            (&[n_rows], &[n_chunk]) => ((n_rows, 1), (n_chunk, 1)),
            (&[n_rows, n_columns], &[chunk_rows, chunk_columns]) => ((n_rows, n_columns), (chunk_rows, chunk_columns)),
            _ => return Ok(None),
        };
        let undo = |filter: &Filter| match filter {
            Filter::Shuffle => Some(Undo::Shuffle),
            Filter::Deflate(_) => Some(Undo::Deflate),
            _ => None,
        };
        let Some(filters) = dataset.filters().iter().map(undo).collect::<Option<Vec<_>>>() else { return Ok(None) };
        let is_known = matches!(filters[..], [] | [Undo::Deflate] | [Undo::Shuffle] | [Undo::Shuffle, Undo::Deflate]);
        if !is_known || chunk.0 == 0 || chunk.1 == 0 || has_fill_value(dataset) {
            return Ok(None);
        }
        let element_bytes = match raw::descriptor(source, slot, dataset)? {
            Some(
                descriptor @ (TypeDescriptor::Float(_) | TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_)),
            ) => {
                let stored = dataset.dtype().map_err(source.hdf5(slot))?;
                let native = Datatype::from_descriptor(&descriptor).map_err(source.hdf5(slot))?;
                if stored != native {
                    return Ok(None);
                }
                descriptor.size()
            }
            _ => return Ok(None),
        };
        let is_list = dataset.ndim() == 1;
        Ok(Some(Self {
            dataset: dataset.clone(),
            shape,
            chunk,
            is_list,
            element_bytes,
            filters,
            n_bytes: source.n_bytes,
        }))
    }

    /// Some rows of the matrix, or elements of the list, in row-major order. `convert` turns the bytes of some elements in
    /// a row into as many values, and says something of them; what it says comes in the order of the rows.
    ///
    /// # Errors
    /// Says what is wrong with a chunk.
    pub(super) fn rows<T, S>(
        &self,
        range: Range<usize>,
        convert: impl Fn(&[u8], &mut [T]) -> S + Sync,
    ) -> std::result::Result<(Vec<T>, Vec<S>), String>
    where
        T: Default + Clone + Send,
        S: Send,
    {
        let (n_columns, chunk_rows) = (self.shape.1, self.chunk.0);
        let mut values = vec![T::default(); range.len() * n_columns];
        // A slab is what one row of chunks holds of the range.
        let mut slabs = Vec::new();
        let mut rest = &mut values[..];
        let mut start = range.start;
        while start < range.end {
            let end = ((start / chunk_rows + 1) * chunk_rows).min(range.end);
            let (slab, later) = std::mem::take(&mut rest).split_at_mut((end - start) * n_columns);
            slabs.push((start, slab));
            (rest, start) = (later, end);
        }
        let unpack = |unpacker: &mut Unpacker, (start, slab): (usize, &mut [T])| {
            let n_rows = slab.len() / n_columns.max(1);
            let mut said = Vec::new();
            for first_column in (0..n_columns).step_by(self.chunk.1) {
                let bytes = self.chunk(start / chunk_rows * chunk_rows, first_column, unpacker)?;
                let n_here = self.chunk.1.min(n_columns - first_column);
                if self.chunk.1 == n_columns {
                    let from = start % chunk_rows * n_columns * self.element_bytes;
                    said.push(convert(&bytes[from..from + slab.len() * self.element_bytes], slab));
                    continue;
                }
                for row in 0..n_rows {
                    let from = (start % chunk_rows + row) * self.chunk.1 * self.element_bytes;
                    let to = row * n_columns + first_column;
                    said.push(convert(&bytes[from..from + n_here * self.element_bytes], &mut slab[to..to + n_here]));
                }
            }
            Ok(said)
        };
        let said: Vec<Vec<S>> =
            slabs.into_par_iter().map_init(Unpacker::new, unpack).collect::<std::result::Result<_, String>>()?;
        Ok((values, said.into_iter().flatten().collect()))
    }

    /// The elements of the chunk that begins at this row and column.
    fn chunk<'b>(
        &self,
        row: usize,
        column: usize,
        unpacker: &'b mut Unpacker,
    ) -> std::result::Result<&'b [u8], String> {
        let Unpacker { decompressor, packed, shuffled, elements } = unpacker;
        let n_bytes = self.chunk.0 * self.chunk.1 * self.element_bytes;
        elements.resize(n_bytes, 0);
        let Some(skipped) = self.read(row, column, packed)? else {
            // A chunk that was never written holds zeros.
            elements.fill(0);
            return Ok(elements);
        };
        let is_done = |filter: Undo| {
            let place = self.filters.iter().position(|&undo| undo == filter);
            place.is_some_and(|place| skipped & (1 << place) == 0)
        };
        let unpacked: &mut Vec<u8> = if is_done(Undo::Shuffle) { shuffled } else { elements };
        unpacked.resize(n_bytes, 0);
        if is_done(Undo::Deflate) {
            let found = decompressor.zlib_decompress(packed, unpacked);
            match found {
                Ok(found) if found == n_bytes => {}
                Ok(found) => return Err(format!("has a chunk of {found} bytes where {n_bytes} belong")),
                Err(error) => return Err(format!("has a chunk that cannot be decompressed ({error})")),
            }
        } else if packed.len() == n_bytes {
            unpacked.copy_from_slice(packed);
        } else {
            return Err(format!("has a chunk of {} bytes where {n_bytes} belong", packed.len()));
        }
        if is_done(Undo::Shuffle) {
            unshuffle(shuffled, self.element_bytes, elements);
        }
        Ok(elements)
    }

    /// Takes a chunk from the file; `None` if it was never written, else which filters were skipped.
    fn read(&self, row: usize, column: usize, packed: &mut Vec<u8>) -> std::result::Result<Option<u32>, String> {
        let place = if self.is_list { vec![row as u64] } else { vec![row as u64, column as u64] };
        let id = self.dataset.id();
        let failed = || hdf5::Error::query().unwrap_or_else(|error| error).to_string();
        // The place has as many dimensions as the data set, and the buffer the size that the library names.
        hdf5::sync::sync(|| unsafe {
            let (mut skipped, mut address, mut size) = (0, 0, 0);
            if H5Dget_chunk_info_by_coord(id, place.as_ptr(), &mut skipped, &mut address, &mut size) < 0 {
                return Err(format!("has a chunk that cannot be found ({})", failed()));
            }
            if size == 0 {
                return Ok(None);
            }
            if size > self.n_bytes {
                return Err(format!("claims a chunk of {size} bytes in a file of {}", self.n_bytes));
            }
            packed.resize(size as usize, 0);
            let mut n_read = packed.len();
            let buffer = packed.as_mut_ptr().cast();
            if H5Dread_chunk(id, H5P_DEFAULT, place.as_ptr(), &mut skipped, buffer, &mut n_read) < 0 {
                return Err(format!("has a chunk that cannot be read ({})", failed()));
            }
            Ok(Some(skipped))
        })
    }
}

/// What one thread unpacks with.
struct Unpacker {
    decompressor: Decompressor,
    packed: Vec<u8>,
    shuffled: Vec<u8>,
    elements: Vec<u8>,
}

impl Unpacker {
    fn new() -> Self {
        Self { decompressor: Decompressor::new(), packed: Vec::new(), shuffled: Vec::new(), elements: Vec::new() }
    }
}

/// Whether parts that were never written hold something else than zeros.
fn has_fill_value(dataset: &Dataset) -> bool {
    let id = dataset.id();
    let mut status = H5D_fill_value_t::H5D_FILL_VALUE_DEFAULT;
    // The list is closed before the lock is given back.
    let asked = hdf5::sync::sync(|| unsafe {
        let list = H5Dget_create_plist(id);
        if list < 0 {
            return list as i32;
        }
        let asked = H5Pfill_value_defined(list, &mut status);
        H5Pclose(list);
        asked
    });
    asked < 0 || status == H5D_fill_value_t::H5D_FILL_VALUE_USER_DEFINED
}

/// First bytes of all elements, second bytes of all elements, …, to elements.
fn unshuffle(shuffled: &[u8], element_bytes: usize, elements: &mut [u8]) {
    fn of_width<const WIDTH: usize>(shuffled: &[u8], elements: &mut [u8]) {
        let n = elements.len() / WIDTH;
        let planes: [&[u8]; WIDTH] = std::array::from_fn(|byte| &shuffled[byte * n..(byte + 1) * n]);
        for (at, element) in elements.chunks_exact_mut(WIDTH).enumerate() {
            for (byte, plane) in planes.iter().enumerate() {
                element[byte] = plane[at];
            }
        }
    }
    match element_bytes {
        2 => of_width::<2>(shuffled, elements),
        4 => of_width::<4>(shuffled, elements),
        8 => of_width::<8>(shuffled, elements),
        _ => elements.copy_from_slice(shuffled),
    }
}

/// The other way: elements to first bytes, second bytes, ….
pub(super) fn shuffle(elements: &[u8], element_bytes: usize, shuffled: &mut [u8]) {
    fn of_width<const WIDTH: usize>(elements: &[u8], shuffled: &mut [u8]) {
        let n = elements.len() / WIDTH;
        for (byte, plane) in shuffled.chunks_exact_mut(n.max(1)).enumerate() {
            for (to, element) in plane.iter_mut().zip(elements.chunks_exact(WIDTH)) {
                *to = element[byte];
            }
        }
    }
    match element_bytes {
        2 => of_width::<2>(elements, shuffled),
        4 => of_width::<4>(elements, shuffled),
        8 => of_width::<8>(elements, shuffled),
        _ => shuffled.copy_from_slice(elements),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffling_is_undone() {
        let elements: Vec<u8> = (0..240).map(|at| (at * 7 % 251) as u8).collect();
        for width in [1, 2, 4, 8] {
            let (mut shuffled, mut back) = (vec![0; 240], vec![0; 240]);
            shuffle(&elements, width, &mut shuffled);
            unshuffle(&shuffled, width, &mut back);
            assert_eq!(back, elements);
            assert_eq!(shuffled[1], elements[width]);
        }
    }
}

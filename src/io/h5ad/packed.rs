//! Numbers written piece by piece: several threads pack the chunks outside the library's lock.

use bytemuck::NoUninit;
use hdf5::{Dataset, H5Type, SimpleExtents};
use hdf5_sys::h5d::H5Dwrite_chunk;
use hdf5_sys::h5p::H5P_DEFAULT;
use libdeflater::{CompressionLvl, Compressor};
use rayon::prelude::*;

use super::chunks::shuffle;
use super::target::Target;
use crate::{Error, Result};

/// Elements per chunk: 256 KiB of 32-bit numbers, within the cache that readers keep of one chunk.
const CHUNK: usize = 1 << 16;
/// Deflate's level. On 36 million counts, their columns and their logarithms (November 2026), level 1 of libdeflate packs
/// about as small as level 4 of zlib does, three times as fast.
pub(super) const LEVEL: i32 = 1;
/// Bytes that are packed before they are written: a full disk is noticed after each piece.
const PIECE: usize = 1 << 24;

/// What is written.
pub(super) struct Layout<'a> {
    /// Rows; any number where it is not known.
    pub(super) n_rows: Option<usize>,
    /// Numbers per row; `None` for a list.
    pub(super) width: Option<usize>,
    /// Whether the first bytes of all elements, their second bytes and so on lie together, which helps with whole numbers
    /// and with numbers that are all different, but hides that numbers repeat.
    pub(super) shuffles: bool,
    /// The encoding and its version.
    pub(super) encoding: Option<(&'a str, &'a str)>,
}

/// A list or an array that is being filled, in one place or, with the same content, in several.
pub(super) struct Packed {
    datasets: Vec<Dataset>,
    slot: String,
    is_list: bool,
    row_bytes: usize,
    element_bytes: usize,
    chunk_rows: usize,
    shuffles: bool,
    /// True where the number of rows was not known.
    grows: bool,
    pending: Vec<u8>,
    n_written: usize,
}

impl Packed {
    /// Makes the data set in each place.
    ///
    /// # Errors
    /// [`Error::Backend`] if the library fails.
    pub(super) fn new<T: H5Type>(places: &[(&Target, &str)], layout: &Layout) -> Result<Self> {
        let Layout { n_rows, width, shuffles, encoding } = *layout;
        let row = width.unwrap_or(1);
        let chunk_rows = (CHUNK / row.max(1)).clamp(1, n_rows.unwrap_or(CHUNK).max(1));
        let is_empty = n_rows == Some(0) || width == Some(0);
        let mut datasets = Vec::new();
        for (target, name) in places {
            let slot = target.name_of(name);
            let mut builder = target.group.new_dataset_builder().obj_track_times(false);
            if is_empty {
                builder = builder.no_chunk();
            } else {
                let chunk: Vec<usize> = std::iter::once(chunk_rows).chain(width).collect();
                builder = builder.chunk(chunk);
                builder = if shuffles { builder.shuffle() } else { builder }.deflate(LEVEL as u8);
            }
            let extents = match n_rows {
                Some(n_rows) => SimpleExtents::fixed(std::iter::once(n_rows).chain(width).collect::<Vec<_>>()),
                None => SimpleExtents::resizable([0]),
            };
            let dataset = builder.empty::<T>().shape(extents).create(*name).map_err(target.hdf5(&slot))?;
            if let Some((encoding, version)) = encoding {
                target.encoding(&dataset, &slot, encoding, version)?;
            }
            datasets.push(dataset);
        }
        let element_bytes = size_of::<T>();
        Ok(Self {
            datasets,
            slot: places.first().map(|(target, name)| target.name_of(name)).unwrap_or_default(),
            is_list: width.is_none(),
            row_bytes: row * element_bytes,
            element_bytes,
            chunk_rows,
            shuffles,
            grows: n_rows.is_none(),
            pending: Vec::new(),
            n_written: 0,
        })
    }

    /// Puts whole rows at the end, of the type that the data set was made for.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk is full; [`Error::Backend`] if the library fails.
    pub(super) fn append<T: NoUninit>(&mut self, target: &Target, values: &[T]) -> Result<()> {
        for piece in bytemuck::cast_slice::<T, u8>(values).chunks(PIECE) {
            self.pending.extend_from_slice(piece);
            let chunk_bytes = self.chunk_rows * self.row_bytes;
            let ready = self.pending.len() / chunk_bytes.max(1) * chunk_bytes;
            self.write(target, ready)?;
        }
        Ok(())
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub(super) fn finish(mut self, target: &Target) -> Result<()> {
        self.write(target, self.pending.len())?;
        self.datasets.iter().try_for_each(|dataset| dataset.flush().map_err(target.hdf5(&self.slot)))?;
        target.check()
    }

    /// Packs and writes the first bytes that wait: whole chunks, or all.
    fn write(&mut self, target: &Target, n_bytes: usize) -> Result<()> {
        if n_bytes == 0 {
            return Ok(());
        }
        let chunk_bytes = self.chunk_rows * self.row_bytes;
        let pack =
            |packer: &mut Packer, chunk: &[u8]| packer.pack(chunk, chunk_bytes, self.element_bytes, self.shuffles);
        let chunks: Vec<Vec<u8>> = self.pending[..n_bytes]
            .par_chunks(chunk_bytes)
            .map_init(Packer::new, pack)
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| Error::backend(format!("compressing `{}`", self.slot), error))?;
        let end = self.n_written + n_bytes / self.row_bytes;
        for dataset in &self.datasets {
            if self.grows {
                dataset.resize([end]).map_err(target.hdf5(&self.slot))?;
            }
            for (number, chunk) in chunks.iter().enumerate() {
                let place = [(self.n_written + number * self.chunk_rows) as u64, 0];
                let place = if self.is_list { &place[..1] } else { &place };
                write_chunk(dataset, place, chunk).map_err(target.hdf5(&self.slot))?;
            }
        }
        self.pending.drain(..n_bytes);
        self.n_written = end;
        target.check()
    }
}

fn write_chunk(dataset: &Dataset, place: &[u64], bytes: &[u8]) -> hdf5::Result<()> {
    let id = dataset.id();
    // The place has as many dimensions as the data set.
    hdf5::sync::sync(|| unsafe {
        let status = H5Dwrite_chunk(id, H5P_DEFAULT, 0, place.as_ptr(), bytes.len(), bytes.as_ptr().cast());
        // The library's error stack holds the reason until its next call.
        if status < 0 { Err(hdf5::Error::query().unwrap_or_else(|error| error)) } else { Ok(()) }
    })
}

/// What one thread packs with.
struct Packer {
    compressor: Compressor,
    whole: Vec<u8>,
    shuffled: Vec<u8>,
}

impl Packer {
    fn new() -> Self {
        let level = CompressionLvl::new(LEVEL).unwrap_or_default();
        Self { compressor: Compressor::new(level), whole: Vec::new(), shuffled: Vec::new() }
    }

    /// A chunk as it lies in the file; the last one is filled up with zeros.
    fn pack(
        &mut self,
        chunk: &[u8],
        chunk_bytes: usize,
        element_bytes: usize,
        shuffles: bool,
    ) -> std::result::Result<Vec<u8>, String> {
        let mut bytes = chunk;
        if chunk.len() < chunk_bytes {
            self.whole.clear();
            self.whole.extend_from_slice(chunk);
            self.whole.resize(chunk_bytes, 0);
            bytes = &self.whole;
        }
        if shuffles && element_bytes > 1 {
            self.shuffled.resize(chunk_bytes, 0);
            shuffle(bytes, element_bytes, &mut self.shuffled);
            bytes = &self.shuffled;
        }
        let mut packed = vec![0; self.compressor.zlib_compress_bound(chunk_bytes)];
        let n_bytes = self.compressor.zlib_compress(bytes, &mut packed).map_err(|error| error.to_string())?;
        packed.truncate(n_bytes);
        Ok(packed)
    }
}

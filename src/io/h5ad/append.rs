//! Arrays that are written piece by piece.

use hdf5::{Dataset, H5Type, SimpleExtents};
use ndarray::{ArrayView1, ArrayView2, s};

use super::target::{CHUNK, LEVEL, Target};
use crate::Result;

/// An array whose rows come in pieces of any size. They are written in whole chunks, so that none is compressed twice.
pub(super) struct Appender<T> {
    dataset: Dataset,
    slot: String,
    /// Numbers per row; `None` for a list.
    width: Option<usize>,
    /// True where the number of rows was not known.
    grows: bool,
    chunk_rows: usize,
    pending: Vec<T>,
    n_written: usize,
}

impl<T: H5Type + Clone> Appender<T> {
    /// A list of so many elements, or of any number, stored as `Stored`.
    pub(super) fn list<Stored: H5Type>(
        target: &Target,
        name: &str,
        length: Option<usize>,
        encoding: Option<(&str, &str)>,
    ) -> Result<Self> {
        Self::new::<Stored>(target, name, length, None, true, encoding)
    }

    /// A list of so many texts.
    pub(super) fn texts(target: &Target, name: &str, length: usize) -> Result<Self> {
        Self::new::<T>(target, name, Some(length), None, false, Some(("string-array", "0.2.0")))
    }

    /// An array of so many rows and columns.
    pub(super) fn array(target: &Target, name: &str, (n_rows, width): (usize, usize)) -> Result<Self> {
        Self::new::<T>(target, name, Some(n_rows), Some(width), true, Some(("array", "0.2.0")))
    }

    fn new<Stored: H5Type>(
        target: &Target,
        name: &str,
        n_rows: Option<usize>,
        width: Option<usize>,
        may_compress: bool,
        encoding: Option<(&str, &str)>,
    ) -> Result<Self> {
        let slot = target.name_of(name);
        let chunk_rows = (CHUNK / width.unwrap_or(1).max(1)).clamp(1, n_rows.unwrap_or(CHUNK).max(1));
        let is_empty = n_rows == Some(0) || width == Some(0);
        let mut builder = target.group.new_dataset_builder().obj_track_times(false);
        builder = if may_compress && !is_empty {
            let chunk: Vec<usize> = std::iter::once(chunk_rows).chain(width).collect();
            builder.chunk(chunk).shuffle().deflate(LEVEL)
        } else {
            builder.no_chunk()
        };
        let extents = match n_rows {
            Some(n_rows) => SimpleExtents::fixed(std::iter::once(n_rows).chain(width).collect::<Vec<_>>()),
            None => SimpleExtents::resizable([0]),
        };
        let dataset = builder.empty::<Stored>().shape(extents).create(name).map_err(target.hdf5(&slot))?;
        if let Some((encoding, version)) = encoding {
            target.encoding(&dataset, &slot, encoding, version)?;
        }
        let grows = n_rows.is_none();
        Ok(Self { dataset, slot, width, grows, chunk_rows, pending: Vec::new(), n_written: 0 })
    }

    /// Puts whole rows at the end.
    pub(super) fn append(&mut self, target: &Target, values: &[T]) -> Result<()> {
        self.pending.extend_from_slice(values);
        self.write(target, false)
    }

    /// Writes what is left.
    pub(super) fn finish(mut self, target: &Target) -> Result<()> {
        self.write(target, true)?;
        self.dataset.flush().map_err(target.hdf5(&self.slot))?;
        target.check()
    }

    fn write(&mut self, target: &Target, all: bool) -> Result<()> {
        let width = self.width.unwrap_or(1);
        let n_rows = self.pending.len() / width.max(1);
        let n_rows = if all { n_rows } else { n_rows / self.chunk_rows * self.chunk_rows };
        if n_rows == 0 {
            return Ok(());
        }
        let end = self.n_written + n_rows;
        if self.grows {
            self.dataset.resize([end]).map_err(target.hdf5(&self.slot))?;
        }
        write_rows(&self.dataset, self.n_written, self.width, &self.pending[..n_rows * width])
            .map_err(target.hdf5(&self.slot))?;
        self.pending.drain(..n_rows * width);
        self.n_written = end;
        target.check()
    }
}

/// Writes some rows of an array, or some elements of a list.
pub(super) fn write_rows<T: H5Type>(
    dataset: &Dataset,
    start: usize,
    width: Option<usize>,
    values: &[T],
) -> hdf5::Result<()> {
    let writer = dataset.as_writer();
    match width {
        None => writer.write_slice(ArrayView1::from(values), s![start..start + values.len()]),
        Some(width) => {
            let rows = ArrayView2::from_shape((values.len() / width, width), values)?;
            writer.write_slice(rows, s![start..start + rows.nrows(), ..])
        }
    }
}

//! Lists of texts that are written piece by piece.

use hdf5::types::VarLenUnicode;
use hdf5::{Dataset, SimpleExtents};
use ndarray::{ArrayView1, s};

use super::target::{self, Target};
use crate::Result;

/// A list of texts that is being filled; texts lie in a heap of the file and are not compressed.
pub(super) struct Texts {
    dataset: Dataset,
    slot: String,
    n_written: usize,
}

impl Texts {
    /// A list of so many texts.
    pub(super) fn new(target: &Target, name: &str, length: usize) -> Result<Self> {
        let slot = target.name_of(name);
        let builder = target.group.new_dataset_builder().obj_track_times(false).no_chunk();
        let extents = SimpleExtents::fixed([length]);
        let dataset = builder.empty::<VarLenUnicode>().shape(extents).create(name).map_err(target.hdf5(&slot))?;
        target.encoding(&dataset, &slot, "string-array", "0.2.0")?;
        Ok(Self { dataset, slot, n_written: 0 })
    }

    /// Puts texts at the end.
    ///
    /// # Errors
    /// [`crate::Error::BadValues`] if one holds a NUL character; those of writing.
    pub(super) fn append<T: AsRef<str>>(&mut self, target: &Target, texts: &[T]) -> Result<()> {
        if texts.is_empty() {
            return Ok(());
        }
        let texts = target::texts(&self.slot, texts)?;
        let place = s![self.n_written..self.n_written + texts.len()];
        self.dataset.as_writer().write_slice(ArrayView1::from(&texts), place).map_err(target.hdf5(&self.slot))?;
        self.n_written += texts.len();
        target.check()
    }

    /// Closes the list.
    pub(super) fn finish(self, target: &Target) -> Result<()> {
        self.dataset.flush().map_err(target.hdf5(&self.slot))?;
        target.check()
    }
}

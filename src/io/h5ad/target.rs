//! An AnnData file being written: groups, data sets and attributes, each with its encoding.

use std::path::Path;

use hdf5::types::VarLenUnicode;
use hdf5::{Group, H5Type, Location};

use super::append::write_rows;
use super::disk::Disk;
use super::failure;
use crate::{Error, Result};

/// Shorter arrays are stored as they are.
const LEAST_COMPRESSED_BYTES: usize = 1024;
/// Elements per chunk of a compressed array: 256 KiB of 32-bit numbers, within the library's cache of one chunk.
pub(super) const CHUNK: usize = 1 << 16;
/// Deflate's level after the bytes were shuffled. On 12 million counts and their columns (November 2026): 19.0 MB in
/// 0.9 s; level 4 makes 18.1 MB in 1.5 s, and 27.0 MB in 2.0 s without shuffling, as anndata does it.
pub(super) const LEVEL: u8 = 1;

/// Elements handed to the library at a time; a full disk is noticed after each piece.
const PIECE: usize = 1 << 22;

/// A place in the file being written.
pub(super) struct Target<'a> {
    pub(super) path: &'a Path,
    disk: &'a Disk,
    pub(super) group: Group,
    /// The place's name in messages; empty for the root.
    pub(super) slot: String,
}

/// Lets `fill` write a file, in place of whatever is at `path`; on failure no file is left.
///
/// # Errors
/// [`Error::Io`] if the disk is full or read-only; those of `fill`; [`Error::Backend`] if the library fails.
pub(super) fn create(path: &Path, fill: impl FnOnce(&Target) -> Result<()>) -> Result<()> {
    let disk = Disk::create(path)?;
    let written = write(&disk, path, fill);
    disk.finish();
    // What the library says of a failing disk is only its consequence.
    let result = disk.check(path).and(written);
    if result.is_err() && std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
        std::fs::remove_file(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    }
    result
}

fn write(disk: &Disk, path: &Path, fill: impl FnOnce(&Target) -> Result<()>) -> Result<()> {
    let hdf5 = |error| failure::writing(path, "/", &error);
    let file = disk.hdf5().map_err(hdf5)?;
    let group = file.group("/").map_err(hdf5)?;
    fill(&Target { path, disk, group, slot: String::new() })?;
    file.flush().map_err(hdf5)?;
    file.close().map_err(hdf5)
}

impl Target<'_> {
    /// The name of a member in messages.
    pub(super) fn name_of(&self, name: &str) -> String {
        if self.slot.is_empty() { name.to_owned() } else { format!("{}/{name}", self.slot) }
    }

    /// Fails if the disk does.
    pub(super) fn check(&self) -> Result<()> {
        self.disk.check(self.path)
    }

    pub(super) fn hdf5(&self, slot: &str) -> impl Fn(hdf5::Error) -> Error {
        move |error| failure::writing(self.path, slot, &error)
    }

    /// Makes a group with its encoding.
    pub(super) fn group(&self, name: &str, encoding: &str, version: &str) -> Result<Self> {
        let slot = self.name_of(name);
        let group = self.group.create_group_builder().obj_track_times(false).create(name).map_err(self.hdf5(&slot))?;
        let target = Self { path: self.path, disk: self.disk, group, slot };
        target.encoding(&target.group, &target.slot, encoding, version)?;
        Ok(target)
    }

    /// Makes a group without an encoding, for the columns whose names hold a `/`.
    pub(super) fn plain_group(&self, name: &str) -> Result<Self> {
        let slot = self.name_of(name);
        let group = match self.group.link_exists(name) {
            true => self.group.group(name),
            false => self.group.create_group_builder().obj_track_times(false).create(name),
        };
        Ok(Self { path: self.path, disk: self.disk, group: group.map_err(self.hdf5(&slot))?, slot })
    }

    /// Writes the encoding of the root.
    pub(super) fn root_encoding(&self) -> Result<()> {
        self.encoding(&self.group, "/", "anndata", "0.1.0")
    }

    pub(super) fn encoding(&self, place: &Location, slot: &str, encoding: &str, version: &str) -> Result<()> {
        for (name, value) in [("encoding-type", encoding), ("encoding-version", version)] {
            let value = text(slot, value)?;
            let attribute = place.new_attr::<VarLenUnicode>().create(name).map_err(self.hdf5(slot))?;
            attribute.write_scalar(&value).map_err(self.hdf5(slot))?;
        }
        Ok(())
    }

    /// Writes a scalar attribute of this group.
    pub(super) fn attribute<T: H5Type>(&self, name: &str, value: &T) -> Result<()> {
        let attribute = self.group.new_attr::<T>().create(name).map_err(self.hdf5(&self.slot))?;
        attribute.write_scalar(value).map_err(self.hdf5(&self.slot))
    }

    /// Writes a text as an attribute of this group.
    pub(super) fn text_attribute(&self, name: &str, value: &str) -> Result<()> {
        self.attribute(name, &text(&self.slot, value)?)
    }

    /// Writes a list as an attribute of this group.
    pub(super) fn list_attribute<T: H5Type>(&self, name: &str, values: &[T]) -> Result<()> {
        let attribute = self.group.new_attr::<T>().shape(values.len()).create(name).map_err(self.hdf5(&self.slot))?;
        if values.is_empty() {
            return Ok(());
        }
        attribute.write_raw(values).map_err(self.hdf5(&self.slot))
    }

    /// Writes numbers or booleans, converted from `T` to `Stored`, as an array with its encoding.
    pub(super) fn array<T: H5Type, Stored: H5Type>(&self, name: &str, values: &[T], shape: &[usize]) -> Result<()> {
        self.dataset::<T, Stored>(name, values, shape, true, Some(("array", "0.2.0")))
    }

    /// Writes the bare numbers of a sparse matrix.
    pub(super) fn numbers<T: H5Type, Stored: H5Type>(&self, name: &str, values: &[T]) -> Result<()> {
        self.dataset::<T, Stored>(name, values, &[values.len()], true, None)
    }

    /// Writes a list of texts.
    pub(super) fn texts(&self, name: &str, values: &[String]) -> Result<()> {
        let values = texts(&self.name_of(name), values)?;
        self.dataset::<_, VarLenUnicode>(name, &values, &[values.len()], false, Some(("string-array", "0.2.0")))
    }

    /// Writes a single number or truth.
    pub(super) fn scalar<T: H5Type>(&self, name: &str, value: T) -> Result<()> {
        self.dataset::<T, T>(name, &[value], &[], false, Some(("numeric-scalar", "0.2.0")))
    }

    /// Writes a single text.
    pub(super) fn text(&self, name: &str, value: &str) -> Result<()> {
        let value = text(&self.name_of(name), value)?;
        self.dataset::<_, VarLenUnicode>(name, &[value], &[], false, Some(("string", "0.2.0")))
    }

    fn dataset<T: H5Type, Stored: H5Type>(
        &self,
        name: &str,
        values: &[T],
        shape: &[usize],
        may_compress: bool,
        encoding: Option<(&str, &str)>,
    ) -> Result<()> {
        let slot = self.name_of(name);
        let mut builder = self.group.new_dataset_builder().obj_track_times(false);
        builder = if may_compress && std::mem::size_of_val(values) >= LEAST_COMPRESSED_BYTES {
            let row: usize = shape[1..].iter().product();
            let mut chunk = shape.to_vec();
            chunk[0] = (CHUNK / row.max(1)).clamp(1, shape[0]);
            builder.chunk(chunk).shuffle().deflate(LEVEL)
        } else {
            builder.no_chunk()
        };
        let dataset = builder.empty::<Stored>().shape(shape).create(name).map_err(self.hdf5(&slot))?;
        match shape {
            [] => dataset.as_writer().write_scalar(&values[0]).map_err(self.hdf5(&slot))?,
            _ if values.is_empty() => {}
            [_, width @ ..] => {
                let width = width.first().copied();
                let rows = (PIECE / width.unwrap_or(1)).next_multiple_of(dataset.chunk().map_or(1, |chunk| chunk[0]));
                for (piece, values) in values.chunks(rows.max(1) * width.unwrap_or(1)).enumerate() {
                    write_rows(&dataset, piece * rows.max(1), width, values).map_err(self.hdf5(&slot))?;
                    self.check()?;
                }
            }
        }
        if let Some((encoding, version)) = encoding {
            self.encoding(&dataset, &slot, encoding, version)?;
        }
        // What the library still holds back is compressed now, where a failure can be told, and not when it is dropped.
        dataset.flush().map_err(self.hdf5(&slot))
    }
}

/// A text for the library.
///
/// # Errors
/// [`Error::BadValues`] if it holds a NUL character.
fn text(slot: &str, value: &str) -> Result<VarLenUnicode> {
    Ok(texts(slot, &[value])?.remove(0))
}

/// Texts for the library.
///
/// # Errors
/// [`Error::BadValues`] if one holds a NUL character.
pub(super) fn texts<T: AsRef<str>>(slot: &str, values: &[T]) -> Result<Vec<VarLenUnicode>> {
    let converted: Vec<_> = values.iter().filter_map(|value| value.as_ref().parse::<VarLenUnicode>().ok()).collect();
    if converted.len() == values.len() {
        return Ok(converted);
    }
    let bad = values.iter().filter(|value| value.as_ref().contains('\0'));
    Err(Error::BadValues {
        place: slot.to_owned(),
        problem: "texts with a NUL character".into(),
        n_bad: values.len() - converted.len(),
        n_total: values.len(),
        examples: bad.take(3).map(|value| format!("{:?}", value.as_ref())).collect(),
        hint: "AnnData files cannot hold NUL characters; remove them".into(),
    })
}

//! An AnnData file being written: groups, data sets and attributes, each with its encoding.

use std::path::Path;

use bytemuck::NoUninit;
use hdf5::types::VarLenUnicode;
use hdf5::{Group, H5Type, Location};

use super::disk::Disk;
use super::failure;
use super::packed::{Layout, Packed};
use super::texts::Texts;
use crate::{Error, Result};

/// Shorter arrays are stored as they are.
const LEAST_COMPRESSED_BYTES: usize = 1024;
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

    /// Writes numbers or booleans as an array with its encoding.
    pub(super) fn array<T: H5Type + NoUninit>(&self, name: &str, values: &[T], shape: &[usize]) -> Result<()> {
        let encoding = ("array", "0.2.0");
        if std::mem::size_of_val(values) >= LEAST_COMPRESSED_BYTES {
            let layout = Layout {
                n_rows: Some(shape[0]),
                width: shape.get(1).copied(),
                shuffles: true,
                encoding: Some(encoding),
            };
            let mut packed = Packed::new::<T>(&[(self, name)], &layout)?;
            packed.append(self, values)?;
            return packed.finish(self);
        }
        let slot = self.name_of(name);
        let builder = self.group.new_dataset_builder().obj_track_times(false).no_chunk();
        let dataset = builder.empty::<T>().shape(shape).create(name).map_err(self.hdf5(&slot))?;
        if !values.is_empty() {
            dataset.as_writer().write_raw(values).map_err(self.hdf5(&slot))?;
        }
        self.encoding(&dataset, &slot, encoding.0, encoding.1)?;
        // What the library still holds back is written now, where a failure can be told, and not when it is dropped.
        dataset.flush().map_err(self.hdf5(&slot))
    }

    /// Writes a list of texts.
    pub(super) fn texts(&self, name: &str, values: &[String]) -> Result<()> {
        let mut texts = Texts::new(self, name, values.len())?;
        texts.append(self, values)?;
        texts.finish(self)
    }

    /// Writes a single number or truth.
    pub(super) fn scalar<T: H5Type>(&self, name: &str, value: T) -> Result<()> {
        self.single(name, value, ("numeric-scalar", "0.2.0"))
    }

    /// Writes a single text.
    pub(super) fn text(&self, name: &str, value: &str) -> Result<()> {
        let value = text(&self.name_of(name), value)?;
        self.single(name, value, ("string", "0.2.0"))
    }

    fn single<T: H5Type>(&self, name: &str, value: T, (encoding, version): (&str, &str)) -> Result<()> {
        let slot = self.name_of(name);
        let builder = self.group.new_dataset_builder().obj_track_times(false).no_chunk();
        let dataset = builder.empty::<T>().shape(()).create(name).map_err(self.hdf5(&slot))?;
        dataset.as_writer().write_scalar(&value).map_err(self.hdf5(&slot))?;
        self.encoding(&dataset, &slot, encoding, version)?;
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

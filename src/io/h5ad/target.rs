//! An AnnData file being written: groups, data sets and attributes, each with its encoding.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use hdf5::types::VarLenUnicode;
use hdf5::{File, Group, H5Type, Location};
use hdf5_sys::h5f::H5Fget_file_image;

use super::failure;
use crate::{Error, Result};

/// Shorter arrays are stored as they are.
const LEAST_COMPRESSED_BYTES: usize = 1024;
/// Elements per chunk of a compressed array: 256 KiB of 32-bit numbers, within the library's cache of one chunk.
const CHUNK: usize = 1 << 16;
/// Deflate's level; see `tests/python/check_h5ad.py` for what reads it. Chosen by us: level 4 was 2 % smaller and took
/// twice as long on counts.
const LEVEL: u8 = 1;

/// The image in memory grows by steps of this size.
const GROWTH: usize = 1 << 24;

/// A place in the file being written.
pub(super) struct Target<'a> {
    pub(super) path: &'a Path,
    pub(super) group: Group,
    /// The place's name in messages; empty for the root.
    pub(super) slot: String,
}

/// Lets `fill` write a file in memory, and returns its bytes.
///
/// The library does not survive a full disk: what it could not write it keeps, and later calls crash. In memory it
/// never meets one. The compressed image is smaller than the cells that it holds, which are in memory as well.
///
/// The format is the one that HDF5 1.8 and later read; no times are stored.
///
/// # Errors
/// Those of `fill`; [`Error::Backend`] if the library fails.
pub(super) fn image(path: &Path, fill: impl FnOnce(&Target) -> Result<()>) -> Result<Vec<u8>> {
    // Files in memory must differ in name while they are open; the name is not stored.
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let name = format!("scflow-image-{}", COUNTER.fetch_add(1, Ordering::Relaxed));
    let hdf5 = |error| failure::writing(path, "/", &error);
    let file = File::with_options()
        .with_fapl(|list| list.libver_v18().core_options(GROWTH, false))
        .with_fcpl(|list| list.obj_track_times(false))
        .create(name)
        .map_err(hdf5)?;
    let group = file.group("/").map_err(hdf5)?;
    fill(&Target { path, group, slot: String::new() })?;
    file.flush().map_err(hdf5)?;
    let bytes = copy(&file).map_err(hdf5)?;
    file.close().map_err(hdf5)?;
    Ok(bytes)
}

/// The bytes of a file in memory.
fn copy(file: &File) -> hdf5::Result<Vec<u8>> {
    let failed = || hdf5::Error::query().unwrap_or_else(|error| error);
    let id = file.id();
    hdf5::sync::sync(|| {
        // With no buffer, the library tells the size.
        let size = unsafe { H5Fget_file_image(id, std::ptr::null_mut(), 0) };
        let Ok(size) = usize::try_from(size) else { return Err(failed()) };
        let mut bytes = vec![0_u8; size];
        let written = unsafe { H5Fget_file_image(id, bytes.as_mut_ptr().cast(), size) };
        if usize::try_from(written) == Ok(size) { Ok(bytes) } else { Err(failed()) }
    })
}

impl Target<'_> {
    /// The name of a member in messages.
    pub(super) fn name_of(&self, name: &str) -> String {
        if self.slot.is_empty() { name.to_owned() } else { format!("{}/{name}", self.slot) }
    }

    fn hdf5(&self, slot: &str) -> impl Fn(hdf5::Error) -> Error {
        move |error| failure::writing(self.path, slot, &error)
    }

    /// Makes a group with its encoding.
    pub(super) fn group(&self, name: &str, encoding: &str, version: &str) -> Result<Self> {
        let slot = self.name_of(name);
        let group = self.group.create_group_builder().obj_track_times(false).create(name).map_err(self.hdf5(&slot))?;
        let target = Self { path: self.path, group, slot };
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
        Ok(Self { path: self.path, group: group.map_err(self.hdf5(&slot))?, slot })
    }

    /// Writes the encoding of the root.
    pub(super) fn root_encoding(&self) -> Result<()> {
        self.encoding(&self.group, "/", "anndata", "0.1.0")
    }

    fn encoding(&self, place: &Location, slot: &str, encoding: &str, version: &str) -> Result<()> {
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
        if !values.is_empty() {
            let values = ndarray::ArrayView::from_shape(shape, values)
                .map_err(|error| Error::backend(format!("writing `{slot}`"), error))?;
            dataset.as_writer().write(values).map_err(self.hdf5(&slot))?;
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

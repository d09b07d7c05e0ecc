//! Carrying over what a file holds and the one made from it does not have yet.
//!
//! What is not cut is copied as it is, chunk by chunk and without a look at its values. What is cut to the kept cells or
//! genes keeps its encoding and its types. Encodings older than anndata 0.8 become today's on the way.

mod columns;
mod element;
mod mapping;
mod records;
mod rows;
mod sparse;

use std::path::Path;

use hdf5::LocationType;

use super::source::Source;
use super::target::{self, Target};
use super::{attributes, table};
use crate::error::refuse;
use crate::{Error, Result};

/// What is left of the cells and genes of a file, and what must not come along.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Kept<'a> {
    /// The places of the kept cells in the source, in the order of the target; all cells if absent.
    pub(super) rows: Option<&'a [usize]>,
    /// The places of the kept genes, likewise.
    pub(super) columns: Option<&'a [usize]>,
    /// Slots that stay behind although the target lacks them, such as `layers/spliced` or `obs/batch`.
    pub(super) except: &'a [&'a str],
}

/// One axis of an array: how long it must be, and which of its places are kept.
#[derive(Debug, Clone, Copy, Default)]
struct Axis<'a> {
    length: Option<usize>,
    kept: Option<&'a [usize]>,
}

/// The first and the second axis; arrays may have more.
type Axes<'a> = [Axis<'a>; 2];

/// No demand, nothing cut.
const FREE: Axis = Axis { length: None, kept: None };

/// What everything that is carried over needs to know.
#[derive(Clone, Copy)]
struct Carrier<'a> {
    source: &'a Source,
    kept: &'a Kept<'a>,
}

/// Writes a file with everything that another one holds, in today's encodings, in place of whatever is at `output`.
/// Returns the notes: one for each slot that had to stay behind.
///
/// # Errors
/// Those of [`super::read()`] for the tables and shapes; [`Error::Io`] if the disk is full or read-only. No file is left
/// then.
pub fn rewrite(input: &Path, output: &Path) -> Result<Vec<String>> {
    let source = Source::open(input)?;
    // Tables that contradict themselves are refused before anything is written.
    for name in ["obs", "var"] {
        table::read(&source, name)?;
    }
    target::create(output, |root| {
        root.root_encoding()?;
        carry(&source, root, &Kept::default())
    })?;
    Ok(source.into_notes())
}

/// Writes into an open file whatever the source holds and the file does not have yet, cut to the kept cells and genes.
///
/// Mappings that both have are merged key by key; what the target has stays. The source takes a note of what cannot come
/// along, and forgets the notes of what does.
///
/// # Errors
/// [`Error::InvalidFile`] or [`Error::ShapeMismatch`] if a slot is broken; [`Error::InvalidParameter`] if a kept place
/// does not exist; [`Error::Io`] if the disk is full.
pub(super) fn carry(source: &Source, root: &Target, kept: &Kept) -> Result<()> {
    let cells = axis(source, "obs", kept.rows)?;
    let genes = axis(source, "var", kept.columns)?;
    let carrier = Carrier { source, kept };
    carrier.table(root, "obs", cells)?;
    carrier.table(root, "var", genes)?;
    carrier.member(&source.file, "X", root, [cells, genes], 0)?;
    for (name, axes) in [
        ("layers", [cells, genes]),
        ("obsm", [cells, FREE]),
        ("varm", [genes, FREE]),
        ("obsp", [cells, cells]),
        ("varp", [genes, genes]),
    ] {
        carrier.slot(root, name, axes)?;
    }
    carrier.raw(root, cells)?;
    carrier.uns(root, cells)?;
    carrier.rest(root)
}

/// The axis along which a table lies.
fn axis<'a>(source: &Source, table: &str, kept: Option<&'a [usize]>) -> Result<Axis<'a>> {
    let length = table::length(source, table)?;
    match kept.and_then(|kept| kept.iter().find(|&&place| place >= length)) {
        Some(place) => refuse(&format!("kept rows of {table}"), place, &format!("there are only {length}")),
        None => Ok(Axis { length: Some(length), kept }),
    }
}

impl Carrier<'_> {
    /// True if the target lacks a member and it may come along.
    fn wants(&self, to: &Target, name: &str) -> bool {
        let slot = to.name_of(name);
        !to.group.link_exists(name) && !self.kept.except.contains(&slot.as_str())
    }

    /// A member of a group, if there is one and it is wanted.
    fn member(&self, from: &hdf5::Group, name: &str, to: &Target, axes: Axes, depth: usize) -> Result<()> {
        if from.link_exists(name) && self.wants(to, name) {
            self.element(from, name, to, name, axes, depth)?;
        }
        Ok(())
    }

    /// A mapping of the root whose entries lie along cells or genes.
    fn slot(&self, root: &Target, name: &str, axes: Axes) -> Result<()> {
        let source = self.source;
        match source.kind(&source.file, name, name) {
            Some(LocationType::Group) => {
                let group = source.file.group(name).map_err(source.hdf5(name))?;
                let to = mapping::open(root, name)?;
                for key in source.members(&group, name)? {
                    self.member(&group, &key, &to, axes, 0)?;
                }
                Ok(())
            }
            Some(LocationType::Dataset) if matches!(name, "obsm" | "varm") => {
                let to = mapping::open(root, name)?;
                records::arrays(self, name, &to, axes[0])
            }
            _ => Ok(()),
        }
    }

    /// The matrix before the choice of genes: cut to the kept cells, with all its genes.
    fn raw(&self, root: &Target, cells: Axis) -> Result<()> {
        let source = self.source;
        if !self.wants(root, "raw") {
            return Ok(());
        }
        ["raw", "raw.X", "raw.var", "raw.varm", "raw.cat"].iter().for_each(|name| source.forget(name));
        if let Some(raw) = source.group("raw")? {
            let to = root.group("raw", "raw", "0.1.0")?;
            for name in source.members(&raw, "raw")? {
                match (name.as_str(), source.kind(&raw, &name, &format!("raw/{name}"))) {
                    ("X", _) => self.member(&raw, "X", &to, [cells, FREE], 0)?,
                    ("var", Some(LocationType::Dataset)) => {
                        records::table(self, "raw/var", &to, "var", FREE)?;
                    }
                    ("varm", Some(LocationType::Group)) => {
                        self.entries(&raw, "varm", &mapping::open(&to, "varm")?, 0)?;
                    }
                    _ => self.member(&raw, &name, &to, [FREE, FREE], 0)?,
                }
            }
            return Ok(());
        }
        // Before anndata 0.7 its parts lay beside each other.
        if source.file.link_exists("raw.X") && source.file.link_exists("raw.var") {
            let to = root.group("raw", "raw", "0.1.0")?;
            self.element(&source.file, "raw.X", &to, "X", [cells, FREE], 0)?;
            records::table(self, "raw.var", &to, "var", FREE)?;
            if source.file.link_exists("raw.varm") {
                records::arrays(self, "raw.varm", &mapping::open(&to, "varm")?, FREE)?;
            }
        }
        Ok(())
    }

    /// Members of the root that are no part of an AnnData file.
    fn rest(&self, root: &Target) -> Result<()> {
        let source = self.source;
        for name in source.members(&source.file, "/")? {
            match name.as_str() {
                "X" | "obs" | "var" | "layers" | "obsm" | "varm" | "obsp" | "varp" | "uns" | "raw" => {}
                name if name.starts_with("raw.") => {}
                name => self.member(&source.file, name, root, [FREE, FREE], 0)?,
            }
        }
        Ok(())
    }

    /// A table: whole if the target has none of this name, else the columns that it lacks.
    fn table(&self, root: &Target, name: &str, axis: Axis) -> Result<()> {
        let source = self.source;
        let is_compound = source.kind(&source.file, name, name) == Some(LocationType::Dataset);
        match (root.group.link_exists(name), is_compound) {
            (false, true) => records::table(self, name, root, name, axis).map(drop),
            (false, false) => self.member(&source.file, name, root, [axis, FREE], 0),
            // The reader understands every field that can be carried over.
            (true, true) => Ok(()),
            (true, false) => {
                let group = source.file.group(name).map_err(source.hdf5(name))?;
                columns::add(self, &group, name, &root.plain_group(name)?, axis)
            }
        }
    }

    /// Makes sure that an array fits what it lies along.
    fn check_axis(&self, slot: &str, axis: Axis, found: usize) -> Result<()> {
        match axis.length {
            Some(needed) if needed != found => Err(Error::ShapeMismatch {
                what: format!("`{}`: `{slot}`", self.source.path.display()),
                expected: format!("{needed} along cells or genes"),
                got: format!("{found}"),
            }),
            _ => Ok(()),
        }
    }

    /// Makes sure that everything below a group can be opened: the library does not survive the copy of a data set that
    /// lacks what makes it one.
    fn check_sound(&self, group: &hdf5::Group, slot: &str, depth: usize) -> Result<()> {
        let source = self.source;
        if is_also_a_data_set(group) {
            return Err(source.damaged(slot, "is a group and a data set at once"));
        }
        for name in source.members(group, slot)? {
            let slot = format!("{slot}/{name}");
            match group.loc_type_by_name(&name).map_err(source.hdf5(&slot))? {
                LocationType::Group if depth < mapping::MOST_DEPTH => {
                    let inner = group.group(&name).map_err(source.hdf5(&slot))?;
                    self.check_sound(&inner, &slot, depth + 1)?;
                }
                LocationType::Dataset => {
                    let dataset = group.dataset(&name).map_err(source.hdf5(&slot))?;
                    dataset.dtype().and_then(|_| dataset.get_shape()).map_err(source.hdf5(&slot))?;
                }
                LocationType::NamedDatatype => return Err(source.damaged(&slot, "is a data type")),
                _ => {}
            }
        }
        Ok(())
    }

    /// Copies an object as it is, with everything below it.
    fn copy(&self, object: &hdf5::Location, to: &Target, name: &str, slot: &str) -> Result<()> {
        let copied = object.copy_to(&to.group, name);
        // What the library says of a failing disk is only its consequence.
        to.check()?;
        copied.map_err(self.source.hdf5(slot))?;
        let n_bytes = to.group.file().map(|file| file.size()).unwrap_or(0);
        // A group may hold its own ancestors, and then each copy holds the whole file.
        match n_bytes > MOST_GROWTH.saturating_mul(self.source.n_bytes.max(1 << 24)) {
            true => {
                Err(self.source.damaged(slot, "makes the output many times as large as the file: links in a circle"))
            }
            false => Ok(()),
        }
    }
}

/// The header of an object, as the library tells of it (`H5O_native_info_t`).
#[repr(C)]
#[derive(Default)]
struct Header {
    numbers: [u32; 4],
    space: [u64; 4],
    /// One bit for each kind of message that is present, and for each that is shared.
    messages: [u64; 2],
    sizes: [u64; 4],
}

/// True if a group has the message that tells where the elements of a data set lie.
fn is_also_a_data_set(group: &hdf5::Group) -> bool {
    const LAYOUT: u64 = 1 << 8;
    const HEADER_ALONE: u32 = 8;
    let mut header = Header::default();
    // The group is open, and the header has the size that the library fills.
    let status = hdf5::sync::sync(|| unsafe {
        hdf5_sys::h5o::H5Oget_native_info(group.id(), std::ptr::from_mut(&mut header).cast(), HEADER_ALONE)
    });
    status >= 0 && header.messages[0] & LAYOUT != 0
}

/// A copy is never larger than its source by more than this.
const MOST_GROWTH: u64 = 32;

/// The encoding of an element, and whether it is one of before anndata 0.8.
fn encoding_of(source: &Source, slot: &str, place: &hdf5::Location) -> Result<(String, bool)> {
    let encoding = attributes::encoding(source, slot, place)?;
    let version = attributes::text(source, slot, place, "encoding-version")?.unwrap_or_default();
    let is_old = encoding.is_empty() || (encoding == "dataframe" && version == "0.1.0");
    Ok((encoding, is_old))
}

#[cfg(test)]
mod tests;

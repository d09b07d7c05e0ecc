//! An AnnData file opened for reading, with the notes taken on the way.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use hdf5::{Group, LocationType};

use super::disk::lock;
use super::{failure, heaps};
use crate::{Error, Result};

/// The eight bytes with which HDF5 data begin, at offset 0 or at 512, 1024, 2048, …
const SIGNATURE: [u8; 8] = *b"\x89HDF\r\n\x1a\n";

/// An open file.
pub(in crate::io) struct Source {
    pub(in crate::io) path: PathBuf,
    pub(in crate::io) file: hdf5::File,
    /// The size of the file, to judge by it what the file claims to hold.
    pub(in crate::io) n_bytes: u64,
    notes: Mutex<Vec<String>>,
    /// Members of groups listed so far.
    n_listed: AtomicU64,
}

/// Below this number of members listed, a file is believed to hold them.
const BELIEVED_MEMBERS: u64 = 1 << 16;
/// A member of a group takes at least this many bytes.
const LEAST_MEMBER_BYTES: u64 = 8;

impl Source {
    /// Opens a file and makes sure that it is an AnnData file.
    ///
    /// # Errors
    /// [`Error::Io`] if it is absent or may not be read; [`Error::InvalidFile`] if it is something else.
    pub(in crate::io) fn open(path: &Path) -> Result<Self> {
        let source = Self::open_any(path)?;
        source.check_kind()?;
        Ok(source)
    }

    /// Opens an HDF5 file of any kind.
    ///
    /// # Errors
    /// [`Error::Io`] if it is absent or may not be read; [`Error::InvalidFile`] if it is no HDF5 file.
    pub(in crate::io) fn open_any(path: &Path) -> Result<Self> {
        let n_bytes = check_bytes(path)?;
        let file = hdf5::File::open(path).map_err(|error| failure::reading(path, "/", &error))?;
        heaps::check(path, n_bytes)?;
        Ok(Self { path: path.to_owned(), file, n_bytes, notes: Mutex::default(), n_listed: AtomicU64::default() })
    }

    /// Takes a note of a slot that is left out or changed; what was noted before is not noted again.
    pub(in crate::io) fn note(&self, slot: &str, text: &str) {
        let note = format!("`{slot}` {text}");
        let mut notes = lock(&self.notes);
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// Takes back the notes of a slot, and of what is in it, that was kept after all.
    pub(in crate::io) fn forget(&self, slot: &str) {
        let (whole, inside) = (format!("`{slot}`"), format!("`{slot}/"));
        lock(&self.notes).retain(|note| !note.starts_with(&whole) && !note.starts_with(&inside));
    }

    /// A copy of the notes taken so far.
    pub(super) fn notes(&self) -> Vec<String> {
        lock(&self.notes).clone()
    }

    /// The notes taken so far.
    pub(in crate::io) fn into_notes(self) -> Vec<String> {
        self.notes.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// An error for a part that contradicts itself.
    pub(in crate::io) fn damaged(&self, slot: &str, reason: impl AsRef<str>) -> Error {
        failure::damaged(&self.path, slot, reason.as_ref())
    }

    /// Turns the library's error into ours.
    pub(in crate::io) fn hdf5(&self, slot: &str) -> impl Fn(hdf5::Error) -> Error {
        move |error| failure::reading(&self.path, slot, &error)
    }

    /// What the group holds under this name; a broken link counts as nothing, with a note.
    pub(in crate::io) fn kind(&self, group: &Group, name: &str, slot: &str) -> Option<LocationType> {
        if !group.link_exists(name) {
            return None;
        }
        let kind = group.loc_type_by_name(name).ok();
        if kind.is_none() {
            self.note(slot, "is a link that leads nowhere; left out");
        }
        kind
    }

    /// The members of a group of the root, or nothing if there is no such group.
    pub(in crate::io) fn group(&self, name: &str) -> Result<Option<Group>> {
        match self.kind(&self.file, name, name) {
            Some(LocationType::Group) => self.file.group(name).map(Some).map_err(self.hdf5(name)),
            _ => Ok(None),
        }
    }

    /// The names in a group, in bytewise order.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if the group cannot be read, or if more members were listed than the file can hold: groups
    /// that are their own descendants have no end.
    pub(in crate::io) fn members(&self, group: &Group, slot: &str) -> Result<Vec<String>> {
        let mut names = group.member_names().map_err(self.hdf5(slot))?;
        names.sort();
        let n_listed = self.n_listed.fetch_add(names.len() as u64, Ordering::Relaxed) + names.len() as u64;
        if n_listed > (self.n_bytes / LEAST_MEMBER_BYTES).max(BELIEVED_MEMBERS) {
            return Err(self.damaged(slot, "holds more than the file can: its links lead in a circle"));
        }
        Ok(names)
    }

    /// Makes sure that there are `obs` and `var`; says what else the file is, where that can be told.
    fn check_kind(&self) -> Result<()> {
        let (obs, var) = (self.file.link_exists("obs"), self.file.link_exists("var"));
        if obs && var {
            return Ok(());
        }
        let members = self.members(&self.file, "/")?;
        let has = |name: &str| members.iter().any(|member| member == name);
        let holds = |group: &str, name: &str| self.file.group(group).is_ok_and(|group| group.link_exists(name));
        let (kind, hint) = if members.iter().any(|group| holds(group, "barcodes")) {
            ("a 10x Genomics file, not an AnnData file", "make one of it with `scflow import FILE.h5 -o OUT.h5ad`")
        } else if has("row_attrs") && has("col_attrs") {
            ("a Loom file, not an AnnData file", "read it with `scanpy.read_loom` and save it with `write_h5ad`")
        } else if has("mod") {
            ("a MuData file, not an AnnData file", "save one modality with `mdata[\"rna\"].write_h5ad(…)`")
        } else if has("assays") && has("cell.names") {
            ("an h5Seurat file, not an AnnData file", "convert it with `SeuratDisk::Convert(…, dest = \"h5ad\")`")
        } else {
            ("not an AnnData file: it lacks `obs` or `var`", "give a file written by anndata or scanpy (`write_h5ad`)")
        };
        let found = members.iter().take(8).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let found = if found.is_empty() { "nothing".to_owned() } else { found };
        Err(Error::InvalidFile {
            path: self.path.clone(),
            reason: format!("this is {kind}; it holds {found}"),
            hint: hint.into(),
        })
    }
}

/// Looks at a file without the HDF5 library; returns its size.
fn check_bytes(path: &Path) -> Result<u64> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let invalid = |reason: &str, hint: &str| Error::InvalidFile {
        path: path.to_owned(),
        reason: reason.to_owned(),
        hint: hint.to_owned(),
    };
    let metadata = std::fs::metadata(path).map_err(io)?;
    if metadata.is_dir() {
        return Err(if path.join(".zattrs").exists() || path.join("zarr.json").exists() {
            invalid("this is a folder in Zarr format", "read it with `anndata.read_zarr` and save it with `write_h5ad`")
        } else {
            invalid("this is a folder, not a file", "give the path of an .h5ad file")
        });
    }
    if !metadata.is_file() {
        return Err(invalid("this is not a regular file", "HDF5 needs a file on disk: pipes and devices do not work"));
    }
    let n_bytes = metadata.len();
    if n_bytes == 0 {
        return Err(invalid("the file is empty (0 bytes)", "copy or download the file again"));
    }
    let mut file = std::fs::File::open(path).map_err(io)?;
    let mut offset = 0;
    let mut first = [0; 8];
    while offset + 8 <= n_bytes {
        file.seek(SeekFrom::Start(offset)).map_err(io)?;
        let mut bytes = [0; 8];
        file.read_exact(&mut bytes).map_err(io)?;
        if bytes == SIGNATURE {
            return Ok(n_bytes);
        }
        if offset == 0 {
            first = bytes;
        }
        offset = if offset == 0 { 512 } else { offset * 2 };
    }
    Err(match first {
        [0x1f, 0x8b, ..] => invalid("the file is gzip-compressed, not HDF5", "decompress it first, with `gunzip`"),
        [b'P', b'K', ..] => invalid("the file is a ZIP archive, not HDF5", "unpack it first"),
        _ => invalid("this is not an HDF5 file", "give a file written by anndata or scanpy (`write_h5ad`)"),
    })
}

//! Outputs that appear whole or not at all: written beside the target, then renamed.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Fails if the output exists and may not be replaced; to be called before any work is done.
///
/// # Errors
/// [`Error::OutputExists`]; [`Error::Io`] if the parent folder cannot be made.
pub fn check(path: &Path, force: bool) -> Result<()> {
    if path.exists() && !force {
        return Err(Error::OutputExists { path: path.to_owned() });
    }
    let parent = parent(path);
    std::fs::create_dir_all(&parent).map_err(|source| Error::Io { path: parent, source })
}

/// Lets `write` make a file beside `path`, then renames it to `path`; on failure nothing is left behind.
///
/// # Errors
/// Those of `write`, and [`Error::Io`].
pub fn file(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let beside = tempfile::Builder::new().prefix(".scflow-").suffix(".tmp").tempfile_in(parent(path)).map_err(io)?;
    write(beside.path())?;
    // Temporary files are private by default; an output should follow the user's umask like any other file.
    let reference = tempfile::Builder::new().make(|p| std::fs::File::create(p)).map_err(io)?;
    let permissions = reference.as_file().metadata().map_err(io)?.permissions();
    std::fs::set_permissions(beside.path(), permissions).map_err(io)?;
    beside.persist(path).map_err(|error| io(error.error))?;
    Ok(())
}

/// Writes bytes to `path` in one go.
///
/// # Errors
/// [`Error::Io`].
pub fn bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    file(path, |beside| std::fs::write(beside, bytes).map_err(|source| Error::Io { path: path.to_owned(), source }))
}

/// Lets `write` fill a folder beside `path`, then puts it in the place of `path`; on failure nothing is left behind.
///
/// # Errors
/// Those of `write`, and [`Error::Io`].
pub fn folder(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let beside = tempfile::Builder::new().prefix(".scflow-").suffix(".tmp").tempdir_in(parent(path)).map_err(io)?;
    let inside = beside.path().join("new");
    std::fs::create_dir(&inside).map_err(io)?;
    write(&inside)?;
    if path.exists() {
        std::fs::rename(path, beside.path().join("old")).map_err(io)?;
    }
    std::fs::rename(&inside, path).map_err(io)
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

//! AnnData files.

use std::path::Path;

use crate::cells::Cells;
use crate::{Error, Result};

/// Reads a file.
///
/// # Errors
/// [`Error::InvalidFile`].
pub fn read(path: &Path) -> Result<Cells> {
    Err(Error::InvalidFile { path: path.to_owned(), reason: "no reader".into(), hint: String::new() })
}

/// Writes a file.
///
/// # Errors
/// [`Error::Io`].
pub fn write(path: &Path, _cells: &Cells) -> Result<()> {
    Err(Error::InvalidFile { path: path.to_owned(), reason: "no writer".into(), hint: String::new() })
}

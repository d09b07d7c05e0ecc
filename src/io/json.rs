//! Files of JSON.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// Writes a value in one line.
///
/// # Errors
/// [`Error::Backend`] if it cannot be JSON; [`Error::Io`].
pub fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    write_text(path, serde_json::to_string(value))
}

/// Writes a value for people, in many lines.
///
/// # Errors
/// As [`write()`].
pub fn write_pretty(path: &Path, value: &impl Serialize) -> Result<()> {
    write_text(path, serde_json::to_string_pretty(value))
}

/// Reads a value; `hint` tells whoever has a wrong file how to go on.
///
/// # Errors
/// [`Error::Io`] if the file is absent; [`Error::InvalidFile`] if it holds something else.
pub fn read<T: DeserializeOwned>(path: &Path, hint: &str) -> Result<T> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    serde_json::from_slice(&bytes).map_err(|error| Error::InvalidFile {
        path: path.to_owned(),
        reason: error.to_string(),
        hint: hint.into(),
    })
}

fn write_text(path: &Path, text: serde_json::Result<String>) -> Result<()> {
    let text = text.map_err(|source| Error::backend(format!("writing `{}`", path.display()), source))?;
    std::fs::write(path, text + "\n").map_err(|source| Error::Io { path: path.to_owned(), source })
}

//! Where a fit stands, as a file beside the model folder to be.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::Tensor;

use super::{atomic, model_folder};
use crate::{Error, Result};

/// The name of the entry that holds the digest of everything that decides a fit.
const DIGEST: &str = "digest";

/// The checkpoint of the model folder `model`.
pub fn path_of(model: &Path) -> PathBuf {
    let mut name = model.file_name().unwrap_or_default().to_owned();
    name.push(".checkpoint.safetensors");
    model.with_file_name(name)
}

/// Removes the checkpoint of the model folder `model`, if there is one.
///
/// # Errors
/// [`Error::Io`].
pub fn remove(model: &Path) -> Result<()> {
    let path = path_of(model);
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::Io { path, source }),
        _ => Ok(()),
    }
}

/// Writes the state; `digest` names the data and the choices that it belongs to.
///
/// # Errors
/// [`Error::Io`] or [`Error::Backend`].
pub fn write(path: &Path, mut tensors: HashMap<String, Tensor>, digest: &str) -> Result<()> {
    let digest = Tensor::new(digest.as_bytes(), &candle_core::Device::Cpu)?;
    tensors.insert(DIGEST.into(), digest);
    atomic::file(path, |beside| model_folder::write_tensors(beside, &tensors))
}

/// Reads the state back.
///
/// # Errors
/// [`Error::Io`] if there is none; [`Error::InvalidFile`] if it is broken or belongs to another fit.
pub fn read(path: &Path, digest: &str) -> Result<HashMap<String, Tensor>> {
    let invalid = |reason: String| Error::InvalidFile {
        path: path.to_owned(),
        reason,
        hint: "fit without --resume, or give the same input and options as before".into(),
    };
    let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let mut tensors = candle_core::safetensors::load_buffer(&bytes, &candle_core::Device::Cpu)
        .map_err(|source| invalid(source.to_string()))?;
    let found = tensors.remove(DIGEST).map(|tensor| tensor.to_vec1::<u8>()).transpose()?.unwrap_or_default();
    if found != digest.as_bytes() {
        return Err(invalid("it belongs to a fit with other data or other options".into()));
    }
    Ok(tensors)
}

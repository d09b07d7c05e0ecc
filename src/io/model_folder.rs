//! A fitted model as a folder that needs nothing else.
//!
//! `config.json` (method, choices, the method's own files, provenance), `conditions.json` (training and held-out conditions,
//! library sizes), `genes.json`, `preprocess.json`, `pca.safetensors`, `history.csv`, and `gene_decoder.safetensors` unless the
//! method makes counts itself.
//!
//! The method's own files are named in `config.json`. A flow has `weights.safetensors`, `tokenizer.json`, `prompt.json`,
//! `guide.json` (effects, interactions, scales); `control_cells.safetensors` if it starts from control cells, `evidence.json`
//! if moments are told. A closed form has `estimate.json`, and `control_cells.safetensors` if it moves these.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use ndarray::{ArrayD, Ix2};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{history, json};
use crate::embedding::pca::Pca;
use crate::models::fitted::FittedModel;
use crate::models::gene_decoder::GeneDecoder;
use crate::models::known::Known;
use crate::models::method::Makes;
use crate::models::record::{Record, to_array, to_tensor};
use crate::models::registry;
use crate::{Error, Result};

/// The way back to genes.
const GENE_DECODER: &str = "gene_decoder.safetensors";
/// What to do with a folder that cannot be read.
const DAMAGED: &str = "the model folder is damaged or was written by another version; fit the model again";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    version: String,
    method: String,
    params: serde_json::Value,
    /// The method's own files.
    files: Vec<String>,
    provenance: serde_json::Value,
}

/// Fills an empty folder.
///
/// # Errors
/// [`Error::Io`], [`Error::Backend`].
pub fn write(folder: &Path, model: &FittedModel) -> Result<()> {
    let record = model.method.record()?;
    let config = Config {
        version: env!("CARGO_PKG_VERSION").into(),
        method: model.method.name().into(),
        params: model.method.params()?,
        files: record.names(),
        provenance: model.provenance.clone(),
    };
    json::write(&folder.join("config.json"), &config)?;
    for (name, text) in record.documents() {
        write_bytes(&folder.join(name), text.as_bytes())?;
    }
    for (name, tensors) in record.tensors() {
        write_tensors(&folder.join(name), tensors)?;
    }
    json::write(&folder.join("conditions.json"), &model.known)?;
    json::write(&folder.join("genes.json"), &model.genes)?;
    json::write(&folder.join("preprocess.json"), &model.settings)?;
    let pca = &model.pca;
    let (n_genes, n_components) = pca.loadings.dim();
    let loadings: Vec<f32> = pca.loadings.iter().copied().collect();
    let tensors = HashMap::from([
        ("mean".to_owned(), Tensor::from_slice(&pca.mean, n_genes, &Device::Cpu)?),
        ("loadings".to_owned(), Tensor::from_vec(loadings, (n_genes, n_components), &Device::Cpu)?),
        ("variance".to_owned(), Tensor::from_slice(&pca.variance, n_components, &Device::Cpu)?),
        ("variance_ratio".to_owned(), Tensor::from_slice(&pca.variance_ratio, n_components, &Device::Cpu)?),
    ]);
    write_tensors(&folder.join("pca.safetensors"), &tensors)?;
    if let Some(decoder) = &model.gene_decoder {
        write_arrays(&folder.join(GENE_DECODER), decoder.to_arrays())?;
    }
    history::write(&folder.join("history.csv"), &model.history)
}

/// Reads a folder; the weights go to a device.
///
/// # Errors
/// [`Error::Io`] if the folder is absent; [`Error::MissingKey`] naming a file that is absent; [`Error::InvalidFile`] if one
/// cannot be understood; those of putting the model together.
pub fn read(folder: &Path, device: &Device) -> Result<FittedModel> {
    let config = read_config(folder)?;
    let settings: crate::prepared::Settings = read_json(folder, "preprocess.json")?;
    let mut record = Record::new(folder);
    for name in &config.files {
        match Record::is_document(name) {
            true => record.put_text(name, read_text(folder, name)?),
            false => record.put_tensors(name, read_tensors(folder, name)?),
        }
    }
    let method = registry::restore(&config.method, config.params, record, device)?;
    let gene_decoder = match method.makes() {
        Makes::Components => Some(GeneDecoder::from_arrays(&read_arrays(folder, GENE_DECODER)?)?),
        Makes::Counts => None,
    };
    let pca = read_tensors(folder, "pca.safetensors")?;
    let tensor = |name: &str| {
        pca.get(name).ok_or_else(|| Error::MissingKey {
            place: folder.join("pca.safetensors").display().to_string(),
            key: name.into(),
            hint: "fit the model again".into(),
        })
    };
    let numbers = |name: &str| Ok::<_, Error>(tensor(name)?.to_dtype(DType::F64)?.to_vec1::<f64>()?);
    let pca = Pca {
        mean: numbers("mean")?,
        loadings: to_array(tensor("loadings")?)?
            .into_dimensionality::<Ix2>()
            .map_err(|source| broken(folder, "pca.safetensors", &source))?,
        variance: numbers("variance")?,
        variance_ratio: numbers("variance_ratio")?,
    };
    Ok(FittedModel {
        method,
        gene_decoder,
        pca,
        genes: read_json(folder, "genes.json")?,
        settings,
        known: read_json(folder, "conditions.json")?,
        history: history::read(&folder.join("history.csv"), DAMAGED)?,
        provenance: config.provenance,
    })
}

/// What a folder says of the model, without the model.
pub struct Story {
    /// The names of the method's own files.
    pub files: Vec<String>,
    /// How the model was fitted.
    pub provenance: serde_json::Value,
    /// What it knows of the screen.
    pub known: Known,
}

/// Whether the network of a folder was pretrained elsewhere, or has the architecture of one that was.
///
/// # Errors
/// As [`read_story`].
pub fn was_pretrained(folder: &Path) -> Result<bool> {
    Ok(read_config(folder)?.provenance.get("pretrained_sha256").is_some_and(|digests| !digests.is_null()))
}

/// Reads what a folder says of its model.
///
/// # Errors
/// [`Error::Io`] if the folder is absent; [`Error::MissingKey`] or [`Error::InvalidFile`] if it is no model.
pub fn read_story(folder: &Path) -> Result<Story> {
    let Config { files, provenance, .. } = read_config(folder)?;
    Ok(Story { files, provenance, known: read_json(folder, "conditions.json")? })
}

fn read_config(folder: &Path) -> Result<Config> {
    if !folder.is_dir() {
        let kind = if folder.exists() { std::io::ErrorKind::NotADirectory } else { std::io::ErrorKind::NotFound };
        return Err(Error::Io { path: folder.to_owned(), source: kind.into() });
    }
    read_json(folder, "config.json")
}

/// Writes named tensors.
///
/// # Errors
/// [`Error::Io`] or [`Error::Backend`].
pub fn write_tensors(path: &Path, tensors: &HashMap<String, Tensor>) -> Result<()> {
    let bytes = safetensors::serialize(tensors, None)
        .map_err(|source| Error::backend(format!("writing `{}`", path.display()), source))?;
    write_bytes(path, &bytes)
}

fn write_arrays(path: &Path, arrays: impl IntoIterator<Item = (String, ArrayD<f32>)>) -> Result<()> {
    let tensors = arrays.into_iter().map(|(name, array)| Ok((name, to_tensor(&array)?)));
    write_tensors(path, &tensors.collect::<Result<_>>()?)
}

fn read_arrays<M: FromIterator<(String, ArrayD<f32>)>>(folder: &Path, name: &str) -> Result<M> {
    let tensors = read_tensors(folder, name)?;
    tensors.iter().map(|(name, tensor)| Ok((name.clone(), to_array(tensor)?))).collect()
}

/// Reads all tensors of a file.
///
/// # Errors
/// [`Error::MissingKey`] if the file is absent; [`Error::InvalidFile`] if it is broken.
pub fn read_tensors(folder: &Path, name: &str) -> Result<HashMap<String, Tensor>> {
    let bytes = read_bytes(folder, name)?;
    candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).map_err(|source| broken(folder, name, &source))
}

fn broken(folder: &Path, name: &str, source: &dyn std::fmt::Display) -> Error {
    Error::InvalidFile { path: folder.join(name), reason: source.to_string(), hint: DAMAGED.into() }
}

fn read_bytes(folder: &Path, name: &str) -> Result<Vec<u8>> {
    let path = folder.join(name);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(bytes),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Err(Error::MissingKey {
            place: folder.display().to_string(),
            key: name.to_owned(),
            hint: "this is no model folder; make one with `scflow fit`".into(),
        }),
        Err(source) => Err(Error::Io { path, source }),
    }
}

fn read_text(folder: &Path, name: &str) -> Result<String> {
    String::from_utf8(read_bytes(folder, name)?).map_err(|source| broken(folder, name, &source))
}

fn read_json<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<T> {
    serde_json::from_slice(&read_bytes(folder, name)?).map_err(|source| broken(folder, name, &source))
}

fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).map_err(|source| Error::Io { path: path.to_owned(), source })
}

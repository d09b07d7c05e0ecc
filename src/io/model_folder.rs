//! A fitted model as a folder that needs nothing else.
//!
//! `config.json` (method, choices and provenance), `weights.safetensors`, `tokenizer.json`, `guide.json` (effects, interactions,
//! scales), `conditions.json` (training and held-out conditions, library sizes), `genes.json`, `preprocess.json`,
//! `pca.safetensors`, `gene_decoder.safetensors`, `history.csv`; `control_cells.safetensors` if flows start from control
//! cells, `evidence.json` if moments are told.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use ndarray::{ArrayD, Ix2};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{history, json};
use crate::conditions::prompt::Template;
use crate::conditions::tokenizer::Tokenizer;
use crate::embedding::pca::Pca;
use crate::models::fitted::FittedModel;
use crate::models::gene_decoder::GeneDecoder;
use crate::models::guide::Guide;
use crate::models::reader::Reader;
use crate::models::registry;
use crate::models::source::ControlCells;
use crate::{Error, Result};

/// The control cells that flows start from, where they do.
const CONTROLS: &str = "control_cells.safetensors";
/// The moments that are told beside the prompt, where they are.
const EVIDENCE: &str = "evidence.json";
/// What to do with a folder that cannot be read.
const DAMAGED: &str = "the model folder is damaged or was written by another version; fit the model again";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    version: String,
    method: String,
    params: serde_json::Value,
    prompt: String,
    n_prompt_tokens: usize,
    provenance: serde_json::Value,
}

/// Fills an empty folder.
///
/// # Errors
/// [`Error::Io`], [`Error::Backend`].
pub fn write(folder: &Path, model: &FittedModel) -> Result<()> {
    let reader = model.method.reader();
    let config = Config {
        version: env!("CARGO_PKG_VERSION").into(),
        method: model.method.name().into(),
        params: model.method.params()?,
        prompt: reader.template.text().into(),
        n_prompt_tokens: reader.n_prompt_tokens,
        provenance: model.provenance.clone(),
    };
    json::write(&folder.join("config.json"), &config)?;
    json::write(&folder.join("guide.json"), &reader.guide)?;
    json::write(&folder.join("conditions.json"), &model.known)?;
    json::write(&folder.join("genes.json"), &model.genes)?;
    json::write(&folder.join("preprocess.json"), &model.settings)?;
    write_bytes(&folder.join("tokenizer.json"), reader.tokenizer.to_json()?.as_bytes())?;
    write_tensors(&folder.join("weights.safetensors"), model.method.tensors())?;
    if let Some(controls) = &reader.controls {
        write_arrays(&folder.join(CONTROLS), controls.to_arrays()?)?;
    }
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
    if let Some(evidence) = &reader.evidence {
        json::write(&folder.join(EVIDENCE), evidence)?;
    }
    write_arrays(&folder.join("gene_decoder.safetensors"), model.gene_decoder.to_arrays())?;
    history::write(&folder.join("history.csv"), &model.history)
}

/// Reads a folder; the weights go to a device.
///
/// # Errors
/// [`Error::Io`] if the folder is absent; [`Error::MissingKey`] naming a file that is absent; [`Error::InvalidFile`] if one
/// cannot be understood; those of putting the model together.
pub fn read(folder: &Path, device: &Device) -> Result<FittedModel> {
    if !folder.is_dir() {
        let kind = if folder.exists() { std::io::ErrorKind::NotADirectory } else { std::io::ErrorKind::NotFound };
        return Err(Error::Io { path: folder.to_owned(), source: kind.into() });
    }
    let config: Config = read_json(folder, "config.json")?;
    let settings: crate::prepared::Settings = read_json(folder, "preprocess.json")?;
    let guide: Guide = read_json(folder, "guide.json")?;
    let controls = match folder.join(CONTROLS).exists() {
        true => Some(ControlCells::from_arrays(read_arrays(folder, CONTROLS)?, guide.n_dims())?),
        false => None,
    };
    let evidence = match folder.join(EVIDENCE).exists() {
        true => Some(read_json(folder, EVIDENCE)?),
        false => None,
    };
    let reader = Reader {
        guide,
        tokenizer: Tokenizer::from_json(&read_text(folder, "tokenizer.json")?)?,
        template: Template::parse(&config.prompt, &settings.covariates)?,
        n_prompt_tokens: config.n_prompt_tokens,
        controls,
        evidence,
    };
    let weights = read_tensors(folder, "weights.safetensors")?.into_iter();
    let weights = weights.map(|(name, tensor)| Ok((name, tensor.to_device(device)?))).collect::<Result<_>>()?;
    let method = registry::restore(&config.method, config.params, reader, weights)?;
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
    let arrays = read_arrays(folder, "gene_decoder.safetensors")?;
    Ok(FittedModel {
        method,
        gene_decoder: GeneDecoder::from_arrays(&arrays)?,
        pca,
        genes: read_json(folder, "genes.json")?,
        settings,
        known: read_json(folder, "conditions.json")?,
        history: history::read(&folder.join("history.csv"), DAMAGED)?,
        provenance: config.provenance,
    })
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

fn to_tensor(array: &ArrayD<f32>) -> Result<Tensor> {
    Ok(Tensor::from_vec(array.iter().copied().collect::<Vec<f32>>(), array.shape(), &Device::Cpu)?)
}

fn to_array(tensor: &Tensor) -> Result<ArrayD<f32>> {
    let values = tensor.flatten_all()?.to_vec1::<f32>()?;
    ArrayD::from_shape_vec(tensor.dims(), values).map_err(|source| Error::backend("reading an array", source))
}

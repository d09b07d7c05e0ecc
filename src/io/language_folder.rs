//! A causal language model as Hugging Face's `transformers` saves it: `config.json`; `model.safetensors`, or shards that
//! `model.safetensors.index.json` names; `tokenizer.json`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device, Tensor};
use serde::Deserialize;
use serde_json::Value;

use super::{digest, json};
use crate::conditions::tokenizer::Tokenizer;
use crate::language::causal::hugging_face::{config, weights};
use crate::language::causal::{CausalParams, NAME};
use crate::language::hugging_face::is_buffer;
use crate::{Error, Result};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// The tokenizer's file.
pub const TOKENIZER: &str = "tokenizer.json";
/// What to do with a folder that is no model.
const HINT: &str = "give a folder with config.json, model.safetensors (or its shards with model.safetensors.index.json) and \
                    tokenizer.json, as `save_pretrained` writes it";

/// A model in memory.
pub struct LanguageFolder {
    /// Its configuration.
    pub params: CausalParams,
    /// Its weights under our names, which begin with [`NAME`]; none where only the architecture was read.
    pub tensors: HashMap<String, Tensor>,
    /// Its tokenizer, if there is one.
    pub tokenizer: Option<Tokenizer>,
    /// The digest of each file that was read.
    pub digests: BTreeMap<String, String>,
}

/// Reads the configuration alone.
///
/// # Errors
/// [`Error::MissingKey`] if it is absent; those of [`config::read`].
pub fn read_params(folder: &Path) -> Result<CausalParams> {
    let (text, path) = read_config(folder)?;
    config::read(&text, &path)
}

/// The configuration as it is written, and its file.
pub(super) fn read_config(folder: &Path) -> Result<(Value, PathBuf)> {
    if !folder.is_dir() {
        return invalid(folder, "there is no such folder".into(), HINT);
    }
    let path = folder.join(CONFIG);
    if !path.exists() {
        return Err(missing(folder, CONFIG));
    }
    Ok((json::read(&path, HINT)?, path))
}

/// Reads the tokenizer, and holds it against the `n_words` of the model's vocabulary; nothing if there is none.
///
/// # Errors
/// [`Error::InvalidFile`] if it cannot be understood, or makes tokens that the embedding does not have.
pub fn read_tokenizer(folder: &Path, n_words: usize) -> Result<Option<Tokenizer>> {
    let path = folder.join(TOKENIZER);
    if !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
    let tokenizer = match Tokenizer::from_json(&text) {
        Ok(tokenizer) => tokenizer,
        Err(error) => return invalid(&path, error.to_string(), "save it again with a current version of transformers"),
    };
    let beyond = tokenizer.tokens_from(n_words);
    if let Some((word, id)) = beyond.first() {
        let reason = format!(
            "{} of its tokens are beyond the {n_words} rows of the embedding, such as `{word}` ({id})",
            beyond.len()
        );
        return invalid(&path, reason, "tokenizer and weights must come from the same model");
    }
    Ok(Some(tokenizer))
}

/// Reads all but the weights: the architecture and the tokenizer.
///
/// # Errors
/// As [`read`].
pub fn read_architecture(folder: &Path) -> Result<LanguageFolder> {
    let params = read_params(folder)?;
    let tokenizer = read_tokenizer(folder, params.n_words)?;
    let digests = digests(folder, &[])?;
    Ok(LanguageFolder { params, tensors: HashMap::new(), tokenizer, digests })
}

/// Reads a folder; without `has_head`, what only logits need may be absent.
///
/// # Errors
/// [`Error::MissingKey`] naming a file that is absent; [`Error::InvalidFile`] if one cannot be understood; those of
/// [`read_params`], [`read_tokenizer`] and [`weights::convert`].
pub fn read(folder: &Path, has_head: bool) -> Result<LanguageFolder> {
    let params = read_params(folder)?;
    let tokenizer = read_tokenizer(folder, params.n_words)?;
    let (tensors, files) = read_tensors(folder)?;
    let tensors = weights::convert(&params, NAME, tensors, has_head, folder)?;
    let digests = digests(folder, &files)?;
    Ok(LanguageFolder { params, tensors, tokenizer, digests })
}

/// All tensors but buffers in 32 bits under the names that they have, and the files that they were in.
pub(super) fn read_tensors(folder: &Path) -> Result<(HashMap<String, Tensor>, Vec<PathBuf>)> {
    let (files, listed) = files(folder)?;
    let tensors = tensors(folder, &files, listed.as_ref())?;
    Ok((tensors, files))
}

/// The digests of some files, and of those beside the weights that are there.
pub(super) fn digests(folder: &Path, files: &[PathBuf]) -> Result<BTreeMap<String, String>> {
    let others = [CONFIG, TOKENIZER].map(PathBuf::from).into_iter().filter(|name| folder.join(name).exists());
    let digest = |name: PathBuf| Ok((name.display().to_string(), digest::sha256(&folder.join(&name))?));
    others.chain(files.iter().cloned()).map(digest).collect()
}

#[derive(Deserialize)]
struct Index {
    weight_map: Listed,
}

/// The file of each tensor, where there are several files.
type Listed = BTreeMap<String, String>;

/// The files of weights, and which tensors they must hold if there are several.
fn files(folder: &Path) -> Result<(Vec<PathBuf>, Option<Listed>)> {
    let (one, index) = (folder.join(WEIGHTS), folder.join(INDEX));
    match [one.exists(), index.exists()] {
        [true, false] => Ok((vec![WEIGHTS.into()], None)),
        [false, true] => {
            let index: Index = json::read(&index, "it must map the names of tensors to files (`weight_map`)")?;
            let files: BTreeSet<&String> = index.weight_map.values().collect();
            if let Some(absent) = files.iter().find(|file| !folder.join(file).is_file()) {
                return Err(missing(folder, absent));
            }
            Ok((files.into_iter().map(PathBuf::from).collect(), Some(index.weight_map)))
        }
        [true, true] => invalid(folder, format!("it holds both {WEIGHTS} and {INDEX}"), "remove one of them"),
        [false, false] => {
            let pickled = folder.join("pytorch_model.bin").exists();
            let hint = "it has weights as pytorch_model.bin only: load the model in Python and save it with \
                        `save_pretrained`, which writes safetensors";
            Err(Error::MissingKey {
                place: folder.display().to_string(),
                key: WEIGHTS.into(),
                hint: if pickled { hint } else { HINT }.into(),
            })
        }
    }
}

/// All tensors of the files in 32 bits, but for buffers.
fn tensors(folder: &Path, files: &[PathBuf], listed: Option<&Listed>) -> Result<HashMap<String, Tensor>> {
    let mut tensors = HashMap::new();
    for file in files {
        let path = folder.join(file);
        let damaged = |source: candle_core::Error| Error::InvalidFile {
            path: path.clone(),
            reason: format!("it holds no tensors that can be read ({source})"),
            hint: "the file may be cut short: fetch it again".into(),
        };
        // SAFETY: the file is only read; whoever changes it meanwhile changes what is read, as with any file.
        let opened = unsafe { MmapedSafetensors::new(&path) }.map_err(damaged)?;
        for (name, view) in opened.tensors() {
            if is_buffer(&name) {
                continue;
            }
            if listed.is_some_and(|listed| listed.get(&name).is_none_or(|of| Path::new(of) != file)) {
                return invalid(&path, format!("it holds `{name}`, which {INDEX} does not place there"), HINT);
            }
            use safetensors::Dtype;
            if !matches!(view.dtype(), Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::F64) {
                let reason = format!("`{name}` is of type {:?}; 32 and 16 bits with a point are read", view.dtype());
                return invalid(&path, reason, "save the model without quantization");
            }
            let tensor = opened.load(&name, &Device::Cpu).and_then(|tensor| tensor.to_dtype(DType::F32));
            tensors.insert(name, tensor.map_err(damaged)?);
        }
    }
    let absent = |name: &&String| !tensors.contains_key(*name) && !is_buffer(name);
    match listed.and_then(|listed| listed.keys().find(absent)) {
        Some(name) => invalid(&folder.join(INDEX), format!("`{name}` is in none of its files"), HINT),
        None => Ok(tensors),
    }
}

pub(super) fn missing(folder: &Path, name: &str) -> Error {
    Error::MissingKey { place: folder.display().to_string(), key: name.into(), hint: HINT.into() }
}

fn invalid<T>(path: &Path, reason: String, hint: &str) -> Result<T> {
    Err(Error::InvalidFile { path: path.into(), reason, hint: hint.into() })
}

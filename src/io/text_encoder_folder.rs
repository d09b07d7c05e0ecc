//! A model that reads descriptions, as Hugging Face's `transformers` saves it: an encoder of the BERT family, or a causal language
//! model. The files are those of [`language_folder`]; sentence-transformers' `modules.json` beside them says
//! what comes after the network.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::Tensor;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::json;
use super::language_folder::{self, TOKENIZER};
use crate::conditions::tokenizer::Tokenizer;
use crate::language::bert::{self, BertFamily};
use crate::language::causal::params::Family;
use crate::models::described::{NetworkParams, Pooling};
use crate::{Error, Result};

/// What sentence-transformers puts behind a network.
const MODULES: &str = "modules.json";

/// A model in memory.
pub struct TextEncoderFolder {
    /// Its configuration.
    pub params: NetworkParams,
    /// Its weights under our names.
    pub tensors: HashMap<String, Tensor>,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// How its hidden states are pooled.
    pub pooling: Pooling,
    /// The digest of each file that was read.
    pub digests: BTreeMap<String, String>,
}

/// Reads a folder; its `config.json` says which architecture it is. Where no pooling is asked for, it is the one that the folder
/// names, or the mean.
///
/// # Errors
/// [`Error::MissingKey`] naming a file that is absent; [`Error::InvalidFile`] for an architecture that is not known, for further
/// modules behind the network, or a file that cannot be understood; those of [`bert::weights::convert`] and [`language_folder::read`].
pub fn read(folder: &Path, asked: Option<Pooling>) -> Result<TextEncoderFolder> {
    let (config, path) = language_folder::read_config(folder)?;
    let pooling = pooling(folder, asked)?;
    let Some(family) = bert::config::family(&config) else {
        let name = config.get("model_type").and_then(Value::as_str);
        if let Some(name) = name.filter(|name| Family::ALL.iter().all(|family| family.name() != *name)) {
            let encoders = BertFamily::ALL.map(|family| format!("`{}`", family.name())).join(", ");
            let causal = Family::ALL.map(|family| format!("`{}`", family.name())).join(", ");
            return Err(Error::InvalidFile {
                path,
                reason: format!("`model_type` is `{name}`, which is not known"),
                hint: format!("text encoders may be {encoders}, or one of the causal language models {causal}"),
            });
        }
        let read = language_folder::read(folder, false)?;
        let tokenizer = read.tokenizer.ok_or_else(|| no_tokenizer(folder))?;
        let (params, tensors, digests) = (NetworkParams::Causal(read.params), read.tensors, read.digests);
        return Ok(TextEncoderFolder { params, tensors, tokenizer, pooling, digests });
    };
    let params = bert::config::read(&config, family, &path)?;
    let tokenizer = language_folder::read_tokenizer(folder, params.n_words)?.ok_or_else(|| no_tokenizer(folder))?;
    let (tensors, files) = language_folder::read_tensors(folder)?;
    let tensors = bert::weights::convert(&params, tensors, folder)?;
    let digests = language_folder::digests(folder, &files)?;
    Ok(TextEncoderFolder { params: NetworkParams::Bert(params), tensors, tokenizer, pooling, digests })
}

#[derive(Deserialize)]
struct Module {
    #[serde(rename = "type")]
    kind: String,
    path: String,
}

/// The pooling that is asked for, or that `modules.json` leads to, or the mean.
fn pooling(folder: &Path, asked: Option<Pooling>) -> Result<Pooling> {
    let path = folder.join(MODULES);
    if !path.exists() {
        return Ok(asked.unwrap_or_default());
    }
    let modules: Vec<Module> =
        json::read(&path, "sentence-transformers writes it; remove it to read the network alone")?;
    let name = |module: &Module| module.kind.rsplit('.').next().unwrap_or_default().to_owned();
    let known = ["Transformer", "Pooling", "Normalize"];
    if let Some(other) = modules.iter().map(name).find(|name| !known.contains(&name.as_str())) {
        return Err(Error::InvalidFile {
            path,
            reason: format!("a module `{other}` stands behind the network, which is not supported"),
            hint: "take another model, or remove this file to read the network alone".into(),
        });
    }
    if let Some(asked) = asked {
        return Ok(asked);
    }
    let Some(module) = modules.iter().find(|module| name(module) == "Pooling") else { return Ok(Pooling::default()) };
    let path = folder.join(&module.path).join("config.json");
    let config: Map<String, Value> = json::read(&path, "sentence-transformers writes it; fetch the folder again")?;
    let mut modes: Vec<&str> = config.get("pooling_mode").and_then(Value::as_str).into_iter().collect();
    let on = config.iter().filter(|(_, value)| value.as_bool() == Some(true));
    modes.extend(on.filter_map(|(key, _)| key.strip_prefix("pooling_mode_")));
    match modes.as_slice() {
        ["cls" | "cls_token"] => Ok(Pooling::Cls),
        ["mean" | "mean_tokens"] => Ok(Pooling::Mean),
        ["lasttoken"] => Ok(Pooling::Last),
        others => Err(Error::InvalidFile {
            path,
            reason: format!("it pools by `{}`; one of mean, cls and lasttoken is supported", others.join("` and `")),
            hint: "choose with --text-pooling".into(),
        }),
    }
}

fn no_tokenizer(folder: &Path) -> Error {
    Error::MissingKey {
        place: folder.display().to_string(),
        key: TOKENIZER.into(),
        hint: "put the tokenizer of the model there: descriptions are read with it (`save_pretrained` of a fast tokenizer writes it)"
            .into(),
    }
}

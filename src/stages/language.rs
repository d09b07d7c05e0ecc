//! Runs a causal language model on texts: a check that a folder was read right.

use std::collections::HashMap;
use std::path::PathBuf;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::conditions::tokenizer::Tokenizer;
use crate::error::refuse;
use crate::io::{atomic, language_folder, model_folder};
use crate::language::causal::next::most_probable;
use crate::language::causal::tuning::Tuning;
use crate::language::causal::{Causal, NAME};
use crate::language::device::DeviceChoice;
use crate::language::parameters::Parameters;
use crate::language::precision::Precision;
use crate::{Error, Result};

/// What to read, and with which model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LanguageParams {
    /// The folder of the model.
    pub folder: PathBuf,
    /// Texts, each a sequence.
    pub texts: Vec<String>,
    /// Token ids in the place of texts.
    pub ids: Vec<Vec<u32>>,
    /// How many next tokens are told of each sequence.
    pub top: usize,
    /// Where the network is computed.
    pub device: DeviceChoice,
    /// How its matrices are held.
    pub weights: Precision,
    /// Where hidden states and logits go, if anywhere.
    pub output: Option<PathBuf>,
    /// Replace the output if it exists.
    pub force: bool,
}

impl Default for LanguageParams {
    fn default() -> Self {
        Self {
            folder: PathBuf::new(),
            texts: Vec::new(),
            ids: Vec::new(),
            top: 5,
            device: DeviceChoice::default(),
            weights: Precision::default(),
            output: None,
            force: false,
        }
    }
}

impl LanguageParams {
    /// # Errors
    /// [`Error::InvalidParameter`] if there is nothing to read, or both texts and ids.
    pub fn check(&self) -> Result<()> {
        match [self.texts.is_empty(), self.ids.is_empty()] {
            [true, true] => refuse("text", "", "give --text or --ids"),
            [false, false] => refuse("ids", "given", "give --text or --ids, not both"),
            _ => Ok(()),
        }
    }
}

/// A token, with the text that it stands for where there is a tokenizer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Word {
    /// Its number.
    pub id: u32,
    /// Its text.
    pub text: Option<String>,
}

/// What the model says of a sequence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reading {
    /// Its tokens.
    pub tokens: Vec<Word>,
    /// The most probable next tokens with their probabilities, best first.
    pub next: Vec<(Word, f64)>,
}

/// Reads texts or ids, and writes `last_hidden_state` (n_sequences, n_tokens, width), `logits` (n_sequences, n_tokens, n_words)
/// and `attention_mask` (n_sequences, n_tokens) if an output is asked for; shorter sequences are padded on the left.
///
/// # Errors
/// Those of [`LanguageParams::check`], [`language_folder::read`] and of writing; [`Error::MissingKey`] if texts are to be read
/// and there is no tokenizer; [`Error::InvalidParameter`] for an empty sequence or one that is longer than the context;
/// [`Error::BadValues`] for ids that are not in the vocabulary.
pub fn language(params: &LanguageParams, say: &dyn Fn(&str)) -> Result<Vec<Reading>> {
    params.check()?;
    let (device, device_name) = params.device.open()?;
    params.weights.check("weights", &device)?;
    say(&format!("device: {device_name}"));
    if let Some(output) = &params.output {
        atomic::check(output, params.force)?;
    }
    let folder = language_folder::read(&params.folder, true)?;
    let sequences = sequences(params, folder.tokenizer.as_ref())?;
    let mut parameters = Parameters::take(folder.tensors, &device);
    parameters.hold(params.weights);
    let model = Causal::new(&mut parameters, NAME, folder.params, Tuning::Full, true)?;
    let lengths: Vec<usize> = sequences.iter().map(Vec::len).collect();
    let n_tokens = lengths.iter().copied().max().unwrap_or(0);
    let padded: Vec<u32> = sequences
        .iter()
        .flat_map(|ids| std::iter::repeat_n(0, n_tokens - ids.len()).chain(ids.iter().copied()))
        .collect();
    let hidden = model.forward_padded(&model.embed(&padded)?, &lengths)?;
    if let Some(output) = &params.output {
        let shape = (lengths.len(), n_tokens, ());
        let mask =
            lengths.iter().flat_map(|length| (0..n_tokens).map(move |token| i64::from(token + length >= n_tokens)));
        let tensors = HashMap::from([
            ("last_hidden_state".to_owned(), hidden.reshape(shape)?),
            ("logits".to_owned(), model.logits(&hidden)?.reshape(shape)?),
            ("attention_mask".to_owned(), Tensor::from_iter(mask, &Device::Cpu)?.reshape((lengths.len(), n_tokens))?),
        ]);
        atomic::file(output, |beside| model_folder::write_tensors(beside, &tensors))?;
    }
    let word = |id: u32| Word { id, text: folder.tokenizer.as_ref().and_then(|tokenizer| tokenizer.word(id)) };
    let of_sequence = |(number, ids): (usize, &Vec<u32>)| {
        let last = hidden.narrow(0, (number + 1) * n_tokens - 1, 1)?;
        let logits = model.logits(&last)?.flatten_all()?.to_vec1::<f32>()?;
        let next = most_probable(&logits, params.top).into_iter().map(|(id, share)| (word(id), share)).collect();
        Ok(Reading { tokens: ids.iter().copied().map(word).collect(), next })
    };
    sequences.iter().enumerate().map(of_sequence).collect()
}

fn sequences(params: &LanguageParams, tokenizer: Option<&Tokenizer>) -> Result<Vec<Vec<u32>>> {
    let encode = |text: &String| match tokenizer {
        Some(tokenizer) => tokenizer.encode_framed(text),
        None => Err(Error::MissingKey {
            place: params.folder.display().to_string(),
            key: language_folder::TOKENIZER.into(),
            hint: "put the tokenizer of the model there, or give token ids with --ids".into(),
        }),
    };
    let sequences = match params.texts.is_empty() {
        true => params.ids.clone(),
        false => params.texts.iter().map(encode).collect::<Result<_>>()?,
    };
    match sequences.iter().position(Vec::is_empty) {
        Some(number) => refuse("text", params.texts.get(number).map_or("", String::as_str), "it has no tokens"),
        None => Ok(sequences),
    }
}

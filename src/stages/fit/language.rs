//! What a fit starts from that was learned elsewhere: an scGPT, or the language model of a CaLMFlow.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{FitParams, Watcher};
use crate::error::refuse;
use crate::io::{language_folder, pretrained_folder};
use crate::language::causal::tuning::Tuning;
use crate::models::calmflow::{LanguageParams, LanguageStart};
use crate::models::registry::{Choices, Given};
use crate::{Error, Result};

/// What of a language model is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tune {
    /// Everything.
    Full,
    /// Adapters, its own weights being fixed.
    Adapters,
    /// Thin matrices beside its maps, its own weights being fixed.
    Lora,
}

/// Digests of files by their names.
pub(super) type Digests = BTreeMap<String, String>;

impl FitParams {
    /// What is trained of the language model.
    fn tuning(&self) -> Tuning {
        match self.tune {
            None | Some(Tune::Full) => Tuning::Full,
            Some(Tune::Adapters) => Tuning::Adapters { width: self.adapter_width.unwrap_or(32) },
            Some(Tune::Lora) => Tuning::Lora { rank: self.lora_rank.unwrap_or(8) },
        }
    }

    /// Fails if choices of the language model do not go together.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`].
    pub(super) fn check_language(&self) -> Result<()> {
        self.tuning().check()?;
        let alone = [
            ("language-model-random", self.language_model_random),
            ("tune", self.tune.is_some()),
            ("checkpoint-activations", self.checkpoint_activations),
            ("language-weights", self.language_weights.is_some()),
        ];
        match alone.into_iter().find(|(_, given)| *given && self.language_model.is_none()) {
            Some((name, _)) => refuse(name, "given", "it says something of --language-model, which is not given"),
            None if self.lora_rank.is_some() && self.tune != Some(Tune::Lora) => {
                refuse("lora-rank", "given", "it needs --tune lora")
            }
            None if self.adapter_width.is_some() && self.tune != Some(Tune::Adapters) => {
                refuse("adapter-width", "given", "it needs --tune adapters")
            }
            None if self.language_model_random && self.tuning() != Tuning::Full => {
                refuse("tune", "given", "weights that are drawn at random must be trained: use --tune full")
            }
            None => Ok(()),
        }
    }

    /// The method with its choices, what it starts from, and the digests of the files that this comes from.
    ///
    /// # Errors
    /// Those of [`Self::choices`] and of reading; [`Error::MissingKey`] if a language model has no tokenizer.
    pub(super) fn given(&self, watcher: &dyn Watcher) -> Result<(Choices, Given, Option<Digests>)> {
        let choices = self.choices()?;
        if let Some(folder) = &self.pretrained {
            let (pretrained, digests) = pretrained_folder::read(folder)?;
            return Ok((choices, Given::Scgpt(Box::new(pretrained)), Some(digests)));
        }
        let Some(folder) = &self.language_model else { return Ok((choices, Given::Nothing, None)) };
        let read = match self.language_model_random {
            true => language_folder::read_architecture(folder)?,
            false => language_folder::read(folder, false)?,
        };
        let Some(tokenizer) = read.tokenizer else {
            return Err(Error::MissingKey {
                place: folder.display().to_string(),
                key: language_folder::TOKENIZER.into(),
                hint: "put the tokenizer of the model there: prompts are read with it".into(),
            });
        };
        let language = LanguageParams {
            network: read.params,
            tuning: self.tuning(),
            is_random: self.language_model_random,
            recomputes: self.checkpoint_activations,
            precision: self.language_weights.unwrap_or_default(),
        };
        let start = if self.language_model_random { "weights drawn at random" } else { "pretrained weights" };
        let (family, n_layers, width) = (read.params.family.name(), read.params.n_layers, read.params.width);
        watcher.say(&format!("language model: `{family}`, {n_layers} blocks of width {width}, {start}"));
        let given = Given::Language(Box::new(LanguageStart { tensors: read.tensors, tokenizer }));
        Ok((choices.on_language(language)?, given, Some(read.digests)))
    }
}

//! Flows as fitted methods: a reader of conditions, weights, and cells as principal components.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::Tensor;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::described::{Strength, TextNetwork};
use super::dose_scale::DoseScale;
use super::method::{Asked, DESCRIPTIONS, Draws, FittedMethod, Made, refuse_undescribed};
use super::reader::Reader;
use super::record::Record;
use super::reference::Choice;
use super::source::ControlCells;
use crate::Result;
use crate::conditions::Condition;
use crate::conditions::descriptions::Descriptions;
use crate::conditions::prompt::Phrasing;
use crate::conditions::tokenizer::Tokenizer;

/// The weights of the network.
pub const WEIGHTS: &str = "weights.safetensors";
/// Where conditions lie.
const GUIDE: &str = "guide.json";
/// The words.
const TOKENIZER: &str = "tokenizer.json";
/// How conditions are put into words.
const PROMPT: &str = "prompt.json";
/// The control cells that flows start from, where they do.
const CONTROLS: &str = "control_cells.safetensors";
/// The moments that are told beside the prompt, where they are.
const EVIDENCE: &str = "evidence.json";

/// A fitted flow. Whatever is one is a [`FittedMethod`].
pub trait FittedFlow: Send + Sync {
    /// The name by which the method is asked for.
    fn name(&self) -> &'static str;

    /// Its choices, for a file.
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if they cannot be written.
    fn params(&self) -> Result<serde_json::Value>;

    /// What it reads of conditions.
    fn reader(&self) -> &Reader;

    /// The same, to be told of more.
    fn reader_mut(&mut self) -> &mut Reader;

    /// Its weights.
    fn tensors(&self) -> &HashMap<String, Tensor>;

    /// Generates cells of one condition as principal components: (n_cells, n_dims).
    ///
    /// # Errors
    /// [`crate::Error::UnknownName`] if a component or the covariates never occurred in training; those of [`Draws::check`].
    fn generate(&self, condition: &Condition, n_cells: usize, draws: Draws, seed: u64) -> Result<Array2<f32>>;
}

impl<F: FittedFlow> FittedMethod for F {
    fn name(&self) -> &'static str {
        FittedFlow::name(self)
    }

    fn params(&self) -> Result<serde_json::Value> {
        FittedFlow::params(self)
    }

    fn record(&self) -> Result<Record> {
        let mut record = Record::default();
        self.reader().keep(&mut record)?;
        record.put_tensors(WEIGHTS, self.tensors().clone());
        Ok(record)
    }

    fn prompt(&self) -> Option<&str> {
        Some(self.reader().phrasing.first())
    }

    fn told(&self, condition: &Condition) -> Result<Option<(String, Vec<u32>)>> {
        let prompt = self.reader().phrasing.prompt(condition);
        let tokens = self.reader().tokenizer.encode(&prompt)?;
        Ok(Some((prompt, tokens)))
    }

    fn strength(&self) -> Option<&Strength> {
        self.reader().guide.strength()
    }

    fn check_unseen(&self) -> Result<()> {
        match self.reader().phrasing.descriptions().is_empty() {
            true => refuse_undescribed(FittedFlow::name(self)),
            false => Ok(()),
        }
    }

    fn descriptions(&self) -> Option<&Descriptions> {
        Some(self.reader().phrasing.descriptions())
    }

    fn describe(&mut self, descriptions: &Descriptions) -> Result<()> {
        self.check_unseen()?;
        self.reader_mut().describe(descriptions)
    }

    fn choice(&self) -> Option<&Choice> {
        self.reader().guide.choice()
    }

    fn n_sources(&self, condition: &Condition) -> Option<usize> {
        self.reader().controls.as_ref().map(|controls| controls.n_cells(condition))
    }

    fn make(&self, asked: &Asked) -> Result<Made> {
        self.generate(asked.condition, asked.n_cells, asked.draws, asked.seed).map(Made::Components)
    }
}

/// The sentences in a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prompt {
    templates: Vec<String>,
    covariates: Vec<String>,
    n_tokens: usize,
    /// How doses are told beside the sentence, where a screen has them.
    #[serde(default, skip_serializing_if = "DoseScale::is_empty")]
    doses: DoseScale,
}

impl Reader {
    /// Puts everything into a record.
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if something cannot be written.
    pub fn keep(&self, record: &mut Record) -> Result<()> {
        record.put(GUIDE, &self.guide)?;
        record.put_text(TOKENIZER, self.tokenizer.to_json()?);
        let phrasing = &self.phrasing;
        let prompt = Prompt {
            templates: phrasing.templates(),
            covariates: phrasing.covariates(),
            n_tokens: self.n_prompt_tokens,
            doses: self.doses.clone(),
        };
        record.put(PROMPT, &prompt)?;
        if !phrasing.descriptions().is_empty() {
            record.put(DESCRIPTIONS, phrasing.descriptions())?;
        }
        self.network.iter().try_for_each(|network| network.keep(record))?;
        if let Some(controls) = &self.controls {
            record.put_arrays(CONTROLS, controls.to_arrays()?)?;
        }
        self.evidence.iter().try_for_each(|evidence| record.put(EVIDENCE, evidence))
    }

    /// Takes from a record what [`Self::keep`] put into it.
    ///
    /// # Errors
    /// [`crate::Error::MissingKey`] for what is absent; [`crate::Error::InvalidFile`] for what cannot be understood.
    pub fn take(record: &mut Record) -> Result<Self> {
        let guide: super::guide::Guide = record.take(GUIDE)?;
        let prompt: Prompt = record.take(PROMPT)?;
        let descriptions = if record.has(DESCRIPTIONS) { record.take(DESCRIPTIONS)? } else { Descriptions::default() };
        let controls = match record.has(CONTROLS) {
            true => Some(ControlCells::from_arrays(record.take_arrays(CONTROLS)?, guide.n_dims())?),
            false => None,
        };
        let evidence = if record.has(EVIDENCE) { Some(record.take(EVIDENCE)?) } else { None };
        Ok(Self {
            guide,
            tokenizer: Tokenizer::from_json(&record.take_text(TOKENIZER)?)?,
            phrasing: Phrasing::new(&prompt.templates, &prompt.covariates, descriptions)?,
            network: TextNetwork::take(record)?.map(Arc::new),
            n_prompt_tokens: prompt.n_tokens,
            controls,
            evidence,
            doses: prompt.doses,
        })
    }
}

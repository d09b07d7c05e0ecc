//! From a condition to what a network is told of it; the same for every method.

use std::collections::BTreeSet;

use ndarray::{Array1, Array2, ArrayView2};
use rand_chacha::ChaCha8Rng;

use super::coordinates::Coordinates;
use super::evidence::Evidence;
use super::guide::{Centre, Guide, View};
use super::source::{ControlCells, Source};
use crate::conditions::Condition;
use crate::conditions::prompt::Template;
use crate::conditions::tokenizer::Tokenizer;
use crate::error::refuse;
use crate::{Error, Result};

/// What a network is told about one condition.
#[derive(Debug, Clone)]
pub struct Told {
    /// The prompt's tokens.
    pub tokens: Vec<u32>,
    /// The condition in numbers: (n_inputs).
    pub inputs: Array1<f32>,
    /// Moments of measured cells, a row for each token: (n_numbers) each.
    pub evidence: Vec<Array1<f32>>,
}

/// What is read of conditions, and what flows start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReaderParams {
    /// What cells are measured from.
    pub centre: Centre,
    /// The coordinates that flows work in.
    pub coordinates: Coordinates,
    /// Whether the estimate is told in numbers.
    pub inputs: bool,
    /// Where flows start.
    pub source: Source,
    /// Whether moments of the control and of the components are told.
    pub evidence: bool,
}

/// Sizes of a network that come from the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Components of a cell.
    pub n_dims: usize,
    /// Tokens of the vocabulary.
    pub n_words: usize,
    /// Numbers that describe a condition.
    pub n_inputs: usize,
    /// Tokens of the longest prompt that can be read as a prefix.
    pub n_prompt_tokens: usize,
    /// Numbers of a token of evidence; none if there is no evidence.
    pub n_evidence: Option<usize>,
}

/// Turns a condition into what a network is told of it.
#[derive(Debug, Clone)]
pub struct Reader {
    /// Where conditions lie.
    pub guide: Guide,
    /// The words.
    pub tokenizer: Tokenizer,
    /// The sentence.
    pub template: Template,
    /// Tokens of the longest prompt that can be read as a prefix.
    pub n_prompt_tokens: usize,
    /// The control cells that flows start from, unless they start from noise.
    pub controls: Option<ControlCells>,
    /// Moments that are told beside the prompt, where they are.
    pub evidence: Option<Evidence>,
}

impl Reader {
    /// A new combination may have more components than any training condition.
    const ROOM_FOR_LONGER_PROMPTS: usize = 32;

    /// Fits the guide and, unless one is given, the tokenizer to training cells, and keeps control cells if flows start from them.
    ///
    /// **Shapes** `embedding`: (n_cells, n_dims); one condition per cell.
    ///
    /// # Errors
    /// Those of [`Guide::fit`] and [`Tokenizer::fit`].
    pub fn fit(
        embedding: ArrayView2<f32>,
        conditions: &[Condition],
        template: Template,
        params: ReaderParams,
        tokenizer: Option<Tokenizer>,
        seed: u64,
    ) -> Result<Self> {
        let guide = Guide::fit(embedding, conditions, params.centre, params.coordinates, seed)?;
        let guide = if params.inputs { guide } else { guide.without_inputs() };
        let distinct: BTreeSet<&Condition> = conditions.iter().collect();
        let prompts: Vec<String> = distinct.into_iter().map(|condition| template.fill(condition)).collect();
        let tokenizer = tokenizer.map_or_else(|| Tokenizer::fit(&prompts), Ok)?;
        let longest =
            prompts.iter().map(|prompt| Ok(tokenizer.encode_framed(prompt)?.len())).collect::<Result<Vec<_>>>()?;
        let n_prompt_tokens = longest.into_iter().max().unwrap_or(0) + Self::ROOM_FOR_LONGER_PROMPTS;
        let controls = match params.source {
            Source::Noise => None,
            Source::Control => Some(ControlCells::fit(embedding, conditions, seed)),
        };
        let evidence = params.evidence.then(|| Evidence::fit(embedding, conditions));
        Ok(Self { guide, tokenizer, template, n_prompt_tokens, controls, evidence })
    }

    /// The sizes of a network that reads these conditions.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            n_dims: self.guide.n_dims(),
            n_words: self.tokenizer.n_tokens(),
            n_inputs: self.guide.n_inputs(),
            n_prompt_tokens: self.n_prompt_tokens,
            n_evidence: self.evidence.as_ref().map(|_| Evidence::n_numbers(self.guide.n_dims())),
        }
    }

    /// What a network is told of a condition that is met in this way.
    ///
    /// # Errors
    /// Those of the tokenizer.
    pub fn told(&self, condition: &Condition, view: &View) -> Result<Told> {
        let tokens = self.tokenizer.encode_framed(&self.template.fill(condition))?;
        let evidence = self.evidence.as_ref().map(|evidence| evidence.rows(condition, view, &self.guide));
        Ok(Told { tokens, inputs: view.inputs.clone(), evidence: evidence.unwrap_or_default() })
    }

    /// What a network is told where the condition is hidden from it.
    pub fn nothing(&self) -> Told {
        Told { tokens: Vec::new(), inputs: Array1::zeros(self.guide.n_inputs()), evidence: Vec::new() }
    }

    /// Source points for cells of a condition: (n_cells) control cells with its covariates, in flow coordinates around the
    /// same centre; nothing if flows start from noise.
    ///
    /// # Errors
    /// [`Error::UnknownName`] if there are no control cells with these covariates.
    pub fn matched_controls(
        &self,
        condition: &Condition,
        centre: &Array1<f32>,
        n_cells: usize,
        rng: &mut ChaCha8Rng,
    ) -> Result<Option<Array2<f32>>> {
        let draw = |controls: &ControlCells| controls.draw(condition, n_cells, rng);
        let cells = self.controls.as_ref().map(draw).transpose()?;
        Ok(cells.map(|cells| self.guide.standard().standardise(cells.view(), centre)))
    }

    /// Fails if flows start from control cells and there are none.
    ///
    /// # Errors
    /// [`Error::MissingKey`].
    pub fn check_source(&self, source: Source) -> Result<()> {
        if source == Source::Noise || self.controls.is_some() {
            return Ok(());
        }
        Err(Error::MissingKey {
            place: "the model".into(),
            key: "control_cells".into(),
            hint: "it was fitted with --source control and needs these cells; fit it again".into(),
        })
    }

    /// Fails if evidence is to be told and there is none.
    ///
    /// # Errors
    /// [`Error::MissingKey`].
    pub fn check_evidence(&self, evidence: bool) -> Result<()> {
        if !evidence || self.evidence.is_some() {
            return Ok(());
        }
        Err(Error::MissingKey {
            place: "the model".into(),
            key: "evidence".into(),
            hint: "it was fitted with --evidence and needs these moments; fit it again".into(),
        })
    }

    /// Reads prompts of at most `n_tokens`.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] if that of a training condition is longer.
    pub fn within(self, n_tokens: usize, conditions: &[Condition]) -> Result<Self> {
        let reader = Self { n_prompt_tokens: n_tokens, ..self };
        for condition in conditions.iter().collect::<BTreeSet<_>>() {
            let tokens = reader.tokenizer.encode_framed(&reader.template.fill(condition))?;
            reader.check_length(condition, &Told { tokens, ..reader.nothing() })?;
        }
        Ok(reader)
    }

    /// Fails if the prompt of a condition is too long to be read as a prefix.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`].
    pub fn check_length(&self, condition: &Condition, told: &Told) -> Result<()> {
        if told.tokens.len() <= self.n_prompt_tokens {
            return Ok(());
        }
        let reason = format!("it has {} tokens, the model reads at most {}", told.tokens.len(), self.n_prompt_tokens);
        refuse("prompt", self.template.fill(condition), &reason)
    }
}

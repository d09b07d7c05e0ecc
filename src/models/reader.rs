//! From a condition to what a network is told of it; the same for every method.

use std::collections::BTreeSet;
use std::sync::Arc;

use ndarray::{Array1, Array2, ArrayView2};
use rand_chacha::ChaCha8Rng;

use super::coordinates::Coordinates;
use super::described::{TextNetwork, Wording};
use super::dose_scale::DoseScale;
use super::evidence::Evidence;
use super::guide::{Centre, Guide, View};
use super::source::{ControlCells, Source};
use crate::conditions::Condition;
use crate::conditions::descriptions::Descriptions;
use crate::conditions::prompt::Phrasing;
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
    /// Whether the order of words is read, so that components must be met in any order.
    pub reads_order: bool,
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
    /// How conditions are put into words.
    pub phrasing: Phrasing,
    /// The network that makes vectors of descriptions, where their words do not.
    pub network: Option<Arc<TextNetwork>>,
    /// Tokens of the longest prompt that can be read as a prefix.
    pub n_prompt_tokens: usize,
    /// The control cells that flows start from, unless they start from noise.
    pub controls: Option<ControlCells>,
    /// Moments that are told beside the prompt, where they are.
    pub evidence: Option<Evidence>,
    /// How doses are told in numbers, where a screen has them.
    pub doses: DoseScale,
}

impl Reader {
    /// A new combination may have more components than any training condition.
    const ROOM_FOR_LONGER_PROMPTS: usize = 32;

    /// Fits the guide to training cells, and keeps control cells if flows start from them. The tokenizer is a pretrained
    /// model's own, or [`Phrasing::fit_tokenizer`]'s.
    ///
    /// **Shapes** `embedding`: (n_cells, n_dims); one condition per cell.
    ///
    /// # Errors
    /// Those of [`Guide::fit`] and of the tokenizer.
    pub fn fit(
        embedding: ArrayView2<f32>,
        conditions: &[Condition],
        wording: Wording,
        tokenizer: Tokenizer,
        params: ReaderParams,
        seed: u64,
    ) -> Result<Self> {
        let Wording { phrasing, network } = wording;
        let (described, reads) = (phrasing.descriptions(), network.as_deref());
        let guide = Guide::fit(embedding, conditions, params.centre, params.coordinates, described, reads, seed)?;
        let guide = if params.inputs { guide } else { guide.without_inputs() };
        let distinct: BTreeSet<&Condition> = conditions.iter().collect();
        let doses = DoseScale::fit(distinct.iter().copied());
        let mut longest = 0;
        for prompt in distinct.into_iter().flat_map(|condition| phrasing.prompts(condition, params.reads_order)) {
            longest = longest.max(tokenizer.encode_framed(&prompt)?.len());
        }
        // A new description has words that training did not have, which take several tokens each.
        let room = if described.is_empty() { 0 } else { longest };
        let n_prompt_tokens = longest + room.max(Self::ROOM_FOR_LONGER_PROMPTS);
        let controls = match params.source {
            Source::Noise => None,
            Source::Control => Some(ControlCells::fit(embedding, conditions, seed)),
        };
        let evidence = params.evidence.then(|| Evidence::fit(embedding, conditions));
        Ok(Self { guide, tokenizer, phrasing, network, n_prompt_tokens, controls, evidence, doses })
    }

    /// Takes descriptions, for prompts and for estimates of components that no training cell had.
    ///
    /// # Errors
    /// Those of [`TextNetwork::check`], [`Phrasing::describe`] and [`Guide::describe`].
    pub fn describe(&mut self, descriptions: &Descriptions) -> Result<()> {
        let network = self.network.as_deref();
        network.map_or(Ok(()), |network| network.check(descriptions))?;
        self.phrasing.describe(descriptions)?;
        self.guide.describe(descriptions, network)
    }

    /// The sizes of a network that reads these conditions.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            n_dims: self.guide.n_dims(),
            n_words: self.tokenizer.n_tokens(),
            n_inputs: self.n_inputs(),
            n_prompt_tokens: self.n_prompt_tokens,
            n_evidence: self.evidence.as_ref().map(|_| Evidence::n_numbers(self.guide.n_dims())),
        }
    }

    /// Numbers of a condition: those of the guide, then doses and times.
    fn n_inputs(&self) -> usize {
        self.guide.n_inputs() + self.doses.n()
    }

    /// What a network is told of a condition that is met in this way.
    ///
    /// # Errors
    /// Those of the tokenizer.
    pub fn told(&self, condition: &Condition, view: &View) -> Result<Told> {
        self.told_as(&self.phrasing.prompt(condition), condition, view)
    }

    /// The same in all words of training ([`Phrasing::prompts`]).
    ///
    /// # Errors
    /// Those of the tokenizer.
    pub fn told_in_training(&self, condition: &Condition, view: &View, reads_order: bool) -> Result<Vec<Told>> {
        let prompts = self.phrasing.prompts(condition, reads_order);
        prompts.iter().map(|prompt| self.told_as(prompt, condition, view)).collect()
    }

    fn told_as(&self, prompt: &str, condition: &Condition, view: &View) -> Result<Told> {
        let tokens = self.tokenizer.encode_framed(prompt)?;
        let evidence = self.evidence.as_ref().map(|evidence| evidence.rows(condition, view, &self.guide));
        let inputs = view.inputs.iter().copied().chain(self.doses.numbers(condition)).collect();
        Ok(Told { tokens, inputs, evidence: evidence.unwrap_or_default() })
    }

    /// What a network is told where the condition is hidden from it.
    pub fn nothing(&self) -> Told {
        Told { tokens: Vec::new(), inputs: Array1::zeros(self.n_inputs()), evidence: Vec::new() }
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
    /// [`Error::InvalidParameter`] if that of a training condition is longer, in any of its wordings.
    pub fn within(self, n_tokens: usize, conditions: &[Condition], reads_order: bool) -> Result<Self> {
        let reader = Self { n_prompt_tokens: n_tokens, ..self };
        for condition in conditions.iter().collect::<BTreeSet<_>>() {
            for prompt in reader.phrasing.prompts(condition, reads_order) {
                let tokens = reader.tokenizer.encode_framed(&prompt)?;
                reader.check_length(condition, &Told { tokens, ..reader.nothing() })?;
            }
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
        refuse("prompt", self.phrasing.prompt(condition), &reason)
    }
}

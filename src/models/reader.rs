//! From a condition to what a network is told of it; the same for every method.

use std::collections::BTreeSet;

use ndarray::{Array1, ArrayView2};

use super::guide::{Centre, Guide, View};
use crate::conditions::Condition;
use crate::conditions::prompt::Template;
use crate::conditions::tokenizer::Tokenizer;
use crate::{Error, Result};

/// What a network is told about one condition.
#[derive(Debug, Clone)]
pub struct Told {
    /// The prompt's tokens.
    pub tokens: Vec<u32>,
    /// The condition in numbers: (n_inputs).
    pub inputs: Array1<f32>,
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
}

impl Reader {
    /// A new combination may have more components than any training condition.
    const ROOM_FOR_LONGER_PROMPTS: usize = 32;

    /// Fits the guide and the tokenizer to training cells.
    ///
    /// **Shapes** `embedding`: (n_cells, n_dims); one condition per cell.
    ///
    /// # Errors
    /// Those of [`Guide::fit`] and [`Tokenizer::fit`].
    pub fn fit(
        embedding: ArrayView2<f32>,
        conditions: &[Condition],
        template: Template,
        centre: Centre,
        seed: u64,
    ) -> Result<Self> {
        let guide = Guide::fit(embedding, conditions, centre, seed)?;
        let distinct: BTreeSet<&Condition> = conditions.iter().collect();
        let prompts: Vec<String> = distinct.into_iter().map(|condition| template.fill(condition)).collect();
        let tokenizer = Tokenizer::fit(&prompts)?;
        let longest = prompts.iter().map(|prompt| Ok(tokenizer.encode(prompt)?.len())).collect::<Result<Vec<_>>>()?;
        let n_prompt_tokens = longest.into_iter().max().unwrap_or(0) + Self::ROOM_FOR_LONGER_PROMPTS;
        Ok(Self { guide, tokenizer, template, n_prompt_tokens })
    }

    /// The sizes of a network that reads these conditions.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            n_dims: self.guide.n_dims(),
            n_words: self.tokenizer.n_tokens(),
            n_inputs: self.guide.n_inputs(),
            n_prompt_tokens: self.n_prompt_tokens,
        }
    }

    /// What a network is told of a condition that is met in this way.
    ///
    /// # Errors
    /// Those of the tokenizer.
    pub fn told(&self, condition: &Condition, view: &View) -> Result<Told> {
        let tokens = self.tokenizer.encode(&self.template.fill(condition))?;
        Ok(Told { tokens, inputs: view.inputs.clone() })
    }

    /// Fails if the prompt of a condition is too long to be read as a prefix.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`].
    pub fn check_length(&self, condition: &Condition, told: &Told) -> Result<()> {
        if told.tokens.len() <= self.n_prompt_tokens {
            return Ok(());
        }
        Err(Error::InvalidParameter {
            name: "prompt".into(),
            value: self.template.fill(condition),
            reason: format!("it has {} tokens, the model reads at most {}", told.tokens.len(), self.n_prompt_tokens),
        })
    }
}

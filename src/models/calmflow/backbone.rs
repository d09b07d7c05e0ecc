//! The causal language model of a CaLMFlow: the own transformer, or one from outside.

use candle_core::Tensor;

use super::params::CalmFlowParams;
use crate::Result;
use crate::language::causal::{Causal, NAME};
use crate::language::kernels::attention::Arrangement;
use crate::language::kv_cache::Cache;
use crate::language::parameters::Parameters;
use crate::language::precision::Precision;
use crate::language::transformer::{Shift, Transformer, TransformerParams};

pub(super) enum Backbone {
    Own(Transformer),
    Language(Box<Causal>),
}

impl Backbone {
    pub(super) fn new(parameters: &mut Parameters, params: &CalmFlowParams) -> Result<Self> {
        Ok(match params.language {
            None => Self::Own(Transformer::new(parameters, "transformer", params.transformer)?),
            Some(language) => {
                parameters.hold(language.precision);
                let model = Causal::new(parameters, NAME, language.network, language.tuning, false);
                parameters.hold(Precision::F32);
                Self::Language(Box::new(model?.recomputing(language.recomputes)))
            }
        })
    }

    /// Blocks, heads, and the width of their keys.
    pub(super) fn size(&self) -> TransformerParams {
        match self {
            Self::Own(own) => own.params,
            Self::Language(model) => model.size(),
        }
    }

    /// The embedded tokens of prompts, where the model has embeddings of its own: (n_rows, width).
    pub(super) fn embed(&self, tokens: &Tensor) -> Result<Option<Tensor>> {
        match self {
            Self::Own(_) => Ok(None),
            Self::Language(model) => model.embed(&tokens.to_vec1::<u32>()?).map(Some),
        }
    }

    /// True if prompts are read with its own embeddings.
    pub(super) fn has_words(&self) -> bool {
        matches!(self, Self::Language(_))
    }

    pub(super) fn forward(
        &self,
        x: &Tensor,
        prefixes: Option<&[Tensor]>,
        arrangement: &Arrangement,
        shift: Option<&Shift>,
    ) -> Result<Tensor> {
        match self {
            Self::Own(own) => own.forward(x, prefixes, arrangement, shift),
            Self::Language(model) => model.forward(x, prefixes, arrangement, shift),
        }
    }

    /// The keys and values of prompts, and, where they are wanted, the hidden states of their tokens as a language model from
    /// outside has them: (n_prompts · n_tokens, width).
    pub(super) fn read_prompts(
        &self,
        x: &Tensor,
        n_tokens: usize,
        wants_hidden: bool,
    ) -> Result<(Vec<Tensor>, Option<Tensor>)> {
        Ok(match self {
            Self::Own(own) => (own.encode_prefixes(x, n_tokens)?, None),
            Self::Language(model) if wants_hidden => {
                let (prefixes, hidden) = model.read_prompts(x, n_tokens)?;
                (prefixes, Some(hidden))
            }
            Self::Language(model) => (model.encode_prefixes(x, n_tokens)?, None),
        })
    }

    /// The size of the tokens that a language model from outside reads; none for the own transformer, which learns it.
    pub(super) fn token_size(&self) -> Result<Option<f32>> {
        match self {
            Self::Own(_) => Ok(None),
            Self::Language(model) => model.embedding_size().map(Some),
        }
    }

    pub(super) fn extend(&self, x: &Tensor, cache: &mut Cache, shift: Option<&Shift>) -> Result<Tensor> {
        match self {
            Self::Own(own) => own.extend(x, cache, shift),
            Self::Language(model) => model.extend(x, cache, shift),
        }
    }
}

//! The part of a network that turns a condition into one vector; the same for every method.

use candle_core::{Tensor, Var};

use super::prompts::Prompts;
use crate::Result;
use crate::language::parameters::{Parameters, Start};
use crate::language::transformer::Linear;
use crate::training::optimizer::Slot;

/// Multiplies the weight decay of words' embeddings. By its words a network knows every training combination; what it
/// should learn is how combinations follow from what is told in numbers, which carries over to those it has not met.
const WORD_DECAY: f64 = 10.0;
/// The gates of a skip learn this much faster, and do not decay: their start is a closed form, not zero.
const GATE_RATE: f64 = 10.0;

/// The tensors of a network before its first step: words decay faster than others, and the tensor named `gates` learns faster.
pub(super) fn slots(parameters: &Parameters, gates: &str) -> Vec<Slot> {
    let slot = |(name, variable): &(String, Var)| match name.as_str() {
        name if name == gates => Slot::new(name, variable, GATE_RATE, 0.0),
        "summed_words" | "words" => Slot::new(name, variable, 1.0, WORD_DECAY),
        _ => Slot::new(name, variable, 1.0, 1.0),
    };
    parameters.variables.iter().map(slot).collect()
}

/// The sum of the embeddings of the prompt's words, free of their order, plus an affine map of the condition's numbers.
#[derive(Debug, Clone)]
pub struct ConditionReader {
    /// (n_words, width), where words are summed.
    words: Option<Tensor>,
    /// Where a condition has numbers.
    inputs: Option<Linear>,
}

impl ConditionReader {
    /// Puts the parts together; [`Self::words`] and [`Self::inputs`] make them.
    pub fn new(words: Option<Tensor>, inputs: Option<Linear>) -> Self {
        Self { words, inputs }
    }

    /// The embeddings of words that are summed: (n_words, width).
    ///
    /// # Errors
    /// Those of [`Parameters::tensor`].
    pub fn words(parameters: &mut Parameters, n_words: usize, width: usize) -> Result<Tensor> {
        parameters.tensor("summed_words", &[n_words, width], Start::Normal(0.3))
    }

    /// The map of a condition's numbers, or nothing if it has none.
    ///
    /// # Errors
    /// Those of [`Parameters::tensor`].
    pub fn inputs(parameters: &mut Parameters, n_inputs: usize, width: usize) -> Result<Option<Linear>> {
        (n_inputs > 0).then(|| Linear::new(parameters, "inputs", n_inputs, width, 0.02)).transpose()
    }

    /// True if there is anything to read.
    pub fn reads(&self) -> bool {
        self.words.is_some() || self.inputs.is_some()
    }

    /// One vector for each condition: (n_prompts, width), or nothing if nothing is read.
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if the shapes do not fit.
    pub fn read(&self, prompts: &Prompts) -> Result<Option<Tensor>> {
        let sum = |words: &Tensor| prompts.counts.to_device(words.device())?.matmul(words);
        let summed = self.words.as_ref().map(sum).transpose()?;
        let told = match (&self.inputs, &prompts.inputs) {
            (Some(map), Some(inputs)) => Some(map.forward(&inputs.to_device(map.weight.device())?)?),
            _ => None,
        };
        Ok(match (summed, told) {
            (Some(summed), Some(told)) => Some((summed + told)?),
            (summed, told) => summed.or(told),
        })
    }
}

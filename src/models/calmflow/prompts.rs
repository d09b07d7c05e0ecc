//! The conditions of a minibatch, as the network reads them.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use ndarray::Array1;

use crate::Result;

/// What the network is told about one condition.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// The prompt's tokens.
    pub(super) tokens: Vec<u32>,
    /// The condition in numbers: (n_inputs).
    pub(super) inputs: Array1<f32>,
}

/// Several conditions, and which sequence belongs to which.
pub(super) struct Prompts {
    /// Tokens, padded at the end with the first: (n_prompts · n_tokens).
    pub(super) tokens: Tensor,
    pub(super) n_prompts: usize,
    pub(super) n_tokens: usize,
    pub(super) lengths: Arc<Vec<usize>>,
    /// How often each token of the vocabulary occurs: (n_prompts, n_words).
    pub(super) counts: Tensor,
    /// (n_prompts, n_inputs), or nothing if there are none.
    pub(super) inputs: Option<Tensor>,
    pub(super) of_sequence: Arc<Vec<u32>>,
}

impl Prompts {
    pub(super) fn new(told: &[&Told], n_words: usize, of_sequence: Vec<u32>) -> Result<Self> {
        let lengths: Vec<usize> = told.iter().map(|told| told.tokens.len()).collect();
        let n_tokens = lengths.iter().copied().max().unwrap_or(0);
        let mut tokens = Vec::with_capacity(told.len() * n_tokens);
        let mut counts = vec![0.0_f32; told.len() * n_words];
        for (prompt, told) in told.iter().enumerate() {
            tokens.extend_from_slice(&told.tokens);
            tokens.extend(std::iter::repeat_n(0, n_tokens - told.tokens.len()));
            told.tokens.iter().for_each(|&token| counts[prompt * n_words + token as usize] += 1.0);
        }
        let n_inputs = told.first().map_or(0, |told| told.inputs.len());
        let inputs: Vec<f32> = told.iter().flat_map(|told| told.inputs.iter().copied()).collect();
        Ok(Self {
            tokens: Tensor::from_vec(tokens, told.len() * n_tokens, &Device::Cpu)?,
            n_prompts: told.len(),
            n_tokens,
            lengths: Arc::new(lengths),
            counts: Tensor::from_vec(counts, (told.len(), n_words), &Device::Cpu)?,
            inputs: match n_inputs {
                0 => None,
                n => Some(Tensor::from_vec(inputs, (told.len(), n), &Device::Cpu)?),
            },
            of_sequence: Arc::new(of_sequence),
        })
    }
}

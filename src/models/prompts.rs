//! The conditions of a minibatch, as a network reads them.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use ndarray::Array1;

use super::reader::Told;
use crate::Result;

/// Several conditions, and which sequence belongs to which.
pub struct Prompts {
    /// Tokens, padded at the end with the first: (n_prompts · n_tokens).
    pub tokens: Tensor,
    /// Number of conditions.
    pub n_prompts: usize,
    /// Tokens of the longest prompt.
    pub n_tokens: usize,
    /// Tokens of each prompt: (n_prompts).
    pub lengths: Arc<Vec<usize>>,
    /// How often each token of the vocabulary occurs: (n_prompts, n_words).
    pub counts: Tensor,
    /// (n_prompts, n_inputs), or nothing if there are none.
    pub inputs: Option<Tensor>,
    /// Rows of evidence of all conditions, one after the other: (n_rows, n_numbers), or nothing if there are none.
    pub evidence: Option<Tensor>,
    /// Rows of evidence of each condition: (n_prompts).
    pub n_evidence: Vec<usize>,
    /// The condition of each sequence: (n_sequences).
    pub of_sequence: Arc<Vec<u32>>,
}

impl Prompts {
    /// Packs conditions; `of_sequence` holds the number of the condition of each sequence.
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if a tensor cannot be made.
    pub fn new(told: &[&Told], n_words: usize, of_sequence: Vec<u32>) -> Result<Self> {
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
        let evidence: Vec<&Array1<f32>> = told.iter().flat_map(|told| &told.evidence).collect();
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
            evidence: match evidence.first() {
                None => None,
                Some(first) => {
                    let shape = (evidence.len(), first.len());
                    let values = evidence.iter().flat_map(|row| row.iter().copied()).collect::<Vec<f32>>();
                    Some(Tensor::from_vec(values, shape, &Device::Cpu)?)
                }
            },
            n_evidence: told.iter().map(|told| told.evidence.len()).collect(),
            of_sequence: Arc::new(of_sequence),
        })
    }
}

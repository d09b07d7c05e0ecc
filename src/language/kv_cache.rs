//! Generation token by token: keys and values of the past are kept.

use std::collections::BTreeSet;
use std::sync::Arc;

use candle_core::Tensor;

use super::kernels::past::{Group, LANES, SharedPrefix, attend_past, one_by_one, side_by_side};
use super::kernels::{on_cpu, values, with_values};
use super::mask::Mask;
use super::transformer::{Shift, Transformer, TransformerParams};
use crate::Result;

/// Encoded prompts as plain numbers: one array (n_prompts, n_tokens, 2 · width) per block.
#[derive(Debug, Clone, Default)]
pub struct Prefixes {
    blocks: Vec<Vec<f32>>,
    n_tokens: usize,
    lengths: Vec<usize>,
}

impl Prefixes {
    /// Copies what [`Transformer::encode_prefixes`] made; `lengths` are the numbers of tokens that count.
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if the numbers cannot be copied.
    pub fn new(prefixes: &[Tensor], lengths: &[usize]) -> Result<Self> {
        let n_tokens = prefixes.first().map_or(Ok(0), |prefix| prefix.dim(1))?;
        let blocks = prefixes.iter().map(values).collect::<candle_core::Result<Vec<_>>>()?;
        Ok(Self { blocks, n_tokens, lengths: lengths.to_vec() })
    }
}

/// The past of a set of sequences that grow together.
pub struct Cache {
    mask: Arc<Mask>,
    n_sequences: usize,
    n_past: usize,
    /// Keys and values of each block by groups of sequences side by side: (n_groups, n_tokens, 2 · width, [`LANES`]),
    /// filled up to `n_past`.
    blocks: Vec<Vec<f32>>,
    prefixes: Prefixes,
    prefix_of_sequence: Vec<u32>,
}

impl Cache {
    /// An empty past, for a network of this size, of sequences of at most as many tokens as the mask has.
    pub fn new(
        size: TransformerParams,
        mask: Arc<Mask>,
        n_sequences: usize,
        prefixes: Prefixes,
        prefix_of_sequence: Vec<u32>,
    ) -> Self {
        let n = n_sequences.next_multiple_of(LANES) * mask.n_tokens * 2 * size.width;
        let blocks = vec![vec![0.0; n]; size.n_layers];
        Self { mask, n_sequences, n_past: 0, blocks, prefixes, prefix_of_sequence }
    }

    /// The position of the next token of each sequence, behind its prefix and its past.
    pub(super) fn starts(&self) -> Vec<usize> {
        if self.prefixes.lengths.is_empty() {
            return vec![self.n_past; self.n_sequences];
        }
        self.prefix_of_sequence.iter().map(|prefix| self.prefixes.lengths[*prefix as usize] + self.n_past).collect()
    }

    /// Counts new tokens to the past, once every block has met them.
    pub(super) fn grow(&mut self, n_new: usize) {
        self.n_past += n_new;
    }

    /// The prefixes of a group of sequences in one block.
    fn prefixes(&self, block: usize, group: usize, width: usize) -> Vec<SharedPrefix<'_>> {
        let Some(rows) = self.prefixes.blocks.get(block) else { return Vec::new() };
        let of_sequence = &self.prefix_of_sequence[group * LANES..self.n_sequences.min((group + 1) * LANES)];
        let distinct: BTreeSet<u32> = of_sequence.iter().copied().collect();
        let prefix = |number: u32| {
            let start = number as usize * self.prefixes.n_tokens * 2 * width;
            let mut has = [0.0; LANES];
            has.iter_mut().zip(of_sequence).for_each(|(has, of)| *has = f32::from(u8::from(*of == number)));
            let length = self.prefixes.lengths[number as usize] * 2 * width;
            SharedPrefix { rows: &rows[start..start + length], has }
        };
        distinct.into_iter().map(prefix).collect()
    }

    /// Adds the new tokens of one block to the past, and lets them look at it.
    pub(super) fn attend(&mut self, block: usize, qkv: &[f32], params: TransformerParams) -> Vec<f32> {
        let width = params.width;
        let n_new = qkv.len() / (3 * width * self.n_sequences);
        let n_all = self.n_past + n_new;
        let visible = self.mask.rows(self.n_past..n_all, n_all);
        let mut attended = vec![0.0; qkv.len() / 3];
        let mut past = std::mem::take(&mut self.blocks[block]);
        let (mut new, mut output) = (vec![0.0; n_new * 3 * width * LANES], vec![0.0; n_new * width * LANES]);
        let mut scores = Vec::new();
        let rows = n_new * width * LANES;
        let groups = past.chunks_exact_mut(self.mask.n_tokens * 2 * width * LANES);
        for (group, ((past, qkv), attended)) in
            groups.zip(qkv.chunks(3 * rows)).zip(attended.chunks_mut(rows)).enumerate()
        {
            for (token, new) in new.chunks_exact_mut(3 * width * LANES).enumerate() {
                side_by_side(new, &qkv[token * 3 * width..], n_new * 3 * width, 3 * width);
                let at = (self.n_past + token) * 2 * width * LANES;
                past[at..at + 2 * width * LANES].copy_from_slice(&new[width * LANES..]);
            }
            let prefixes = self.prefixes(block, group, width);
            let looks_at = Group {
                new: &new,
                past: &past[..n_all * 2 * width * LANES],
                prefixes: &prefixes,
                visible: &visible,
                width,
                n_heads: params.n_heads,
            };
            attend_past(&mut output, &looks_at, &mut scores);
            for (token, output) in output.chunks_exact(width * LANES).enumerate() {
                one_by_one(&mut attended[token * width..], output, n_new * width, width);
            }
        }
        self.blocks[block] = past;
        attended
    }
}

impl Transformer {
    /// Runs the next tokens of every sequence on top of the past.
    ///
    /// **Shapes** `x`: (n_sequences · n_new, width) → the same.
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if the shapes do not fit.
    pub fn extend(&self, x: &Tensor, cache: &mut Cache, shift: Option<&Shift>) -> Result<Tensor> {
        let (n_rows, width) = x.dims2()?;
        let mut x = x.clone();
        for (number, block) in self.blocks.iter().enumerate() {
            let qkv = block.qkv.forward(&block.before_attention.forward(&x)?)?;
            let attended = with_values([&on_cpu(&qkv)?], |[qkv]| Ok(cache.attend(number, qkv, self.params)))?;
            x = block.finish(&x, &Tensor::from_vec(attended, (n_rows, width), x.device())?, shift)?;
        }
        cache.grow(n_rows / cache.n_sequences);
        self.last.forward(&x)
    }
}

//! Generation token by token: keys and values of the past are kept.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::kernels::attention::{Sequence, attend};
use super::kernels::{values, with_values};
use super::mask::Mask;
use super::transformer::{Shift, Transformer};
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
    /// Keys and values of each block: (n_sequences, n_tokens, 2 · width), filled up to `n_past`.
    blocks: Vec<Vec<f32>>,
    prefixes: Prefixes,
    prefix_of_sequence: Vec<u32>,
}

impl Cache {
    /// An empty past for sequences of at most as many tokens as the mask has.
    pub fn new(
        transformer: &Transformer,
        mask: Arc<Mask>,
        n_sequences: usize,
        prefixes: Prefixes,
        prefix_of_sequence: Vec<u32>,
    ) -> Self {
        let n = n_sequences * mask.n_tokens * 2 * transformer.params.width;
        let blocks = vec![vec![0.0; n]; transformer.params.n_layers];
        Self { mask, n_sequences, n_past: 0, blocks, prefixes, prefix_of_sequence }
    }

    fn prefix(&self, block: usize, sequence: usize, width: usize) -> &[f32] {
        let Some(prefixes) = self.prefixes.blocks.get(block) else { return &[] };
        let number = self.prefix_of_sequence[sequence] as usize;
        let start = number * self.prefixes.n_tokens * 2 * width;
        &prefixes[start..start + self.prefixes.lengths[number] * 2 * width]
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
        let width = self.params.width;
        let n_new = x.dim(0)? / cache.n_sequences;
        let (n_past, n_all) = (cache.n_past, cache.n_past + n_new);
        let visible = cache.mask.rows(n_past..n_all, n_all);
        let mut x = x.clone();
        for (number, block) in self.blocks.iter().enumerate() {
            let qkv = block.qkv.forward(&block.before_attention.forward(&x)?)?;
            let mut attended = vec![0.0; cache.n_sequences * n_new * width];
            let room = cache.mask.n_tokens * 2 * width;
            let mut past = std::mem::take(&mut cache.blocks[number]);
            with_values([&qkv.to_device(&Device::Cpu)?], |[qkv]| {
                let sequences = past.par_chunks_mut(room).zip(qkv.par_chunks(n_new * 3 * width));
                sequences.zip(attended.par_chunks_mut(n_new * width)).enumerate().for_each_init(
                    Vec::new,
                    |shares, (sequence, ((past, qkv), attended))| {
                        for (token, new) in qkv.chunks_exact(3 * width).enumerate() {
                            let at = (n_past + token) * 2 * width;
                            past[at..at + 2 * width].copy_from_slice(&new[width..]);
                        }
                        let sequence = Sequence {
                            queries: qkv,
                            query_stride: 3 * width,
                            keys: past,
                            values: &past[width..],
                            key_stride: 2 * width,
                            prefix: cache.prefix(number, sequence, width),
                            visible: &visible,
                            n_keys: n_all,
                            width,
                            n_heads: self.params.n_heads,
                        };
                        attend(attended, sequence, shares);
                    },
                );
                Ok(())
            })?;
            cache.blocks[number] = past;
            let attended = Tensor::from_vec(attended, (cache.n_sequences * n_new, width), x.device())?;
            x = block.finish(&x, &attended, shift)?;
        }
        cache.n_past = n_all;
        self.last.forward(&x)
    }
}

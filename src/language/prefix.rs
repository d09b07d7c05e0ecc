//! Prompts, encoded once each and shared by all sequences behind them.

use std::sync::Arc;

use candle_core::Tensor;

use super::kernels::attention::{Arrangement, attention};
use super::mask::Mask;
use super::transformer::Transformer;
use crate::Result;

impl Transformer {
    /// The keys and values of embedded prompts in every block: one (n_prompts, n_tokens, 2 · width) per block.
    ///
    /// Shorter prompts are padded at the end; nothing that counts looks there.
    ///
    /// **Shapes** `x`: (n_prompts · n_tokens, width).
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if the shapes do not fit.
    pub fn encode_prefixes(&self, x: &Tensor, n_tokens: usize) -> Result<Vec<Tensor>> {
        let width = self.params.width;
        let arrangement = Arrangement {
            n_heads: self.params.n_heads,
            mask: Arc::new(Mask::causal(n_tokens)),
            prefix_of_sequence: Arc::default(),
            prefix_lengths: Arc::default(),
        };
        let n_prompts = x.dim(0)? / n_tokens;
        let mut x = x.clone();
        let mut prefixes = Vec::with_capacity(self.blocks.len());
        for (number, block) in self.blocks.iter().enumerate() {
            let qkv = block.qkv.forward(&block.before_attention.forward(&x)?)?;
            prefixes.push(qkv.narrow(1, width, 2 * width)?.reshape((n_prompts, n_tokens, 2 * width))?);
            // Only the keys and values of the last block are looked at, so its own output is not needed.
            if number + 1 < self.blocks.len() {
                x = block.finish(&x, &attention(&qkv, None, &arrangement)?, None)?;
            }
        }
        Ok(prefixes)
    }
}

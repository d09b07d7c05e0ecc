//! Sequences of several lengths side by side, padded on the left as tokenizers do it for generation.

use candle_core::Tensor;

use super::network::Causal;
use crate::Result;

impl Causal {
    /// Runs sequences whose last `lengths` tokens count; the rows of padding come out as zeros. Positions begin with the first
    /// token that counts.
    ///
    /// **Shapes** `x`: (n_sequences · n_tokens, width) → the same.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn forward_padded(&self, x: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let n_tokens = x.dim(0)? / lengths.len();
        let arrangement = self.causal(n_tokens);
        if lengths.iter().all(|length| *length == n_tokens) {
            return self.forward(x, None, &arrangement, None);
        }
        // No token sees what comes after it, so that padding at the end needs no mask.
        let moved = |towards_start: bool| -> Vec<u32> {
            let of_sequence = |(sequence, length): (usize, &usize)| {
                let by = if towards_start { n_tokens - length } else { *length };
                (0..n_tokens).map(move |token| (sequence * n_tokens + (token + by) % n_tokens) as u32)
            };
            lengths.iter().enumerate().flat_map(of_sequence).collect()
        };
        let rows = |x: &Tensor, order: Vec<u32>| x.index_select(&Tensor::new(order.as_slice(), x.device())?, 0);
        let hidden = self.forward(&rows(x, moved(true))?, None, &arrangement, None)?;
        let counts: Vec<f32> = lengths
            .iter()
            .flat_map(|length| (0..n_tokens).map(move |token| f32::from(u8::from(token + length >= n_tokens))))
            .collect();
        let counts = Tensor::from_vec(counts, (x.dim(0)?, 1), x.device())?;
        Ok(rows(&hidden, moved(false))?.broadcast_mul(&counts)?)
    }
}

//! A prompt as one vector, as a language model from outside reads it: the sum of its tokens' hidden states.
//!
//! It goes where the sum of words of the own transformer goes. States are no text, so attention that was trained on text looks
//! for little of what they need, and learns to only slowly; a sum is there from the first step. And each token has read those
//! before it, so that `strongly inhibits` is more than its words.

use candle_core::Tensor;

use crate::Result;

/// Multiplies the sum: some tens or hundreds of tokens, each of about unit size and partly the same, come out at some units.
const SCALE: f32 = 0.1;

/// Sums the rows that count; `spans` are the first and the number of them for each prompt.
///
/// **Shapes** `hidden`: (n_prompts · n_tokens, width) → (n_prompts, width).
///
/// # Errors
/// [`crate::Error::Backend`] if the shapes do not fit.
pub(super) fn sum_tokens(hidden: &Tensor, spans: &[(usize, usize)]) -> Result<Tensor> {
    let (n_rows, n_prompts) = (hidden.dim(0)?, spans.len());
    let n_tokens = n_rows / n_prompts;
    let mut weights = vec![0.0_f32; n_prompts * n_rows];
    for (prompt, (first, n)) in spans.iter().enumerate() {
        let start = prompt * n_rows + prompt * n_tokens + first;
        weights[start..start + n].fill(SCALE);
    }
    Ok(Tensor::from_vec(weights, (n_prompts, n_rows), hidden.device())?.matmul(hidden)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn only_what_counts_is_summed() {
        let hidden = Tensor::arange(0.0_f32, 12.0, &Device::Cpu).unwrap().reshape((6, 2)).unwrap();
        let sums = sum_tokens(&hidden, &[(1, 2), (0, 1)]).unwrap().to_vec2::<f32>().unwrap();
        let expected = [[2.0 + 4.0, 3.0 + 5.0], [6.0, 7.0]];
        for (got, expected) in sums.iter().flatten().zip(expected.iter().flatten()) {
            assert!((got - SCALE * expected).abs() < 1e-6, "{got} {expected}");
        }
    }
}

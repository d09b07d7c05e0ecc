//! Attention over short sequences, each with an optional prefix that several sequences share.

use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

use super::heads::{Scratch, attend, attend_backward};
use super::{contiguous, device, for_each_block, is_fused, lock, with_values};
use crate::language::mask::Mask;

/// Sequences per partial sum of the gradient of shared prefixes.
const SEQUENCES: usize = 32;

/// How the rows of a matrix form sequences, and what each token may look at.
#[derive(Debug, Clone)]
pub struct Arrangement {
    /// Number of heads.
    pub n_heads: usize,
    /// What the tokens of one sequence see of each other.
    pub mask: Arc<Mask>,
    /// The prefix of each sequence; empty without prefixes.
    pub prefix_of_sequence: Arc<Vec<u32>>,
    /// The number of tokens of each prefix that count.
    pub prefix_lengths: Arc<Vec<usize>>,
}

/// softmax(q kᵀ/√d) v per head (Vaswani et al. 2017, arXiv 1706.03762, eq. 1), over the visible tokens of the sequence and
/// all tokens of its prefix.
///
/// **Shapes** `qkv`: (n_sequences · n_tokens, 3 · width), queries, keys and values side by side; `prefix`: (n_prefixes,
/// n_prefix_tokens, 2 · width), keys and values → (n_sequences · n_tokens, width).
pub fn attention(qkv: &Tensor, prefix: Option<&Tensor>, arrangement: &Arrangement) -> Result<Tensor> {
    if !is_fused(qkv) {
        return device::attention(qkv, prefix, arrangement);
    }
    let operation = Attention { arrangement: arrangement.clone() };
    match prefix {
        Some(prefix) => qkv.contiguous()?.apply_op2(&prefix.contiguous()?, operation),
        None => qkv.contiguous()?.apply_op1(operation),
    }
}

struct Attention {
    arrangement: Arrangement,
}

impl Attention {
    /// The part of the prefixes that belongs to one sequence, and where it starts.
    fn prefix<'a>(&self, prefixes: &'a [f32], n_prefix: usize, width: usize, sequence: usize) -> (usize, &'a [f32]) {
        if prefixes.is_empty() {
            return (0, &[]);
        }
        let number = self.arrangement.prefix_of_sequence[sequence] as usize;
        let start = number * n_prefix * 2 * width;
        (start, &prefixes[start..start + self.arrangement.prefix_lengths[number] * 2 * width])
    }

    fn forward(&self, qkv: &[f32], prefixes: &[f32], n_prefix: usize, width: usize) -> Vec<f32> {
        let mask = &self.arrangement.mask;
        let row = mask.n_tokens * width;
        let mut output = vec![0.0; qkv.len() / 3];
        for_each_block(&mut output, SEQUENCES * row, |block, output| {
            let mut scratch = Scratch::default();
            for (place, output) in output.chunks_exact_mut(row).enumerate() {
                let sequence = block * SEQUENCES + place;
                let (_, prefix) = self.prefix(prefixes, n_prefix, width, sequence);
                let qkv = &qkv[3 * sequence * row..3 * (sequence + 1) * row];
                attend(output, qkv, prefix, mask, self.arrangement.n_heads, &mut scratch);
            }
        });
        output
    }

    /// The gradients of `qkv` and of the prefixes.
    fn backward(
        &self,
        qkv: &[f32],
        prefixes: &[f32],
        n_prefix: usize,
        width: usize,
        grad: &[f32],
    ) -> (Vec<f32>, Vec<f32>) {
        let mask = &self.arrangement.mask;
        let row = mask.n_tokens * width;
        let mut qkv_grad = vec![0.0; qkv.len()];
        let n_blocks = grad.len().div_ceil(SEQUENCES * row);
        let partial: Vec<Mutex<Vec<f32>>> = (0..n_blocks).map(|_| Mutex::default()).collect();
        for_each_block(&mut qkv_grad, SEQUENCES * 3 * row, |block, qkv_grad| {
            let mut scratch = Scratch::default();
            let mut prefix_grad = vec![0.0; prefixes.len()];
            for (place, qkv_grad) in qkv_grad.chunks_exact_mut(3 * row).enumerate() {
                let sequence = block * SEQUENCES + place;
                let (start, prefix) = self.prefix(prefixes, n_prefix, width, sequence);
                let prefix_grad = &mut prefix_grad[start..start + prefix.len()];
                let (grad, qkv) = (&grad[sequence * row..][..row], &qkv[3 * sequence * row..][..3 * row]);
                let n_heads = self.arrangement.n_heads;
                attend_backward(qkv_grad, prefix_grad, grad, qkv, prefix, mask, n_heads, &mut scratch);
            }
            *lock(&partial[block]) = prefix_grad;
        });
        let mut prefix_grad = vec![0.0; prefixes.len()];
        for part in &partial {
            prefix_grad.iter_mut().zip(lock(part).iter()).for_each(|(total, value)| *total += value);
        }
        (qkv_grad, prefix_grad)
    }
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n_rows, packed) = layout.shape().dims2()?;
        let output = self.forward(contiguous(storage, layout)?, &[], 0, packed / 3);
        Ok((CpuStorage::F32(output), (n_rows, packed / 3).into()))
    }

    fn bwd(&self, qkv: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let width = qkv.dim(1)? / 3;
        let (output, _) =
            with_values([qkv, &grad.contiguous()?], |[qkv, grad]| Ok(self.backward(qkv, &[], 0, width, grad)))?;
        Ok(Some(Tensor::from_vec(output, qkv.shape(), qkv.device())?))
    }
}

impl CustomOp2 for Attention {
    fn name(&self) -> &'static str {
        "attention-with-prefix"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n_rows, packed) = l1.shape().dims2()?;
        let n_prefix = l2.dims()[1];
        let output = self.forward(contiguous(s1, l1)?, contiguous(s2, l2)?, n_prefix, packed / 3);
        Ok((CpuStorage::F32(output), (n_rows, packed / 3).into()))
    }

    fn bwd(
        &self,
        qkv: &Tensor,
        prefix: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (width, n_prefix) = (qkv.dim(1)? / 3, prefix.dim(1)?);
        let (qkv_grad, prefix_grad) = with_values([qkv, prefix, &grad.contiguous()?], |[qkv, prefix, grad]| {
            Ok(self.backward(qkv, prefix, n_prefix, width, grad))
        })?;
        let qkv_grad = Tensor::from_vec(qkv_grad, qkv.shape(), qkv.device())?;
        Ok((Some(qkv_grad), Some(Tensor::from_vec(prefix_grad, prefix.shape(), prefix.device())?)))
    }
}

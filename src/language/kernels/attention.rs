//! Attention over short sequences, each with an optional prefix that several sequences share.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{contiguous, dot, exp, is_fused, vectorized, with_values};
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
        return composed(qkv, prefix, arrangement);
    }
    let operation = Attention { arrangement: arrangement.clone() };
    match prefix {
        Some(prefix) => qkv.contiguous()?.apply_op2(&prefix.contiguous()?, operation),
        None => qkv.contiguous()?.apply_op1(operation),
    }
}

/// The same from the tensor library's own operations.
pub fn composed(qkv: &Tensor, prefix: Option<&Tensor>, arrangement: &Arrangement) -> Result<Tensor> {
    let (n_rows, packed) = qkv.dims2()?;
    let (n_tokens, n_heads, width) = (arrangement.mask.n_tokens, arrangement.n_heads, packed / 3);
    let (n_sequences, head) = (n_rows / n_tokens, width / n_heads);
    let parts = qkv.reshape((n_sequences, n_tokens, 3, n_heads, head))?.permute((2, 0, 3, 1, 4))?;
    let [queries, mut keys, mut values] = [parts.get(0)?, parts.get(1)?, parts.get(2)?];
    let mut n_prefix = 0;
    if let Some(prefix) = prefix {
        let chosen = Tensor::new(arrangement.prefix_of_sequence.as_slice(), qkv.device())?;
        n_prefix = prefix.dim(1)?;
        let chosen = prefix.index_select(&chosen, 0)?.reshape((n_sequences, n_prefix, 2, n_heads, head))?;
        let chosen = chosen.permute((2, 0, 3, 1, 4))?;
        keys = Tensor::cat(&[&chosen.get(0)?, &keys], 2)?;
        values = Tensor::cat(&[&chosen.get(1)?, &values], 2)?;
    }
    let mut hidden = Vec::with_capacity(n_sequences * n_tokens * (n_prefix + n_tokens));
    for sequence in 0..n_sequences {
        let length = match prefix {
            Some(_) => arrangement.prefix_lengths[arrangement.prefix_of_sequence[sequence] as usize],
            None => 0,
        };
        for token in 0..n_tokens {
            hidden.extend((0..n_prefix).map(|place| if place < length { 0.0_f32 } else { f32::NEG_INFINITY }));
            let row = arrangement.mask.rows(token..token + 1, n_tokens);
            hidden.extend(row.into_iter().map(|visible| if visible { 0.0 } else { f32::NEG_INFINITY }));
        }
    }
    let hidden = Tensor::from_vec(hidden, (n_sequences, 1, n_tokens, n_prefix + n_tokens), qkv.device())?;
    let scores = (queries.contiguous()?.matmul(&keys.transpose(2, 3)?.contiguous()?)? / (head as f64).sqrt())?;
    let shares = candle_nn::ops::softmax(&scores.broadcast_add(&hidden)?, 3)?;
    shares.matmul(&values.contiguous()?)?.transpose(1, 2)?.reshape((n_rows, width))
}

/// Queries of one sequence and the keys and values that they look at, as slices of larger arrays.
#[derive(Clone, Copy)]
pub(crate) struct Sequence<'a> {
    pub(crate) queries: &'a [f32],
    pub(crate) query_stride: usize,
    pub(crate) keys: &'a [f32],
    pub(crate) values: &'a [f32],
    pub(crate) key_stride: usize,
    /// Keys and values of the prefix side by side, cut to its length.
    pub(crate) prefix: &'a [f32],
    /// (n_queries × n_keys).
    pub(crate) visible: &'a [bool],
    pub(crate) n_keys: usize,
    pub(crate) width: usize,
    pub(crate) n_heads: usize,
}

impl<'a> Sequence<'a> {
    fn packed(qkv: &'a [f32], prefix: &'a [f32], mask: &'a Mask, width: usize, n_heads: usize) -> Self {
        Self {
            queries: qkv,
            query_stride: 3 * width,
            keys: &qkv[width..],
            values: &qkv[2 * width..],
            key_stride: 3 * width,
            prefix,
            visible: &mask.visible,
            n_keys: mask.n_tokens,
            width,
            n_heads,
        }
    }

    #[inline(always)]
    fn n_prefix(&self) -> usize {
        self.prefix.len() / (2 * self.width)
    }

    #[inline(always)]
    fn head(&self, all: &'a [f32], place: usize, head: usize) -> &'a [f32] {
        let d = self.width / self.n_heads;
        &all[place + head * d..place + (head + 1) * d]
    }

    /// The shares of all keys for one query and head; those of hidden keys are zero.
    #[inline(always)]
    fn shares(&self, query: usize, head: usize, shares: &mut [f32]) {
        let scale = 1.0 / ((self.width / self.n_heads) as f32).sqrt();
        let q = self.head(self.queries, query * self.query_stride, head);
        let n_prefix = self.n_prefix();
        let visible = &self.visible[query * self.n_keys..(query + 1) * self.n_keys];
        for (key, share) in shares[..n_prefix].iter_mut().enumerate() {
            *share = scale * dot(q, self.head(self.prefix, key * 2 * self.width, head));
        }
        for (key, share) in shares[n_prefix..].iter_mut().enumerate() {
            *share = match visible[key] {
                true => scale * dot(q, self.head(self.keys, key * self.key_stride, head)),
                false => f32::NEG_INFINITY,
            };
        }
        let greatest = shares.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for share in shares.iter_mut() {
            *share = if *share == f32::NEG_INFINITY { 0.0 } else { exp(*share - greatest) };
            sum += *share;
        }
        let scale = 1.0 / sum;
        shares.iter_mut().for_each(|share| *share *= scale);
    }

    #[inline(always)]
    fn value(&self, key: usize, head: usize) -> &'a [f32] {
        match key.checked_sub(self.n_prefix()) {
            None => self.head(self.prefix, key * 2 * self.width + self.width, head),
            Some(key) => self.head(self.values, key * self.key_stride, head),
        }
    }

    #[inline(always)]
    fn key(&self, key: usize, head: usize) -> &'a [f32] {
        match key.checked_sub(self.n_prefix()) {
            None => self.head(self.prefix, key * 2 * self.width, head),
            Some(key) => self.head(self.keys, key * self.key_stride, head),
        }
    }
}

#[inline(always)]
fn add_scaled(output: &mut [f32], values: &[f32], scale: f32) {
    for (output, value) in output.iter_mut().zip(values) {
        *output += scale * value;
    }
}

vectorized! {
    pub(crate) fn attend(output: &mut [f32], sequence: Sequence<'_>, shares: &mut Vec<f32>) {
        let d = sequence.width / sequence.n_heads;
        shares.resize(sequence.n_prefix() + sequence.n_keys, 0.0);
        output.fill(0.0);
        for (query, output) in output.chunks_exact_mut(sequence.width).enumerate() {
            for (head, output) in output.chunks_exact_mut(d).enumerate() {
                sequence.shares(query, head, shares);
                for (key, &share) in shares.iter().enumerate() {
                    if share != 0.0 {
                        add_scaled(output, sequence.value(key, head), share);
                    }
                }
            }
        }
    }
}

vectorized! {
    fn attend_backward(
        qkv_grad: &mut [f32],
        prefix_grad: &mut [f32],
        grad: &[f32],
        sequence: Sequence<'_>,
        shares: &mut Vec<f32>,
        slopes: &mut Vec<f32>,
    ) {
        let (width, n_prefix) = (sequence.width, sequence.n_prefix());
        let d = width / sequence.n_heads;
        let scale = 1.0 / (d as f32).sqrt();
        shares.resize(n_prefix + sequence.n_keys, 0.0);
        slopes.resize(n_prefix + sequence.n_keys, 0.0);
        qkv_grad.fill(0.0);
        for (query, grad) in grad.chunks_exact(width).enumerate() {
            for (head, grad) in grad.chunks_exact(d).enumerate() {
                sequence.shares(query, head, shares);
                let mut mean = 0.0;
                for (key, slope) in slopes.iter_mut().enumerate() {
                    *slope = if shares[key] == 0.0 { 0.0 } else { dot(grad, sequence.value(key, head)) };
                    mean += shares[key] * *slope;
                }
                let q = sequence.head(sequence.queries, query * sequence.query_stride, head);
                for key in 0..slopes.len() {
                    let share = shares[key];
                    if share == 0.0 {
                        continue;
                    }
                    let slope = share * (slopes[key] - mean) * scale;
                    let at = query * 3 * width + head * d;
                    add_scaled(&mut qkv_grad[at..at + d], sequence.key(key, head), slope);
                    let (key_grad, at) = match key.checked_sub(n_prefix) {
                        None => (&mut *prefix_grad, key * 2 * width + head * d),
                        Some(key) => (&mut *qkv_grad, key * 3 * width + width + head * d),
                    };
                    add_scaled(&mut key_grad[at..at + d], q, slope);
                    add_scaled(&mut key_grad[at + width..at + width + d], grad, share);
                }
            }
        }
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
        let mut output = vec![0.0; qkv.len() / 3];
        output
            .par_chunks_mut(mask.n_tokens * width)
            .zip(qkv.par_chunks(mask.n_tokens * 3 * width))
            .enumerate()
            .for_each_init(Vec::new, |shares, (sequence, (output, qkv))| {
                let (_, prefix) = self.prefix(prefixes, n_prefix, width, sequence);
                attend(output, Sequence::packed(qkv, prefix, mask, width, self.arrangement.n_heads), shares);
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
        let (row, n_heads) = (mask.n_tokens * 3 * width, self.arrangement.n_heads);
        let mut qkv_grad = vec![0.0; qkv.len()];
        let blocks = qkv_grad.par_chunks_mut(SEQUENCES * row).zip(qkv.par_chunks(SEQUENCES * row));
        let partial: Vec<Vec<f32>> = blocks
            .zip(grad.par_chunks(SEQUENCES * row / 3))
            .enumerate()
            .map(|(block, ((qkv_grad, qkv), grad))| {
                let (mut shares, mut slopes) = (Vec::new(), Vec::new());
                let mut prefix_grad = vec![0.0; prefixes.len()];
                let sequences =
                    qkv_grad.chunks_exact_mut(row).zip(qkv.chunks_exact(row)).zip(grad.chunks_exact(row / 3));
                for (place, ((qkv_grad, qkv), grad)) in sequences.enumerate() {
                    let (start, prefix) = self.prefix(prefixes, n_prefix, width, block * SEQUENCES + place);
                    let prefix_grad = &mut prefix_grad[start..start + prefix.len()];
                    let sequence = Sequence::packed(qkv, prefix, mask, width, n_heads);
                    attend_backward(qkv_grad, prefix_grad, grad, sequence, &mut shares, &mut slopes);
                }
                prefix_grad
            })
            .collect();
        let mut prefix_grad = vec![0.0; prefixes.len()];
        for part in &partial {
            prefix_grad.iter_mut().zip(part).for_each(|(total, value)| *total += value);
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

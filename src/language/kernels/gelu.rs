//! The Gaussian error linear unit, with its slope made on the way.

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::{BLOCK, contiguous, exp, for_each_block, for_each_pair_of_blocks, is_fused, lock, vectorized, with_values};

/// √(2/π), and the cubic coefficient of Hendrycks & Gimpel 2016, arXiv 1606.08415.
const SLOPE: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;
/// Numbers per block.
const SIZE: usize = 16_384;

/// gelu(u) = u/2 (1 + tanh(√(2/π) (u + 0.044715 u³))) = u · sigmoid(2 √(2/π) (u + 0.044715 u³)), number by number.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    if !is_fused(x) {
        return x.gelu();
    }
    x.contiguous()?.apply_op1(Gelu { is_tracked: x.track_op(), slopes: Mutex::default() })
}

vectorized! {
    /// gelu(u + b) in place for rows as long as b.
    fn gelu_in_place(values: &mut [f32], bias: &[f32]) {
        for row in values.chunks_exact_mut(bias.len()) {
            for (value, bias) in row.iter_mut().zip(bias) {
                let u = *value + bias;
                *value = u / (1.0 + exp(-2.0 * SLOPE * (u + CUBIC * u * u * u)));
            }
        }
    }
}

vectorized! {
    /// gelu(u + b) in place for rows as long as b; `slopes` become its derivatives.
    fn gelu_with_slopes(values: &mut [f32], slopes: &mut [f32], bias: &[f32]) {
        let n = bias.len();
        for (row, slopes) in values.chunks_exact_mut(n).zip(slopes.chunks_exact_mut(n)) {
            for ((value, slope), bias) in row.iter_mut().zip(slopes).zip(bias) {
                let u = *value + bias;
                let gate = 1.0 / (1.0 + exp(-2.0 * SLOPE * (u + CUBIC * u * u * u)));
                *value = u * gate;
                *slope = gate + u * gate * (1.0 - gate) * (2.0 * SLOPE * (1.0 + 3.0 * CUBIC * u * u));
            }
        }
    }
}

vectorized! {
    pub(super) fn multiply(values: &mut [f32], factors: &[f32]) {
        for (value, factor) in values.iter_mut().zip(factors) {
            *value *= factor;
        }
    }
}

/// gelu(u + b) of all rows in place, and the slopes if they are wanted.
pub(super) fn gelu_of_all(values: &mut [f32], bias: &[f32], wants_slopes: bool) -> Option<Vec<f32>> {
    let size = BLOCK * bias.len();
    if !wants_slopes {
        for_each_block(values, size, |_, values| gelu_in_place(values, bias));
        return None;
    }
    let mut slopes = vec![0.0; values.len()];
    for_each_pair_of_blocks(values, &mut slopes, size, |values, slopes| gelu_with_slopes(values, slopes, bias));
    Some(slopes)
}

struct Gelu {
    is_tracked: bool,
    /// Made with the values where they will be needed.
    slopes: Mutex<Option<Vec<f32>>>,
}

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut output = contiguous(x, lx)?.to_vec();
        let bias = vec![0.0; lx.dims().last().copied().unwrap_or(1)];
        *lock(&self.slopes) = gelu_of_all(&mut output, &bias, self.is_tracked);
        Ok((CpuStorage::F32(output), lx.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let Some(mut output) = lock(&self.slopes).take() else { bail!("gelu was differentiated twice") };
        with_values([&grad.contiguous()?], |[grad]| {
            for_each_block(&mut output, SIZE, |block, output| multiply(output, &grad[block * SIZE..]));
            Ok(())
        })?;
        Ok(Some(Tensor::from_vec(output, x.shape(), x.device())?))
    }
}

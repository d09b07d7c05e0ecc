//! The Gaussian error linear unit after a bias, in one pass.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::bias::bias_gradient;
use super::{BLOCK, contiguous, exp, is_fused, vectorized, with_values};

/// √(2/π), and the cubic coefficient of Hendrycks & Gimpel 2016, arXiv 1606.08415.
const SLOPE: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;

/// y = gelu(x + b), gelu(u) = u/2 (1 + tanh(√(2/π) (u + 0.044715 u³))) = u · sigmoid(2 √(2/π) (u + 0.044715 u³)).
///
/// **Shapes** `x`: (n_rows, n_columns); `bias`: (n_columns).
pub fn bias_gelu(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    if !is_fused(x) {
        return x.broadcast_add(bias)?.gelu();
    }
    x.contiguous()?.apply_op2(bias, BiasGelu)
}

vectorized! {
    fn forward(output: &mut [f32], rows: &[f32], bias: &[f32]) {
        for (output, row) in output.chunks_exact_mut(bias.len()).zip(rows.chunks_exact(bias.len())) {
            for ((output, value), bias) in output.iter_mut().zip(row).zip(bias) {
                let u = value + bias;
                *output = u / (1.0 + exp(-2.0 * SLOPE * (u + CUBIC * u * u * u)));
            }
        }
    }
}

vectorized! {
    fn backward(output: &mut [f32], rows: &[f32], bias: &[f32], grad: &[f32]) {
        let n = bias.len();
        for ((output, row), grad) in output.chunks_exact_mut(n).zip(rows.chunks_exact(n)).zip(grad.chunks_exact(n)) {
            for (((output, value), bias), grad) in output.iter_mut().zip(row).zip(bias).zip(grad) {
                let u = value + bias;
                let gate = 1.0 / (1.0 + exp(-2.0 * SLOPE * (u + CUBIC * u * u * u)));
                let slope = 2.0 * SLOPE * (1.0 + 3.0 * CUBIC * u * u);
                *output = grad * (gate + u * gate * (1.0 - gate) * slope);
            }
        }
    }
}

struct BiasGelu;

impl CustomOp2 for BiasGelu {
    fn name(&self) -> &'static str {
        "bias-gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, b: &CpuStorage, lb: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, bias) = (contiguous(x, lx)?, contiguous(b, lb)?);
        let mut output = vec![0.0; x.len()];
        let block = BLOCK * bias.len();
        output.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(output, rows)| forward(output, rows, bias));
        Ok((CpuStorage::F32(output), lx.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, bias: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let output = with_values([x, bias, &grad.contiguous()?], |[x, bias, grad]| {
            let mut output = vec![0.0; x.len()];
            let block = BLOCK * bias.len();
            let blocks = output.par_chunks_mut(block).zip(x.par_chunks(block)).zip(grad.par_chunks(block));
            blocks.for_each(|((output, rows), grad)| backward(output, rows, bias, grad));
            Ok(output)
        })?;
        let output = Tensor::from_vec(output, x.shape(), x.device())?;
        let sums = bias_gradient(bias, &output)?;
        Ok((Some(output), Some(sums)))
    }
}

//! Normalisation by the root mean square.

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::bias::accumulate;
use super::device;
use super::{BLOCK, contiguous, dot, for_each_block, is_fused, lock, vectorized, with_values};
use crate::language::gradients::{add, gradient_of};

/// y = x / √(mean(x²) + ε) · gain over the last dimension (Zhang & Sennrich 2019, arXiv 1910.07467).
///
/// **Shapes** `x`: (n_rows, n_columns); `gain`: (n_columns).
pub fn root_mean_square_norm(x: &Tensor, gain: &Tensor, epsilon: f32) -> Result<Tensor> {
    if !is_fused(x) {
        return device::norm(device::Norm::RootMeanSquare, x, gain, None, epsilon);
    }
    x.contiguous()?.apply_op2(gain, RootMeanSquare { epsilon })
}

vectorized! {
    fn forward(output: &mut [f32], rows: &[f32], gain: &[f32], epsilon: f32) {
        let n = gain.len();
        for (output, row) in output.chunks_exact_mut(n).zip(rows.chunks_exact(n)) {
            let scale = 1.0 / (dot(row, row) / n as f32 + epsilon).sqrt();
            for ((output, value), gain) in output.iter_mut().zip(row).zip(gain) {
                *output = value * scale * gain;
            }
        }
    }
}

vectorized! {
    /// Writes the gradients of rows and adds those of the gain.
    fn backward(output: &mut [f32], gain_grad: &mut [f32], rows: &[f32], gain: &[f32], grad: &[f32], epsilon: f32) {
        let n = gain.len();
        let gain_grad = &mut gain_grad[..n];
        for ((output, row), grad) in output.chunks_exact_mut(n).zip(rows.chunks_exact(n)).zip(grad.chunks_exact(n)) {
            let scale = 1.0 / (dot(row, row) / n as f32 + epsilon).sqrt();
            for i in 0..n {
                output[i] = grad[i] * gain[i];
                gain_grad[i] += grad[i] * row[i] * scale;
            }
            let along = dot(output, row) / n as f32 * scale * scale;
            for i in 0..n {
                output[i] = (output[i] - row[i] * along) * scale;
            }
        }
    }
}

struct RootMeanSquare {
    epsilon: f32,
}

impl CustomOp2 for RootMeanSquare {
    fn name(&self) -> &'static str {
        "root-mean-square-norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, g: &CpuStorage, lg: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, gain) = (contiguous(x, lx)?, contiguous(g, lg)?);
        let (mut output, size) = (vec![0.0; x.len()], BLOCK * gain.len());
        for_each_block(&mut output, size, |block, output| forward(output, &x[block * size..], gain, self.epsilon));
        Ok((CpuStorage::F32(output), lx.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, gain: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (output, gain_sum) = with_values([x, gain, &grad.contiguous()?], |[x, gain, grad]| {
            let (mut output, n) = (vec![0.0; x.len()], gain.len());
            let size = BLOCK * n;
            let partial: Vec<Mutex<Vec<f32>>> = (0..x.len().div_ceil(size)).map(|_| Mutex::new(vec![0.0; n])).collect();
            for_each_block(&mut output, size, |block, output| {
                let (rows, grad) = (&x[block * size..], &grad[block * size..]);
                backward(output, &mut lock(&partial[block]), rows, gain, grad, self.epsilon);
            });
            let mut gain_sum = vec![0.0; n];
            partial.iter().for_each(|partial| accumulate(&mut gain_sum, &lock(partial)));
            Ok((output, gain_sum))
        })?;
        let output = Tensor::from_vec(output, x.shape(), x.device())?;
        Ok((Some(output), gradient_of(gain, |sum| add(sum, &gain_sum))?))
    }
}

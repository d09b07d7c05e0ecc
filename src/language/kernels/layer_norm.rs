//! Layer normalisation.

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::bias::accumulate;
use super::device;
use super::{BLOCK, contiguous, dot, for_each_block, is_fused, lock, vectorized, with_values};
use crate::language::gradients::{add, gradient_of};

/// What is added to the variance where nothing else is said.
pub const EPSILON: f32 = 1e-5;

/// y = (x − mean(x)) / √(var(x) + ε) · gain + bias over the last dimension (Ba, Kiros & Hinton 2016, arXiv 1607.06450).
///
/// **Shapes** `x`: (n_rows, n_columns); `gain`, `bias`: (n_columns).
pub fn layer_norm(x: &Tensor, gain: &Tensor, bias: &Tensor, epsilon: f32) -> Result<Tensor> {
    if !is_fused(x) {
        return device::norm(device::Norm::Layer, x, gain, Some(bias), epsilon);
    }
    x.contiguous()?.apply_op3(gain, bias, LayerNorm { epsilon })
}

#[inline(always)]
fn moments(row: &[f32], epsilon: f32) -> (f32, f32) {
    let n = row.len() as f32;
    let mut lanes = [0.0_f32; 16];
    let chunks = row.chunks_exact(16);
    let mut sum = chunks.remainder().iter().sum::<f32>();
    for chunk in chunks {
        for lane in 0..16 {
            lanes[lane] += chunk[lane];
        }
    }
    sum += lanes.iter().sum::<f32>();
    let mean = sum / n;
    // Values of one row are of one size, so E x² − (E x)² would lose digits only where the mean is far from zero;
    // the second pass avoids even that.
    let mut lanes = [0.0_f32; 16];
    let chunks = row.chunks_exact(16);
    let mut squares = chunks.remainder().iter().map(|value| (value - mean) * (value - mean)).sum::<f32>();
    for chunk in chunks {
        for lane in 0..16 {
            let centred = chunk[lane] - mean;
            lanes[lane] += centred * centred;
        }
    }
    squares += lanes.iter().sum::<f32>();
    (mean, 1.0 / (squares / n + epsilon).sqrt())
}

vectorized! {
    fn forward(output: &mut [f32], rows: &[f32], gain: &[f32], bias: &[f32], epsilon: f32) {
        let n = gain.len();
        for (output, row) in output.chunks_exact_mut(n).zip(rows.chunks_exact(n)) {
            let (mean, scale) = moments(row, epsilon);
            for (((output, value), gain), bias) in output.iter_mut().zip(row).zip(gain).zip(bias) {
                *output = (value - mean) * scale * gain + bias;
            }
        }
    }
}

vectorized! {
    /// Adds the gradients of rows, gain and bias.
    fn backward(
        output: &mut [f32],
        gain_grad: &mut [f32],
        bias_grad: &mut [f32],
        rows: &[f32],
        gain: &[f32],
        grad: &[f32],
        epsilon: f32,
    ) {
        let n = gain.len();
        let mut normal = vec![0.0_f32; n];
        let mut inner = vec![0.0_f32; n];
        let ones = vec![1.0_f32; n];
        let (gain_grad, bias_grad) = (&mut gain_grad[..n], &mut bias_grad[..n]);
        let (normal, inner) = (&mut normal[..n], &mut inner[..n]);
        for ((output, row), grad) in output.chunks_exact_mut(n).zip(rows.chunks_exact(n)).zip(grad.chunks_exact(n)) {
            let (mean, scale) = moments(row, epsilon);
            for i in 0..n {
                normal[i] = (row[i] - mean) * scale;
                inner[i] = grad[i] * gain[i];
                gain_grad[i] += grad[i] * normal[i];
                bias_grad[i] += grad[i];
            }
            let mean_inner = dot(inner, &ones) / n as f32;
            let mean_product = dot(inner, normal) / n as f32;
            for i in 0..n {
                output[i] += (inner[i] - mean_inner - normal[i] * mean_product) * scale;
            }
        }
    }
}

/// Normalised rows.
pub(super) fn normalise(x: &[f32], gain: &[f32], bias: &[f32], epsilon: f32) -> Vec<f32> {
    let mut output = vec![0.0; x.len()];
    let size = BLOCK * gain.len();
    for_each_block(&mut output, size, |block, output| forward(output, &x[block * size..], gain, bias, epsilon));
    output
}

/// Adds the gradient of the rows to `output` and returns those of gain and bias.
pub(super) fn add_gradients(
    output: &mut [f32],
    x: &[f32],
    gain: &[f32],
    grad: &[f32],
    epsilon: f32,
) -> (Vec<f32>, Vec<f32>) {
    let n = gain.len();
    let size = BLOCK * n;
    let partial: Vec<Mutex<(Vec<f32>, Vec<f32>)>> =
        (0..output.len().div_ceil(size)).map(|_| Mutex::new((vec![0.0; n], vec![0.0; n]))).collect();
    for_each_block(output, size, |block, output| {
        let (gain_grad, bias_grad) = &mut *lock(&partial[block]);
        backward(output, gain_grad, bias_grad, &x[block * size..], gain, &grad[block * size..], epsilon);
    });
    let (mut gain_grad, mut bias_grad) = (vec![0.0; n], vec![0.0; n]);
    for partial in &partial {
        let (gain_part, bias_part) = &*lock(partial);
        accumulate(&mut gain_grad, gain_part);
        accumulate(&mut bias_grad, bias_part);
    }
    (gain_grad, bias_grad)
}

struct LayerNorm {
    epsilon: f32,
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        g: &CpuStorage,
        lg: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let output = normalise(contiguous(x, lx)?, contiguous(g, lg)?, contiguous(b, lb)?, self.epsilon);
        Ok((CpuStorage::F32(output), lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gain: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (output, gain_sum, bias_sum) = with_values([x, gain, &grad.contiguous()?], |[x, gain, grad]| {
            let mut output = vec![0.0; x.len()];
            let (gain_sum, bias_sum) = add_gradients(&mut output, x, gain, grad, self.epsilon);
            Ok((output, gain_sum, bias_sum))
        })?;
        let output = Tensor::from_vec(output, x.shape(), x.device())?;
        Ok((Some(output), gradient_of(gain, |sum| add(sum, &gain_sum))?, gradient_of(bias, |sum| add(sum, &bias_sum))?))
    }
}

//! Affine maps of rows, with a residual beside them if there is one.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

use super::bias::extend_with_sums;
use super::device;
use super::{Matrix, accumulate_product, add_column_sums, add_product, contiguous, is_fused, product, with_values};
use crate::language::gradients::{collect_gradient, gradient_of};

/// y = x W + b.
///
/// **Shapes** `x`: (n_rows, n_in); `weight`: (n_in, n_out); `bias`: (n_out) → (n_rows, n_out).
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    if !is_fused(x) {
        return device::linear(x, weight, bias);
    }
    x.contiguous()?.apply_op3(weight, bias, Linear)
}

/// y = x W + b + r.
///
/// **Shapes** as [`linear`]; `residual`: (n_rows, n_out).
pub fn linear_with_residual(x: &Tensor, weight: &Tensor, bias: &Tensor, residual: &Tensor) -> Result<Tensor> {
    if !is_fused(x) || !(x.track_op() || residual.track_op()) && weight.track_op() {
        return linear(x, weight, bias)? + residual;
    }
    let operation = LinearWithResidual { weight: weight.clone(), bias: bias.clone() };
    x.contiguous()?.apply_op2(&residual.contiguous()?, operation)
}

/// Rows of the bias, plus those of a residual, plus x W.
pub(crate) fn affine(x: &[f32], weight: &[f32], bias: &[f32], residual: Option<&[f32]>) -> Vec<f32> {
    let n_rows = x.len() * bias.len() / weight.len();
    let mut output = Vec::with_capacity(n_rows * bias.len());
    match residual {
        Some(residual) => extend_with_sums(&mut output, residual, bias),
        None => (0..n_rows).for_each(|_| output.extend_from_slice(bias)),
    }
    add_product(&mut output, Matrix::rows(x, weight.len() / bias.len()), Matrix::rows(weight, bias.len()));
    output
}

/// Adds the gradient of a weight, xᵀ g, to its sum.
pub(crate) fn add_weight_gradient(sum: &mut Vec<f32>, x: &[f32], n_in: usize, grad: &[f32], n_out: usize) {
    accumulate_product(sum, Matrix::rows(x, n_in).transposed(), Matrix::rows(grad, n_out));
}

/// The gradient of the input, g Wᵀ.
pub(crate) fn input_gradient(grad: &[f32], weight: &[f32], n_out: usize) -> Vec<f32> {
    product(Matrix::rows(grad, n_out), Matrix::rows(weight, n_out).transposed())
}

/// The input's gradient as a tensor, where anything depends on it.
fn input_gradient_of(x: &Tensor, weight: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
    if !x.track_op() {
        return Ok(None);
    }
    let n_out = weight.dim(1)?;
    let output = with_values([weight, grad], |[weight, grad]| Ok(input_gradient(grad, weight, n_out)))?;
    Tensor::from_vec(output, x.shape(), x.device()).map(Some)
}

struct Linear;

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = output_shape(lx.shape(), lw.shape(), lb.shape())?;
        let output = affine(contiguous(x, lx)?, contiguous(w, lw)?, contiguous(b, lb)?, None);
        Ok((CpuStorage::F32(output), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (n_in, n_out) = weight.dims2()?;
        let grad = grad.contiguous()?;
        let (weight_grad, bias_grad) = with_values([x, &grad], |[x, grad]| {
            Ok((
                gradient_of(weight, |sum| add_weight_gradient(sum, x, n_in, grad, n_out))?,
                gradient_of(bias, |sum| add_column_sums(sum, grad, n_out))?,
            ))
        })?;
        Ok((input_gradient_of(x, weight, &grad)?, weight_grad, bias_grad))
    }
}

/// The shape of x W + b, if the three fit.
fn output_shape(x: &Shape, weight: &Shape, bias: &Shape) -> Result<Shape> {
    let ((n_rows, n_in), (weight_in, n_out)) = (x.dims2()?, weight.dims2()?);
    if n_in != weight_in || bias.dims() != [n_out] {
        candle_core::bail!("an affine map of shapes {x:?}, {weight:?} and {bias:?}");
    }
    Ok((n_rows, n_out).into())
}

struct LinearWithResidual {
    weight: Tensor,
    bias: Tensor,
}

impl CustomOp2 for LinearWithResidual {
    fn name(&self) -> &'static str {
        "linear-with-residual"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, r: &CpuStorage, lr: &Layout) -> Result<(CpuStorage, Shape)> {
        let shape = output_shape(lx.shape(), self.weight.shape(), self.bias.shape())?;
        if &shape != lr.shape() {
            candle_core::bail!("a residual of shape {:?} beside {shape:?}", lr.shape());
        }
        let (x, residual) = (contiguous(x, lx)?, contiguous(r, lr)?);
        let output =
            with_values([&self.weight, &self.bias], |[weight, bias]| Ok(affine(x, weight, bias, Some(residual))))?;
        Ok((CpuStorage::F32(output), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        residual: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (n_in, n_out) = self.weight.dims2()?;
        let grad = grad.contiguous()?;
        with_values([x, &grad], |[x, grad]| {
            collect_gradient(&self.weight, |sum| add_weight_gradient(sum, x, n_in, grad, n_out))?;
            collect_gradient(&self.bias, |sum| add_column_sums(sum, grad, n_out))
        })?;
        let input = input_gradient_of(x, &self.weight, &grad)?;
        Ok((input, residual.track_op().then_some(grad)))
    }
}

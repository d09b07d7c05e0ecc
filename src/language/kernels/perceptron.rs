//! The second half of a transformer's block as one operation: normalisation, shift, two affine maps with a GELU between
//! them, residual.

use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::bias::{add_by_group, add_to_groups, sum_groups};
use super::gelu::{gelu, gelu_of_all, multiply};
use super::layer_norm::{EPSILON, add_gradients, layer_norm, normalise};
use super::linear::{add_weight_gradient, affine, input_gradient, linear, linear_with_residual};
use super::{BLOCK, Matrix, add_column_sums, contiguous, for_each_block, is_fused, lock, product, with_values};
use crate::language::gradients::{add, collect_gradient};

/// The tensors of a perceptron of width w and inner width v.
#[derive(Debug, Clone)]
pub struct Tensors {
    /// Of the normalisation: (w).
    pub gain: Tensor,
    /// Of the normalisation: (w).
    pub shift: Tensor,
    /// (w, v).
    pub up: Tensor,
    /// (v).
    pub up_bias: Tensor,
    /// (v, w).
    pub down: Tensor,
    /// (w).
    pub down_bias: Tensor,
}

/// y = x + gelu((norm(x) + s) U + b) D + c; `by_group` holds the vectors s and which group of consecutive rows gets which,
/// as in [`super::bias::add_by_group`].
///
/// **Shapes** `x`: (n_rows, width) → the same.
pub fn perceptron(x: &Tensor, by_group: Option<(&Tensor, &Arc<Vec<u32>>)>, tensors: &Tensors) -> Result<Tensor> {
    if !is_fused(x) || !x.track_op() && tensors.up.track_op() {
        return composed(x, by_group, tensors);
    }
    let (n_rows, width) = x.dims2()?;
    if tensors.up.dims() != [width, tensors.up_bias.elem_count()] || tensors.down.dims() != [tensors.up.dim(1)?, width]
    {
        bail!("a perceptron of shapes {:?} and {:?} for rows of {width}", tensors.up.dims(), tensors.down.dims());
    }
    let operation = Perceptron {
        tensors: tensors.clone(),
        of_group: by_group.map(|(_, of_group)| of_group.clone()),
        is_tracked: x.track_op(),
        saved: Mutex::default(),
    };
    match by_group {
        Some((vectors, of_group)) => {
            if of_group.is_empty() || n_rows % of_group.len() != 0 || vectors.dim(1)? != width {
                bail!("{} groups of {n_rows} rows of {width}, vectors {:?}", of_group.len(), vectors.dims());
            }
            x.contiguous()?.apply_op2(&vectors.contiguous()?, operation)
        }
        None => x.contiguous()?.apply_op1(operation),
    }
}

/// The same from smaller operations.
fn composed(x: &Tensor, by_group: Option<(&Tensor, &Arc<Vec<u32>>)>, tensors: &Tensors) -> Result<Tensor> {
    let mut normal = layer_norm(x, &tensors.gain, &tensors.shift, EPSILON)?;
    if let Some((vectors, of_group)) = by_group {
        normal = add_by_group(&normal, vectors, of_group)?;
    }
    let hidden = gelu(&linear(&normal, &tensors.up, &tensors.up_bias)?)?;
    linear_with_residual(&hidden, &tensors.down, &tensors.down_bias, x)
}

/// What the backward pass needs of the forward pass.
struct Saved {
    /// Normalised and shifted rows: (n_rows, width).
    normal: Vec<f32>,
    /// After the GELU: (n_rows, inner width).
    hidden: Vec<f32>,
    /// The derivatives of the GELU.
    slopes: Vec<f32>,
}

struct Perceptron {
    tensors: Tensors,
    of_group: Option<Arc<Vec<u32>>>,
    is_tracked: bool,
    saved: Mutex<Option<Saved>>,
}

impl Perceptron {
    fn forward(&self, x: &[f32], vectors: &[f32]) -> Result<Vec<f32>> {
        let t = &self.tensors;
        with_values(
            [&t.gain, &t.shift, &t.up, &t.up_bias, &t.down, &t.down_bias],
            |[gain, shift, up, up_bias, down, down_bias]| {
                let mut normal = normalise(x, gain, shift, EPSILON);
                if let Some(of_group) = &self.of_group {
                    add_to_groups(&mut normal, vectors, gain.len(), of_group);
                }
                let mut hidden = product(Matrix::rows(&normal, gain.len()), Matrix::rows(up, up_bias.len()));
                let slopes = gelu_of_all(&mut hidden, up_bias, self.is_tracked);
                let output = affine(&hidden, down, down_bias, Some(x));
                *lock(&self.saved) = slopes.map(|slopes| Saved { normal, hidden, slopes });
                Ok(output)
            },
        )
    }

    /// The gradients of `x` and, if there are groups, of their `n_vectors` vectors.
    fn backward(&self, x: &[f32], grad: &[f32], n_vectors: usize) -> Result<(Vec<f32>, Vec<f32>)> {
        let Some(Saved { normal, hidden, slopes }) = lock(&self.saved).take() else {
            bail!("a perceptron was differentiated twice");
        };
        let t = &self.tensors;
        let (width, inner) = t.up.dims2()?;
        collect_gradient(&t.down, |sum| add_weight_gradient(sum, &hidden, inner, grad, width))?;
        collect_gradient(&t.down_bias, |sum| add_column_sums(sum, grad, width))?;
        drop(hidden);
        let mut hidden_grad = with_values([&t.down], |[down]| Ok(input_gradient(grad, down, width)))?;
        let size = BLOCK * inner;
        for_each_block(&mut hidden_grad, size, |block, grad| multiply(grad, &slopes[block * size..]));
        collect_gradient(&t.up, |sum| add_weight_gradient(sum, &normal, width, &hidden_grad, inner))?;
        collect_gradient(&t.up_bias, |sum| add_column_sums(sum, &hidden_grad, inner))?;
        let normal_grad = with_values([&t.up], |[up]| Ok(input_gradient(&hidden_grad, up, inner)))?;
        let vectors_grad = match &self.of_group {
            Some(of_group) => sum_groups(&normal_grad, n_vectors, width, of_group),
            None => Vec::new(),
        };
        let mut output = grad.to_vec();
        let (gain_grad, shift_grad) =
            with_values([&t.gain], |[gain]| Ok(add_gradients(&mut output, x, gain, &normal_grad, EPSILON)))?;
        collect_gradient(&t.gain, |sum| add(sum, &gain_grad))?;
        collect_gradient(&t.shift, |sum| add(sum, &shift_grad))?;
        Ok((output, vectors_grad))
    }
}

impl CustomOp1 for Perceptron {
    fn name(&self) -> &'static str {
        "perceptron"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(self.forward(contiguous(x, lx)?, &[])?), lx.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (output, _) = with_values([x, &grad.contiguous()?], |[x, grad]| self.backward(x, grad, 0))?;
        Ok(Some(Tensor::from_vec(output, x.shape(), x.device())?))
    }
}

impl CustomOp2 for Perceptron {
    fn name(&self) -> &'static str {
        "perceptron-with-groups"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, v: &CpuStorage, lv: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(self.forward(contiguous(x, lx)?, contiguous(v, lv)?)?), lx.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, vectors: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let n_vectors = vectors.dim(0)?;
        let (output, sums) = with_values([x, &grad.contiguous()?], |[x, grad]| self.backward(x, grad, n_vectors))?;
        let output = Tensor::from_vec(output, x.shape(), x.device())?;
        Ok((Some(output), Some(Tensor::from_vec(sums, vectors.shape(), vectors.device())?)))
    }
}

//! Affine maps.

use candle_core::{DType, Result, Tensor};

use crate::language::by_hand::{by_hand, gradient_of_input};
use crate::language::gradients::gradient_tensor_of;

/// x W in 32 bits; x is rounded as the matrix is held.
pub(crate) fn multiplied(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    match weight.dtype() {
        DType::F32 => x.matmul(weight),
        held => x.to_dtype(held)?.matmul(weight)?.to_dtype(DType::F32),
    }
}

/// x W + b. A weight that is fixed has no gradient, which the tensor library would make all the same.
pub(in super::super) fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let y = multiplied(&x.detach(), &weight.detach())?.broadcast_add(&bias.detach())?;
    by_hand([x, weight, bias], y, |[x, weight, bias], grad| {
        let (rows, matrix) = (x.detach(), weight.detach());
        let held = grad.to_dtype(weight.dtype())?;
        Ok([
            gradient_of_input(x, || held.matmul(&matrix.t()?)?.to_dtype(DType::F32))?,
            gradient_tensor_of(weight, || rows.to_dtype(weight.dtype())?.t()?.matmul(&held))?,
            gradient_tensor_of(bias, || grad.sum(0))?,
        ])
    })
}

//! Adding a vector to every row, with a fast gradient of the vector.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{BLOCK, column_sums, contiguous, is_fused, vectorized, with_values};

/// y = x + b for every row.
///
/// **Shapes** `x`: (n_rows, n_columns); `bias`: (n_columns).
pub fn add_bias(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    if !is_fused(x) {
        return x.broadcast_add(bias);
    }
    x.contiguous()?.apply_op2(bias, AddBias)
}

/// y = x + b + residual for every row.
///
/// **Shapes** `x`, `residual`: (n_rows, n_columns); `bias`: (n_columns).
pub fn add_bias_and_residual(x: &Tensor, bias: &Tensor, residual: &Tensor) -> Result<Tensor> {
    if !is_fused(x) {
        return x.broadcast_add(bias)? + residual;
    }
    x.contiguous()?.apply_op3(bias, &residual.contiguous()?, AddBiasAndResidual)
}

/// y_r = x_r + v_g(r): each group of consecutive rows gets one of several vectors.
///
/// **Shapes** `x`: (n_rows, n_columns); `vectors`: (n_vectors, n_columns); `of_group`: the vector of each group of
/// n_rows / n_groups rows.
pub fn add_by_group(x: &Tensor, vectors: &Tensor, of_group: &Arc<Vec<u32>>) -> Result<Tensor> {
    if !is_fused(x) {
        let (n_rows, n_columns) = x.dims2()?;
        let index = Tensor::new(of_group.as_slice(), x.device())?;
        let chosen = vectors.index_select(&index, 0)?.unsqueeze(1)?;
        let grouped = x.reshape((of_group.len(), n_rows / of_group.len(), n_columns))?;
        return grouped.broadcast_add(&chosen)?.reshape((n_rows, n_columns));
    }
    x.contiguous()?.apply_op2(&vectors.contiguous()?, AddByGroup { of_group: of_group.clone() })
}

vectorized! {
    fn add_to_rows(output: &mut [f32], rows: &[f32], bias: &[f32]) {
        for (output, row) in output.chunks_exact_mut(bias.len()).zip(rows.chunks_exact(bias.len())) {
            for ((output, value), bias) in output.iter_mut().zip(row).zip(bias) {
                *output = value + bias;
            }
        }
    }
}

vectorized! {
    fn accumulate(output: &mut [f32], values: &[f32]) {
        for (output, value) in output.iter_mut().zip(values) {
            *output += value;
        }
    }
}

fn plus_bias(x: &[f32], bias: &[f32]) -> Vec<f32> {
    let mut output = vec![0.0; x.len()];
    let block = BLOCK * bias.len();
    output.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(output, rows)| add_to_rows(output, rows, bias));
    output
}

struct AddBias;

impl CustomOp2 for AddBias {
    fn name(&self) -> &'static str {
        "add-bias"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, b: &CpuStorage, lb: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(plus_bias(contiguous(x, lx)?, contiguous(b, lb)?)), lx.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, bias: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let sums = bias_gradient(bias, &grad.contiguous()?)?;
        Ok((Some(grad.clone()), Some(sums)))
    }
}

/// The gradient of a vector that was added to every row: the sum over rows.
pub(super) fn bias_gradient(bias: &Tensor, grad: &Tensor) -> Result<Tensor> {
    let n_columns = bias.elem_count();
    let sums = with_values([grad], |[grad]| Ok(column_sums(grad, n_columns)))?;
    Tensor::from_vec(sums, bias.shape(), bias.device())
}

struct AddBiasAndResidual;

impl CustomOp3 for AddBiasAndResidual {
    fn name(&self) -> &'static str {
        "add-bias-and-residual"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        b: &CpuStorage,
        lb: &Layout,
        r: &CpuStorage,
        lr: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let mut output = plus_bias(contiguous(x, lx)?, contiguous(b, lb)?);
        let residual = contiguous(r, lr)?;
        let block = BLOCK * lb.shape().elem_count();
        output
            .par_chunks_mut(block)
            .zip(residual.par_chunks(block))
            .for_each(|(output, more)| accumulate(output, more));
        Ok((CpuStorage::F32(output), lx.shape().clone()))
    }

    fn bwd(
        &self,
        _: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let sums = bias_gradient(bias, &grad.contiguous()?)?;
        Ok((Some(grad.clone()), Some(sums), Some(grad.clone())))
    }
}

struct AddByGroup {
    of_group: Arc<Vec<u32>>,
}

impl CustomOp2 for AddByGroup {
    fn name(&self) -> &'static str {
        "add-by-group"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, v: &CpuStorage, lv: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, vectors) = (contiguous(x, lx)?, contiguous(v, lv)?);
        let n_columns = lv.dims()[1];
        let block = x.len() / self.of_group.len();
        let mut output = vec![0.0; x.len()];
        let groups = output.par_chunks_mut(block).zip(x.par_chunks(block)).zip(self.of_group.par_iter());
        groups.for_each(|((output, rows), &vector)| {
            let start = vector as usize * n_columns;
            add_to_rows(output, rows, &vectors[start..start + n_columns]);
        });
        Ok((CpuStorage::F32(output), lx.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, vectors: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (_, n_columns) = vectors.dims2()?;
        let mut sums = vec![0.0; vectors.elem_count()];
        with_values([&grad.contiguous()?], |[grad]| {
            let block = grad.len() / self.of_group.len();
            for (rows, &vector) in grad.chunks_exact(block).zip(self.of_group.iter()) {
                let sums = &mut sums[vector as usize * n_columns..(vector as usize + 1) * n_columns];
                rows.chunks_exact(n_columns).for_each(|row| accumulate(sums, row));
            }
            Ok(())
        })?;
        Ok((Some(grad.clone()), Some(Tensor::from_vec(sums, vectors.shape(), vectors.device())?)))
    }
}

//! Adding a vector to every row, with a fast gradient of the vector.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::{BLOCK, add_column_sums, contiguous, for_each_block, is_fused, vectorized, with_values};
use crate::language::gradients::gradient_of;

/// y = x + b for every row.
///
/// **Shapes** `x`: (n_rows, n_columns); `bias`: (n_columns).
pub fn add_bias(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    if !is_fused(x) {
        return x.broadcast_add(bias);
    }
    x.contiguous()?.apply_op2(bias, AddBias)
}

/// y_r = x_r + v_g(r): each group of consecutive rows gets one of several vectors.
///
/// **Shapes** `x`: (n_rows, n_columns); `vectors`: (n_vectors, n_columns); `of_group`: the vector of each group of
/// n_rows / n_groups rows.
pub fn add_by_group(x: &Tensor, vectors: &Tensor, of_group: &Arc<Vec<u32>>) -> Result<Tensor> {
    let (n_rows, n_columns) = x.dims2()?;
    let index = Tensor::new(of_group.as_slice(), x.device())?;
    let chosen = vectors.index_select(&index, 0)?.unsqueeze(1)?;
    let grouped = x.reshape((of_group.len(), n_rows / of_group.len(), n_columns))?;
    grouped.broadcast_add(&chosen)?.reshape((n_rows, n_columns))
}

vectorized! {
    /// Adds one vector to every row in place.
    pub(super) fn add_to_rows(rows: &mut [f32], bias: &[f32]) {
        for row in rows.chunks_exact_mut(bias.len()) {
            for (value, bias) in row.iter_mut().zip(bias) {
                *value += bias;
            }
        }
    }
}

vectorized! {
    /// Appends one vector plus each row of `rows`.
    pub(super) fn extend_with_sums(output: &mut Vec<f32>, rows: &[f32], bias: &[f32]) {
        for row in rows.chunks_exact(bias.len()) {
            output.extend(row.iter().zip(bias).map(|(value, bias)| value + bias));
        }
    }
}

vectorized! {
    pub(super) fn accumulate(output: &mut [f32], values: &[f32]) {
        for (output, value) in output.iter_mut().zip(values) {
            *output += value;
        }
    }
}

/// Adds the vector of its group to each row in place, as in [`add_by_group`].
pub(super) fn add_to_groups(rows: &mut [f32], vectors: &[f32], n_columns: usize, of_group: &[u32]) {
    let size = rows.len() / of_group.len();
    for_each_block(rows, size, |group, rows| {
        let start = of_group[group] as usize * n_columns;
        add_to_rows(rows, &vectors[start..start + n_columns]);
    });
}

/// The gradient of the vectors of groups: each the sum over the rows of its groups.
pub(super) fn sum_groups(rows: &[f32], n_vectors: usize, n_columns: usize, of_group: &[u32]) -> Vec<f32> {
    let mut sums = vec![0.0; n_vectors * n_columns];
    for (rows, &vector) in rows.chunks_exact(rows.len() / of_group.len()).zip(of_group) {
        let sums = &mut sums[vector as usize * n_columns..(vector as usize + 1) * n_columns];
        rows.chunks_exact(n_columns).for_each(|row| accumulate(sums, row));
    }
    sums
}

struct AddBias;

impl CustomOp2 for AddBias {
    fn name(&self) -> &'static str {
        "add-bias"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, b: &CpuStorage, lb: &Layout) -> Result<(CpuStorage, Shape)> {
        let (mut output, bias) = (contiguous(x, lx)?.to_vec(), contiguous(b, lb)?);
        for_each_block(&mut output, BLOCK * bias.len(), |_, rows| add_to_rows(rows, bias));
        Ok((CpuStorage::F32(output), lx.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, bias: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let n_columns = bias.elem_count();
        let bias_grad = with_values([&grad.contiguous()?], |[grad]| {
            gradient_of(bias, |sum| add_column_sums(sum, grad, n_columns))
        })?;
        Ok((Some(grad.clone()), bias_grad))
    }
}

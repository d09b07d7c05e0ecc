//! Tensors on the CPU as slices of numbers.

use candle_core::{CpuStorage, Device, Layout, Result, Storage, Tensor, bail};

use super::{BLOCK, map_each, vectorized};

/// The numbers of a contiguous storage.
pub(crate) fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("a kernel needs contiguous numbers, got strides {:?}", layout.stride()),
    }
}

/// Calls `use_values` with the numbers of contiguous tensors on the CPU.
pub(crate) fn with_values<const N: usize, T>(
    tensors: [&Tensor; N],
    use_values: impl FnOnce([&[f32]; N]) -> Result<T>,
) -> Result<T> {
    let guards = tensors.map(Tensor::storage_and_layout);
    let mut slices: [&[f32]; N] = [&[]; N];
    for (slice, (storage, layout)) in slices.iter_mut().zip(&guards) {
        match &**storage {
            Storage::Cpu(storage) => *slice = contiguous(storage, layout)?,
            _ => bail!("a CPU kernel was given a tensor on another device"),
        }
    }
    use_values(slices)
}

/// A tensor as [`with_values`] needs it: itself where it is one, else a copy.
pub(crate) fn on_cpu(tensor: &Tensor) -> Result<Tensor> {
    tensor.to_device(&Device::Cpu)?.contiguous()
}

/// The numbers of a tensor, copied.
pub(crate) fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1::<f32>()
}

vectorized! {
    fn add_rows(sums: &mut [f32], rows: &[f32]) {
        for row in rows.chunks_exact(sums.len()) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }
}

/// Adds each column of a matrix given by rows, (n_rows, n_columns), to its sum; an empty `sums` starts at zero.
pub(crate) fn add_column_sums(sums: &mut Vec<f32>, matrix: &[f32], n_columns: usize) {
    sums.resize(n_columns, 0.0);
    let size = 4 * BLOCK * n_columns;
    let partial = map_each(matrix.len().div_ceil(size), |block| {
        let mut sums = vec![0.0; n_columns];
        add_rows(&mut sums, &matrix[block * size..matrix.len().min((block + 1) * size)]);
        sums
    });
    partial.iter().for_each(|partial| add_rows(sums, partial));
}

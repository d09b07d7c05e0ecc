//! Products of matrices that lie in slices, written or added where they are needed.

use std::ops::Range;

use gemm::Parallelism;

use super::alone::is_alone;

/// A matrix within a slice.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    n_rows: usize,
    n_columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows one after the other.
    pub(crate) fn rows(values: &'a [f32], n_columns: usize) -> Self {
        let n_rows = values.len() / n_columns;
        assert_eq!(n_rows * n_columns, values.len(), "rows of {n_columns} numbers");
        Self { values, n_rows, n_columns, row_stride: n_columns, column_stride: 1 }
    }

    /// Some of the columns.
    pub(crate) fn columns(self, columns: Range<usize>) -> Self {
        assert!(columns.start < columns.end && columns.end <= self.n_columns, "columns {columns:?}");
        Self { values: &self.values[columns.start * self.column_stride..], n_columns: columns.len(), ..self }
    }

    pub(crate) fn transposed(self) -> Self {
        Self {
            n_rows: self.n_columns,
            n_columns: self.n_rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// `output` ← `output` + a b, rows one after the other.
pub(crate) fn add_product(output: &mut [f32], a: Matrix<'_>, b: Matrix<'_>) {
    assert_eq!(output.len(), a.n_rows * b.n_columns, "the size of a product");
    // SAFETY: the output holds as many initialised numbers as the product.
    unsafe { multiply(output.as_mut_ptr(), true, a, b) }
}

/// a b, rows one after the other.
pub(crate) fn product(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
    let mut output = Vec::new();
    accumulate_product(&mut output, a, b);
    output
}

/// Adds a b to `sum`, or makes it in the room of `sum` if that is empty.
pub(crate) fn accumulate_product(sum: &mut Vec<f32>, a: Matrix<'_>, b: Matrix<'_>) {
    if !sum.is_empty() {
        return add_product(sum, a, b);
    }
    let n = a.n_rows * b.n_columns;
    if a.n_columns == 0 {
        return sum.resize(n, 0.0);
    }
    sum.reserve_exact(n);
    // SAFETY: there is room for `n` numbers, and the product writes them all without reading.
    unsafe {
        multiply(sum.as_mut_ptr(), false, a, b);
        sum.set_len(n);
    }
}

/// # Safety
/// There must be room for the product at `output`, and numbers if they are to be read.
unsafe fn multiply(output: *mut f32, read: bool, a: Matrix<'_>, b: Matrix<'_>) {
    assert_eq!(a.n_columns, b.n_rows, "the inner sizes of a product");
    for matrix in [&a, &b] {
        let last =
            (matrix.n_rows.max(1) - 1) * matrix.row_stride + (matrix.n_columns.max(1) - 1) * matrix.column_stride;
        assert!(matrix.n_rows * matrix.n_columns == 0 || last < matrix.values.len(), "a matrix within its slice");
    }
    let parallelism = if is_alone() { Parallelism::None } else { Parallelism::Rayon(rayon::current_num_threads()) };
    // SAFETY: the strides stay within the slices as checked above, and the caller vouches for the output.
    unsafe {
        gemm::gemm(
            a.n_rows,
            b.n_columns,
            a.n_columns,
            output,
            1,
            b.n_columns as isize,
            read,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0_f32,
            1.0_f32,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_parts_and_transposes_are_those_of_the_definition() {
        let values: Vec<f32> = (0..30).map(|i| (i as f32 * 0.7).sin()).collect();
        let a = Matrix::rows(&values, 5).columns(1..4);
        let b = Matrix::rows(&values[..12], 3).columns(0..2);
        let mut got = product(a.transposed(), Matrix::rows(&values[..12], 2));
        let entry = |row: usize, column: usize| (0..6).map(|k| values[k * 5 + 1 + row] * values[k * 2 + column]).sum();
        let expected: Vec<f32> =
            (0..3).flat_map(|row| (0..2).map(move |column| (row, column))).map(|(r, c)| entry(r, c)).collect();
        got.iter().zip(&expected).for_each(|(a, b): (&f32, &f32)| assert!((a - b).abs() < 1e-5, "{a} {b}"));
        accumulate_product(&mut got, a.transposed(), Matrix::rows(&values[..12], 2));
        got.iter().zip(&expected).for_each(|(a, b)| assert!((a - 2.0 * b).abs() < 1e-5, "{a} {b}"));
        assert_eq!(product(b.transposed(), b).len(), 4);
    }
}

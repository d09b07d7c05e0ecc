//! Sparse rows: the expression matrix.

use ndarray::Array2;
use rayon::prelude::*;

use crate::{Error, Result};

/// The place of a column that is left out.
pub const NOWHERE: u32 = u32::MAX;
/// Rows that a thread takes at once.
const ROWS_PER_TASK: usize = 64;

/// A matrix in compressed sparse rows: (n_rows, n_columns), column indices sorted and unique within each row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SparseMatrix {
    n_columns: usize,
    indptr: Vec<usize>,
    indices: Vec<u32>,
    values: Vec<f32>,
}

impl SparseMatrix {
    /// Builds a matrix from its three arrays; rows need not be sorted yet.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if the arrays do not describe a matrix with `n_columns` columns, or if a row names a
    /// column twice.
    pub fn new(n_columns: usize, indptr: Vec<usize>, indices: Vec<u32>, values: Vec<f32>) -> Result<Self> {
        let wrong =
            |expected: String, got: String| Error::ShapeMismatch { what: "sparse matrix".into(), expected, got };
        if indptr.first() != Some(&0) || indptr.windows(2).any(|pair| pair[0] > pair[1]) {
            return Err(wrong("indptr that starts at 0 and never falls".into(), "another".into()));
        }
        let n_values = indptr.last().copied().unwrap_or(0);
        if n_values != indices.len() || indices.len() != values.len() {
            return Err(wrong(
                format!("{n_values} indices and values, as indptr ends"),
                format!("{} indices and {} values", indices.len(), values.len()),
            ));
        }
        let largest = indices.par_chunks(1 << 16).map(|some| some.iter().copied().max().unwrap_or(0)).max();
        if let Some(index) = largest.filter(|&index| index as usize >= n_columns) {
            return Err(wrong(format!("column indices below {n_columns}"), format!("{index}")));
        }
        let mut matrix = Self { n_columns, indptr, indices, values };
        if matrix.rises() {
            return Ok(matrix);
        }
        matrix.sort_rows();
        for row in 0..matrix.n_rows() {
            if let Some(pair) = matrix.row(row).0.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(wrong(
                    "every column once in a row".into(),
                    format!("column {} twice in row {row}", pair[0]),
                ));
            }
        }
        Ok(matrix)
    }

    /// Builds a matrix from rows of (column, value) pairs with rising columns; zeros are left out.
    pub fn from_rows(n_columns: usize, rows: impl IntoIterator<Item = Vec<(u32, f32)>>) -> Self {
        let mut matrix = Self { n_columns, indptr: vec![0], ..Self::default() };
        for row in rows {
            for (column, value) in row {
                if value != 0.0 {
                    matrix.indices.push(column);
                    matrix.values.push(value);
                }
            }
            matrix.indptr.push(matrix.indices.len());
        }
        matrix
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.indptr.len().saturating_sub(1)
    }

    /// Number of columns.
    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// Number of stored values.
    pub fn n_stored(&self) -> usize {
        self.values.len()
    }

    /// Where each row starts and the last one ends: n_rows + 1 offsets.
    pub fn indptr(&self) -> &[usize] {
        &self.indptr
    }

    /// The column of each stored value.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// The stored values.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The stored values, to be changed in place.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// The stored values of each row, to be changed in place.
    pub fn rows_mut(&mut self) -> Vec<&mut [f32]> {
        cut(&self.indptr, &mut self.values)
    }

    /// The columns and values of one row.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let range = self.indptr[row]..self.indptr[row + 1];
        (&self.indices[range.clone()], &self.values[range])
    }

    /// The values of one row, to be changed in place.
    pub fn row_values_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.values[self.indptr[row]..self.indptr[row + 1]]
    }

    /// The sum of each row.
    pub fn row_sums(&self) -> Vec<f64> {
        (0..self.n_rows()).map(|row| self.row(row).1.iter().map(|&value| f64::from(value)).sum()).collect()
    }

    /// Keeps the given rows, in the given order.
    pub fn select_rows(&self, rows: &[usize]) -> Self {
        let mut kept = Self { n_columns: self.n_columns, indptr: vec![0], ..Self::default() };
        for &row in rows {
            let (indices, values) = self.row(row);
            kept.indices.extend_from_slice(indices);
            kept.values.extend_from_slice(values);
            kept.indptr.push(kept.indices.len());
        }
        kept
    }

    /// Keeps the given columns, in the given order.
    pub fn select_columns(&self, columns: &[usize]) -> Self {
        let mut places = vec![NOWHERE; self.n_columns];
        columns.iter().enumerate().for_each(|(new, &old)| places[old] = new as u32);
        self.move_columns(&places, columns.len())
    }

    /// Moves each column to its place among `n_columns`, and leaves those out whose place is [`NOWHERE`].
    ///
    /// **Shapes** `places`: (n_columns of this matrix)
    pub fn move_columns(&self, places: &[u32], n_columns: usize) -> Self {
        let n_kept = |row: usize| self.row(row).0.iter().filter(|&&column| places[column as usize] != NOWHERE).count();
        let lengths: Vec<usize> = (0..self.n_rows()).into_par_iter().with_min_len(ROWS_PER_TASK).map(n_kept).collect();
        let mut indptr = Vec::with_capacity(lengths.len() + 1);
        indptr.push(0);
        lengths.iter().for_each(|length| indptr.push(indptr[indptr.len() - 1] + length));
        let n_stored = indptr[lengths.len()];
        let (mut indices, mut values) = (vec![0_u32; n_stored], vec![0_f32; n_stored]);
        let rows = cut(&indptr, &mut indices).into_par_iter().zip(cut(&indptr, &mut values));
        rows.enumerate().with_min_len(ROWS_PER_TASK).for_each(|(row, (indices, values))| {
            let (columns, stored) = self.row(row);
            let kept = columns.iter().zip(stored).filter_map(|(&column, &value)| {
                let place = places[column as usize];
                (place != NOWHERE).then_some((place, value))
            });
            for ((index, value), (place, stored)) in indices.iter_mut().zip(values).zip(kept) {
                (*index, *value) = (place, stored);
            }
        });
        let mut moved = Self { n_columns, indptr, indices, values };
        if !places.iter().filter(|&&place| place != NOWHERE).is_sorted() {
            moved.sort_rows();
        }
        moved
    }

    /// The mean of each column over the given rows: (n_columns).
    pub fn column_means(&self, rows: &[usize]) -> Vec<f64> {
        let mut sums = vec![0.0; self.n_columns];
        for &row in rows {
            let (indices, values) = self.row(row);
            for (&index, &value) in indices.iter().zip(values) {
                sums[index as usize] += f64::from(value);
            }
        }
        sums.iter_mut().for_each(|sum| *sum /= rows.len().max(1) as f64);
        sums
    }

    /// The dense matrix: (n_rows, n_columns).
    pub fn to_dense(&self) -> Array2<f32> {
        let mut dense = Array2::zeros((self.n_rows(), self.n_columns));
        for row in 0..self.n_rows() {
            let (indices, values) = self.row(row);
            for (&index, &value) in indices.iter().zip(values) {
                dense[[row, index as usize]] = value;
            }
        }
        dense
    }

    /// The columns as rows: (n_columns, n_rows).
    pub fn transposed(&self) -> Self {
        let mut indptr = vec![0_usize; self.n_columns + 1];
        self.indices.iter().for_each(|&column| indptr[column as usize + 1] += 1);
        for column in 0..self.n_columns {
            indptr[column + 1] += indptr[column];
        }
        let mut next = indptr.clone();
        let (mut indices, mut values) = (vec![0_u32; self.n_stored()], vec![0_f32; self.n_stored()]);
        for row in 0..self.n_rows() {
            let (columns, stored) = self.row(row);
            for (&column, &value) in columns.iter().zip(stored) {
                let at = next[column as usize];
                (indices[at], values[at]) = (row as u32, value);
                next[column as usize] += 1;
            }
        }
        Self { n_columns: self.n_rows(), indptr, indices, values }
    }

    /// Whether the columns of every row are sorted and unique.
    fn rises(&self) -> bool {
        self.indptr.par_windows(2).with_min_len(256).all(|ends| {
            let row = &self.indices[ends[0]..ends[1]];
            row.iter().zip(row.iter().skip(1)).fold(true, |rises, (one, next)| rises & (one < next))
        })
    }

    fn sort_rows(&mut self) {
        for row in 0..self.n_rows() {
            let range = self.indptr[row]..self.indptr[row + 1];
            if self.indices[range.clone()].is_sorted() {
                continue;
            }
            let mut pairs: Vec<_> =
                range.clone().map(|position| (self.indices[position], self.values[position])).collect();
            pairs.sort_by_key(|pair| pair.0);
            for (position, (index, value)) in range.zip(pairs) {
                self.indices[position] = index;
                self.values[position] = value;
            }
        }
    }
}

/// The rows of what is stored in the order of rows.
fn cut<'a, T>(indptr: &[usize], mut rest: &'a mut [T]) -> Vec<&'a mut [T]> {
    let mut rows = Vec::with_capacity(indptr.len().saturating_sub(1));
    for ends in indptr.windows(2) {
        let (row, after) = rest.split_at_mut(ends[1] - ends[0]);
        rows.push(row);
        rest = after;
    }
    rows
}

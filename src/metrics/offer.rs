//! Cells that a method offers for a condition.

use ndarray::{Array1, Array2};

use super::genes::GeneColumns;
use crate::cells::SparseMatrix;

/// Cells that a method offers for a condition.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Principal components: (n_cells, n_components).
    pub points: Array2<f32>,
    /// Mean expression, as the method estimates it: (n_genes).
    pub means: Vec<f64>,
    /// The cells in genes.
    pub expression: Expression,
}

/// log1p expression of cells, perhaps all moved by one vector.
#[derive(Debug, Clone)]
pub struct Expression {
    /// The cells before they are moved: (n_cells, n_genes).
    pub x: SparseMatrix,
    /// What is added to every cell: (n_genes).
    pub shift: Option<Vec<f32>>,
}

impl Expression {
    /// The given cells as points: (n_chosen, n_genes).
    pub fn points(&self, rows: &[usize]) -> Array2<f32> {
        let dense = self.x.select_rows(rows).to_dense();
        match &self.shift {
            Some(shift) => dense + &Array1::from_vec(shift.clone()),
            None => dense,
        }
    }

    /// The given cells gene by gene.
    pub fn columns(&self, rows: &[usize]) -> GeneColumns {
        GeneColumns::new(&self.x, rows, self.shift.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn moved_cells_have_moved_values_and_means() {
        let x = SparseMatrix::from_rows(2, [vec![(0, 1.0)], vec![(1, 2.0)], vec![]]);
        let expression = Expression { x, shift: Some(vec![0.5, -1.0]) };
        assert_eq!(expression.points(&[0, 2]), array![[1.5, -1.0], [0.5, -1.0]]);
        assert_eq!(expression.columns(&[0, 1]).means, [1.0, 0.0]);
    }
}

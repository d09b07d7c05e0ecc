//! Expression gene by gene, sorted.

use crate::cells::SparseMatrix;

/// The expression of each gene over some cells, as runs of equal values in rising order.
#[derive(Debug, Clone)]
pub struct GeneColumns {
    /// Number of cells.
    pub n_cells: usize,
    /// Mean expression: (n_genes).
    pub means: Vec<f64>,
    /// Value and number of cells that have it, gene by gene.
    runs: Vec<Vec<(f32, u32)>>,
}

impl GeneColumns {
    /// Sorts the given cells; `shift` is added to all values of a gene.
    ///
    /// **Shapes** `x`: (n_cells, n_genes); `shift`: (n_genes).
    pub fn new(x: &SparseMatrix, rows: &[usize], shift: Option<&[f32]>) -> Self {
        let mut columns: Vec<Vec<f32>> = vec![Vec::new(); x.n_columns()];
        for &row in rows {
            let (genes, values) = x.row(row);
            for (&gene, &value) in genes.iter().zip(values).filter(|(_, value)| **value != 0.0) {
                columns[gene as usize].push(value);
            }
        }
        let n_cells = rows.len();
        let shift_of = |gene: usize| shift.map_or(0.0, |shift| shift[gene]);
        let mean = |(gene, values): (usize, &Vec<f32>)| {
            let sum: f64 = values.iter().map(|&value| f64::from(value)).sum();
            sum / n_cells.max(1) as f64 + f64::from(shift_of(gene))
        };
        let means = columns.iter().enumerate().map(mean).collect();
        let runs = columns.into_iter().enumerate().map(|(gene, values)| runs(values, n_cells, shift_of(gene)));
        Self { n_cells, means, runs: runs.collect() }
    }

    /// Number of genes.
    pub fn n_genes(&self) -> usize {
        self.runs.len()
    }

    /// Values in rising order and the number of cells that have each.
    pub fn runs(&self, gene: usize) -> &[(f32, u32)] {
        &self.runs[gene]
    }
}

fn runs(mut values: Vec<f32>, n_cells: usize, shift: f32) -> Vec<(f32, u32)> {
    values.sort_unstable_by(f32::total_cmp);
    let n_zeros = (n_cells - values.len()) as u32;
    let zeros_at = values.partition_point(|&value| value < 0.0);
    let mut runs: Vec<(f32, u32)> = Vec::with_capacity(values.len() + 1);
    for (place, &value) in values.iter().enumerate() {
        if place == zeros_at && n_zeros > 0 {
            runs.push((0.0, n_zeros));
        }
        match runs.last_mut() {
            Some((last, n)) if *last == value => *n += 1,
            _ => runs.push((value, 1)),
        }
    }
    if zeros_at == values.len() && n_zeros > 0 {
        runs.push((0.0, n_zeros));
    }
    runs.iter_mut().for_each(|(value, _)| *value += shift);
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_stand_between_negative_and_positive_values_and_equal_values_are_counted() {
        let rows = [vec![(0, 2.0)], vec![(0, -1.0), (1, 3.0)], vec![(0, 2.0)], vec![]];
        let x = SparseMatrix::from_rows(3, rows);
        let columns = GeneColumns::new(&x, &[0, 1, 2, 3], None);
        assert_eq!(columns.runs(0), [(-1.0, 1), (0.0, 1), (2.0, 2)]);
        assert_eq!(columns.runs(1), [(0.0, 3), (3.0, 1)]);
        assert_eq!(columns.runs(2), [(0.0, 4)]);
        assert_eq!(columns.means, [0.75, 0.75, 0.0]);
        let moved = GeneColumns::new(&x, &[0, 2], Some(&[0.5, 0.0, -1.0]));
        assert_eq!((moved.runs(0), moved.runs(2)), (&[(2.5, 2)][..], &[(-1.0, 2)][..]));
        assert_eq!(moved.means, [2.5, 0.0, -1.0]);
    }
}

//! Means and spreads of many cells in little memory.

use ndarray::{Array1, Array2, ArrayView2, Axis};

/// The mean of some cells, and the sum of x xᵀ over their distances from it: (n_dims), (n_dims, n_dims).
pub(super) fn second_moments(embedding: ArrayView2<f32>, rows: &[usize]) -> (Array1<f64>, Array2<f64>) {
    let n_dims = embedding.ncols();
    let (mut mean, mut squares) = (Array1::<f64>::zeros(n_dims), Array2::<f64>::zeros((n_dims, n_dims)));
    // Blocks bound the memory that a condition of a million cells takes.
    for block in rows.chunks(4096) {
        mean += &embedding.select(Axis(0), block).mapv(f64::from).sum_axis(Axis(0));
    }
    mean /= rows.len().max(1) as f64;
    for block in rows.chunks(4096) {
        let gaps = embedding.select(Axis(0), block).mapv(f64::from) - &mean;
        squares += &gaps.t().dot(&gaps);
    }
    (mean, squares)
}

/// The mean and the standard deviation of each component (Welford 1962), without a copy of all cells in 64 bits.
pub(super) fn moments(embedding: ArrayView2<f32>) -> (Array1<f64>, Array1<f64>) {
    let zeros = Array1::<f64>::zeros(embedding.ncols());
    let (mut sum, mut mean, mut squares) = (zeros.clone(), zeros.clone(), zeros);
    for (row, values) in embedding.rows().into_iter().enumerate() {
        let n = (row + 1) as f64;
        ndarray::azip!((sum in &mut sum, mean in &mut mean, squares in &mut squares, &value in &values) {
            let value = f64::from(value);
            *sum += value;
            let gap = value - *mean;
            *mean += gap / n;
            *squares = (value - *mean).mul_add(gap, *squares);
        });
    }
    let n = embedding.nrows() as f64;
    (sum / n, squares.mapv(|squares| (squares / n).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_cells_make_no_difference() {
        let cells =
            Array2::from_shape_fn((9001, 2), |(row, column)| [(row % 7) as f32, 3.0 - (row % 5) as f32][column]);
        let rows: Vec<usize> = (0..cells.nrows()).filter(|row| row % 3 != 1).collect();
        let chosen = cells.select(Axis(0), &rows).mapv(f64::from);
        let mean = chosen.mean_axis(Axis(0)).unwrap();
        let gaps = &chosen - &mean;
        let (own, squares) = second_moments(cells.view(), &rows);
        assert!((own - &mean).iter().all(|gap| gap.abs() < 1e-9));
        assert!((squares - gaps.t().dot(&gaps)).iter().all(|gap| gap.abs() < 1e-6));
        let (mean, deviation) = moments(chosen.mapv(|value| value as f32).view());
        assert!((mean - chosen.mean_axis(Axis(0)).unwrap()).iter().all(|gap| gap.abs() < 1e-9));
        assert!((deviation - chosen.std_axis(Axis(0), 0.0)).iter().all(|gap| gap.abs() < 1e-9));
    }
}

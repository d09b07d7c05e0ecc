//! Ridge regression on few columns.

use ndarray::{Array2, ArrayView2};

/// Solves (A + diag(ridge)) x = b for every row b of `targets`, A symmetric and positive.
///
/// **Shapes** `gram`: (n_columns, n_columns); `ridge`: (n_columns); `targets`: (n_targets, n_columns) → the same.
pub(super) fn solve(gram: ArrayView2<f64>, ridge: &[f64], targets: ArrayView2<f64>) -> Array2<f64> {
    let factor = cholesky(gram, ridge);
    let n = ridge.len();
    let mut solved = targets.to_owned();
    for mut row in solved.rows_mut() {
        for i in 0..n {
            let mut value = row[i];
            for j in 0..i {
                value -= factor[[i, j]] * row[j];
            }
            row[i] = value / factor[[i, i]];
        }
        for i in (0..n).rev() {
            let mut value = row[i];
            for j in i + 1..n {
                value -= factor[[j, i]] * row[j];
            }
            row[i] = value / factor[[i, i]];
        }
    }
    solved
}

/// The lower triangle L of L·Lᵀ = A + diag(ridge).
fn cholesky(gram: ArrayView2<f64>, ridge: &[f64]) -> Array2<f64> {
    let n = ridge.len();
    let mut factor = Array2::zeros((n, n));
    for i in 0..n {
        for j in 0..=i {
            let mut value = gram[[i, j]] + if i == j { ridge[i] } else { 0.0 };
            for k in 0..j {
                value -= factor[[i, k]] * factor[[j, k]];
            }
            // A column that others explain leaves nothing but rounding error; the floor keeps its share near zero.
            factor[[i, j]] =
                if i == j { value.max(1e-12 * gram[[i, i]].max(1e-300)).sqrt() } else { value / factor[[j, j]] };
        }
    }
    factor
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn the_solution_fulfils_its_equations() {
        let gram = array![[4.0, 1.0, 0.5], [1.0, 3.0, -0.2], [0.5, -0.2, 2.0]];
        let ridge = [0.0, 0.5, 1.0];
        let targets = array![[1.0, 2.0, 3.0], [-1.0, 0.0, 4.0]];
        let solved = solve(gram.view(), &ridge, targets.view());
        for (row, target) in solved.rows().into_iter().zip(targets.rows()) {
            for i in 0..3 {
                let left: f64 = (0..3).map(|j| gram[[i, j]] * row[j]).sum::<f64>() + ridge[i] * row[i];
                assert!((left - target[i]).abs() < 1e-12);
            }
        }
    }
}

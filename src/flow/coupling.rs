//! Which source point goes with which cell.

use ndarray::{Array2, ArrayView2};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::transport::{entropic, exact};

/// Columns of the plan sum to their share within this, in all; the pairs are random anyway.
const TOLERANCE: f64 = 1e-2;

/// How the source points of a minibatch are paired with its cells, condition by condition, by squared distances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coupling {
    /// At random (Lipman et al. 2022, arXiv 2210.02747).
    #[default]
    Independent,
    /// By exact optimal transport (Tong et al. 2023, arXiv 2302.00482, OT-CFM).
    Exact,
    /// By entropic optimal transport with regularisation 2σ², the Schrödinger bridge of a Brownian motion of standard
    /// deviation σ (ibidem, SB-CFM, section 3.2.5). Every cell takes one source point, drawn from its row of the plan.
    Entropic,
}

impl Coupling {
    /// The source point of each cell: (n_cells) row numbers of `x0`.
    ///
    /// **Shapes** `x0`, `x1`: (n_cells, n_dims).
    ///
    /// # Errors
    /// Those of [`exact::assignment`] and [`entropic::plan`].
    pub fn pair(
        self,
        x0: ArrayView2<f32>,
        x1: ArrayView2<f32>,
        sigma: f32,
        rng: &mut ChaCha8Rng,
    ) -> Result<Vec<usize>> {
        match self {
            Self::Independent => Ok((0..x1.nrows()).collect()),
            Self::Exact => exact::assignment(costs(x0, x1).view()),
            Self::Entropic => {
                let plan = entropic::plan(costs(x0, x1).view(), 2.0 * f64::from(sigma).powi(2), TOLERANCE)?;
                Ok(plan.rows().into_iter().map(|row| choose(row.iter().copied(), rng)).collect())
            }
        }
    }
}

/// Squared distances: (n_cells, n_cells), a row for each of `x1`, a column for each of `x0`.
fn costs(x0: ArrayView2<f32>, x1: ArrayView2<f32>) -> Array2<f64> {
    let mut costs = Array2::zeros((x1.nrows(), x0.nrows()));
    for (mut row, cell) in costs.rows_mut().into_iter().zip(x1.rows()) {
        for (cost, source) in row.iter_mut().zip(x0.rows()) {
            *cost = f64::from(cell.iter().zip(source).map(|(a, b)| (a - b) * (a - b)).sum::<f32>());
        }
    }
    costs
}

/// Draws a place in proportion to the weights.
fn choose(weights: impl Iterator<Item = f64> + Clone, rng: &mut ChaCha8Rng) -> usize {
    let mut left = rng.random::<f64>() * weights.clone().sum::<f64>();
    let mut last = 0;
    for (place, weight) in weights.enumerate().filter(|(_, weight)| *weight > 0.0) {
        left -= weight;
        last = place;
        if left < 0.0 {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    /// Cells that are the source points moved, in another order.
    fn points() -> (Array2<f32>, Array2<f32>, Vec<usize>) {
        let order = vec![3, 0, 4, 1, 2];
        let x0 = Array2::from_shape_fn((5, 2), |(row, column)| (7 * row + column) as f32);
        let x1 = x0.select(ndarray::Axis(0), &order) + 0.5;
        (x0, x1, order)
    }

    #[test]
    fn transport_finds_the_point_that_a_cell_was_moved_from() {
        let (x0, x1, order) = points();
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        for coupling in [Coupling::Exact, Coupling::Entropic] {
            assert_eq!(coupling.pair(x0.view(), x1.view(), 0.1, &mut rng).unwrap(), order, "{coupling:?}");
        }
        assert_eq!(Coupling::Independent.pair(x0.view(), x1.view(), 0.1, &mut rng).unwrap(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn entropic_pairs_occur_as_often_as_the_plan_says() {
        let (x0, x1) = (ndarray::array![[0.0_f32], [1.0]], ndarray::array![[0.0_f32], [1.0]]);
        let (sigma, mut rng) = (1.0_f32, ChaCha8Rng::seed_from_u64(1));
        let n = 20_000;
        let mut straight = 0;
        for _ in 0..n {
            let pairs = Coupling::Entropic.pair(x0.view(), x1.view(), sigma, &mut rng).unwrap();
            straight += usize::from(pairs[0] == 0);
        }
        // Two points at distance one: P = 1/(1 + exp(−1/ε)) with ε = 2σ².
        let expected = 1.0 / (1.0 + (-0.5_f64).exp());
        assert!((straight as f64 / n as f64 - expected).abs() < 0.015, "{straight} {expected}");
    }
}

//! Paths between a source point and a cell.

use ndarray::{Array2, Array3, ArrayView2, Axis};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::numbers::fill_normal;

/// The law of x_t given both ends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Path {
    /// x_t = (1 − t) x0 + t x1 (He et al. 2024, arXiv 2410.05292; Lipman et al. 2022, arXiv 2210.02747).
    Straight,
    /// x_t = (1 − t) x0 + t x1 + σ B_t with B a Brownian bridge from 0 to 0 of unit rate, so that two points do not give
    /// the end away.
    Bridge {
        /// Standard deviation of the noise per square root of flow time; the data have unit standard deviation.
        sigma: f32,
    },
}

impl Path {
    /// The σ of the bridge; 0 for the straight path.
    pub fn sigma(self) -> f32 {
        match self {
            Self::Straight => 0.0,
            Self::Bridge { sigma } => sigma,
        }
    }

    /// Draws the points at t_k = k/n_steps, k = 0 … n_steps, of each pair of ends.
    ///
    /// **Shapes** `x0`, `x1`: (n_cells, n_dims) → (n_steps + 1, n_cells, n_dims).
    pub fn draw(self, x0: ArrayView2<f32>, x1: ArrayView2<f32>, n_steps: usize, rng: &mut ChaCha8Rng) -> Array3<f32> {
        let (n_cells, n_dims) = x0.dim();
        let mut points = Array3::zeros((n_steps + 1, n_cells, n_dims));
        points.index_axis_mut(Axis(0), 0).assign(&x0);
        points.index_axis_mut(Axis(0), n_steps).assign(&x1);
        let mut noise = Array2::zeros((n_cells, n_dims));
        for step in 1..n_steps {
            let (before, mut rest) = points.view_mut().split_at(Axis(0), step);
            let before = before.index_axis(Axis(0), step - 1);
            let mut here = rest.index_axis_mut(Axis(0), 0);
            match self {
                Self::Straight => {
                    let t = step as f32 / n_steps as f32;
                    ndarray::Zip::from(&mut here)
                        .and(&x0)
                        .and(&x1)
                        .for_each(|x, &x0, &x1| *x = (1.0 - t) * x0 + t * x1);
                }
                Self::Bridge { .. } => {
                    let (weight, deviation) = self.step(step - 1, n_steps);
                    if let Some(noise) = noise.as_slice_mut() {
                        fill_normal(rng, noise);
                    }
                    ndarray::Zip::from(&mut here)
                        .and(&before)
                        .and(&x1)
                        .and(&noise)
                        .for_each(|x, &before, &x1, &noise| *x = before + weight * (x1 - before) + deviation * noise);
                }
            }
        }
        points
    }

    /// The step from t to t′ towards a known end: x_t′ = x_t + w (x1 − x_t) + s ε, w = Δ/(1 − t),
    /// s = σ √(Δ (1 − t′)/(1 − t)), as (w, s); the exact conditional law of the bridge.
    pub fn step(self, step: usize, n_steps: usize) -> (f32, f32) {
        let (t, next) = (step as f32 / n_steps as f32, (step + 1) as f32 / n_steps as f32);
        let weight = (next - t) / (1.0 - t);
        (weight, self.sigma() * (weight * (1.0 - next)).max(0.0).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn the_straight_path_is_the_line_between_its_ends() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let (x0, x1) = (Array2::from_elem((1, 2), 1.0), Array2::from_elem((1, 2), 5.0));
        let points = Path::Straight.draw(x0.view(), x1.view(), 4, &mut rng);
        assert_eq!(points.index_axis(Axis(1), 0).column(0).to_vec(), [1.0, 2.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn the_bridge_has_the_variance_of_a_brownian_bridge() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let ends = Array2::zeros((20_000, 1));
        let points = Path::Bridge { sigma: 0.5 }.draw(ends.view(), ends.view(), 4, &mut rng);
        for step in 0..=4 {
            let t = step as f32 / 4.0;
            let variance = points.index_axis(Axis(0), step).mapv(|x| x * x).mean().unwrap();
            assert!((variance - 0.25 * t * (1.0 - t)).abs() < 0.003, "{step} {variance}");
        }
    }
}

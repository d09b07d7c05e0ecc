//! Carries points along a stochastic differential equation from t = 0 to t = 1.

use ndarray::Array2;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::ode::Velocity;
use crate::Result;

/// Euler & Maruyama 1955 for dX = f(t, X) dt + σ dW: x ← x + Δ f(t, x) + σ √Δ ε, in steps of equal length.
///
/// **Shapes** `start`: (n_points, n_dims) → the same.
///
/// # Errors
/// Those of the drift.
pub fn euler_maruyama(
    start: Array2<f32>,
    n_steps: usize,
    sigma: f32,
    drift: &Velocity<'_>,
    rng: &mut ChaCha8Rng,
) -> Result<Array2<f32>> {
    let step = 1.0 / n_steps as f32;
    (0..n_steps).try_fold(start, |x, number| {
        let mut next = &x + &(drift(number as f32 * step, &x)? * step);
        next.iter_mut().for_each(|value| {
            let noise: f32 = StandardNormal.sample(rng);
            *value += sigma * step.sqrt() * noise;
        });
        Ok(next)
    })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn an_ornstein_uhlenbeck_process_has_its_mean_and_variance() {
        let (n, sigma, start) = (100_000, 0.8_f32, 2.0_f32);
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let drift = |_: f32, x: &Array2<f32>| Ok(-x);
        let end = euler_maruyama(Array2::from_elem((n, 1), start), 200, sigma, &drift, &mut rng).unwrap();
        let end = end.mapv(f64::from);
        let (mean, variance) = (end.mean().unwrap(), end.var(1.0));
        // At time 1: x0/e, σ²(1 − e⁻²)/2.
        let expected = f64::from(sigma).powi(2) * (1.0 - (-2.0_f64).exp()) / 2.0;
        assert!((mean - f64::from(start) * (-1.0_f64).exp()).abs() < 0.01, "{mean}");
        assert!((variance - expected).abs() < 0.01, "{variance} {expected}");
    }
}

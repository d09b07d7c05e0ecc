//! Points on conditional probability paths, and the velocities that carry them.

use ndarray::{Array2, ArrayView2};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

/// Keeps the velocity of the bridge finite at its ends, as in TorchCFM.
const LEAST: f32 = 1e-8;

/// The law of x_t given a source point x0 and a cell x1: N(μ_t, σ_t² I) with μ_t = (1 − t) x0 + t x1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// σ_t = σ, u_t = x1 − x0 (Tong et al. 2023, arXiv 2302.00482, I-CFM and OT-CFM; σ = 0 is the straight path).
    Constant {
        /// The standard deviation; the data have unit standard deviation.
        sigma: f32,
    },
    /// σ_t = σ √(t (1 − t)), u_t = (1 − 2t)/(2t (1 − t)) (x_t − μ_t) + x1 − x0 (ibidem, SB-CFM).
    Bridge {
        /// Standard deviation of the Brownian motion per square root of flow time.
        sigma: f32,
    },
}

/// Points on paths: each (n_cells, n_dims).
pub struct Points {
    /// x_t.
    pub xt: Array2<f32>,
    /// u_t.
    pub ut: Array2<f32>,
    /// ε, with x_t = μ_t + σ_t ε.
    pub noise: Array2<f32>,
}

impl Spread {
    /// The σ of the law.
    pub fn sigma(self) -> f32 {
        match self {
            Self::Constant { sigma } | Self::Bridge { sigma } => sigma,
        }
    }

    /// σ_t.
    pub fn at(self, t: f32) -> f32 {
        match self {
            Self::Constant { sigma } => sigma,
            Self::Bridge { sigma } => sigma * (t * (1.0 - t)).max(0.0).sqrt(),
        }
    }

    /// dσ_t/dt · 1/σ_t, by which the distance from μ_t is carried along.
    fn rate(self, t: f32) -> f32 {
        match self {
            Self::Constant { .. } => 0.0,
            Self::Bridge { .. } => (1.0 - 2.0 * t) / (2.0 * t * (1.0 - t) + LEAST),
        }
    }

    /// x_t = μ_t + σ_t ε and u_t in one dimension.
    pub fn point(self, t: f32, x0: f32, x1: f32, noise: f32) -> (f32, f32) {
        let away = self.at(t) * noise;
        ((1.0 - t) * x0 + t * x1 + away, self.rate(t) * away + x1 - x0)
    }

    /// Draws x_t and gives u_t for every pair, each at its own time.
    ///
    /// **Shapes** `x0`, `x1`: (n_cells, n_dims); `times`: (n_cells).
    pub fn draw(self, x0: ArrayView2<f32>, x1: ArrayView2<f32>, times: &[f32], rng: &mut ChaCha8Rng) -> Points {
        let mut noise = Array2::zeros(x0.dim());
        for (mut noise, &t) in noise.rows_mut().into_iter().zip(times) {
            if self.at(t) > 0.0 {
                noise.iter_mut().for_each(|noise| *noise = StandardNormal.sample(rng));
            }
        }
        let (mut xt, mut ut) = (Array2::zeros(x0.dim()), Array2::zeros(x0.dim()));
        for (row, &t) in times.iter().enumerate() {
            for column in 0..x0.ncols() {
                let at = [row, column];
                (xt[at], ut[at]) = self.point(t, x0[at], x1[at], noise[at]);
            }
        }
        Points { xt, ut, noise }
    }

    /// λ_t = 2σ_t/σ², which weighs (σ²/2)∇log p(x_t) so that its target is the noise with unit variance (Tong et al. 2023,
    /// arXiv 2307.03672, \[SF\]²M): λ_t (σ²/2)∇log p(x_t | x0, x1) = −ε.
    pub fn weight_of_score(self, t: f32) -> f32 {
        2.0 * self.at(t) / (self.sigma().powi(2) + LEAST)
    }

    /// For independent x0 ~ N(0, 1) and x1 ~ N(m, 1), ∇log p(x_t) = −(x_t − t m)/Var(x_t): returns (1/Var, t/Var).
    pub fn gaussian_score(self, t: f32) -> (f32, f32) {
        let precision = 1.0 / (t * t + (1.0 - t) * (1.0 - t) + self.at(t).powi(2));
        (precision, t * precision)
    }

    /// The posterior mean of u_t for independent x0, x1 ~ N(0, 1) is c x_t, with c = Cov(u_t, x_t)/Var(x_t); returns
    /// (c, 1 − c t), the second being what a mean m of x1 adds: E u_t = c x_t + (1 − c t) m.
    pub fn gaussian(self, t: f32) -> (f32, f32) {
        let variance = t * t + (1.0 - t) * (1.0 - t) + self.at(t).powi(2);
        let covariance = match self {
            Self::Constant { .. } => 2.0 * t - 1.0,
            Self::Bridge { sigma } => 2.0 * t - 1.0 + 0.5 * sigma * sigma * (1.0 - 2.0 * t),
        };
        let slope = covariance / variance;
        (slope, 1.0 - slope * t)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const SPREADS: [Spread; 3] =
        [Spread::Constant { sigma: 0.0 }, Spread::Constant { sigma: 0.3 }, Spread::Bridge { sigma: 0.7 }];

    #[test]
    fn the_velocity_is_the_derivative_of_the_path_of_one_noise() {
        let (x0, x1) = (ndarray::array![[0.3_f32, -1.0]], ndarray::array![[2.0_f32, 0.5]]);
        for spread in SPREADS {
            for t in [0.15_f32, 0.4, 0.8] {
                let at = |t: f32| spread.draw(x0.view(), x1.view(), &[t], &mut ChaCha8Rng::seed_from_u64(4));
                let step = 5e-3;
                let slope = (at(t + step).xt - at(t - step).xt) / (2.0 * step);
                let gap = (slope - at(t).ut).iter().fold(0.0_f32, |most, gap| most.max(gap.abs()));
                assert!(gap < 2e-3, "{spread:?} {t}: {gap}");
            }
        }
    }

    #[test]
    fn the_closed_form_is_the_regression_of_velocities_on_points() {
        let n = 200_000;
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut normal = |mean: f32| {
            Array2::from_shape_simple_fn((n, 1), || mean + Distribution::<f32>::sample(&StandardNormal, &mut rng))
        };
        let (x0, x1) = (normal(0.0), normal(1.5));
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for spread in SPREADS {
            for t in [0.2_f32, 0.7] {
                let Points { xt, ut, noise } = spread.draw(x0.view(), x1.view(), &vec![t; n], &mut rng);
                let (xt, ut) = (xt.mapv(f64::from), ut.mapv(f64::from));
                let (x_mean, u_mean) = (xt.mean().unwrap(), ut.mean().unwrap());
                let covariance = ((&xt - x_mean) * (&ut - u_mean)).mean().unwrap();
                let slope = covariance / (&xt - x_mean).mapv(|x| x * x).mean().unwrap();
                let (expected, rest) = spread.gaussian(t);
                assert!((slope - f64::from(expected)).abs() < 0.02, "{spread:?} {t}: {slope} {expected}");
                let constant = u_mean - slope * x_mean;
                assert!((constant - 1.5 * f64::from(rest)).abs() < 0.03, "{spread:?} {t}: {constant} {rest}");
                // σ_t ∇log p is the regression of −ε.
                let variance = (&xt - x_mean).mapv(|x| x * x).mean().unwrap();
                let slope = (noise.mapv(f64::from) * (&xt - x_mean)).mean().unwrap() / variance;
                let (precision, of_mean) = spread.gaussian_score(t);
                assert!((slope - f64::from(spread.at(t) * precision)).abs() < 0.02, "{spread:?} {t}: {slope}");
                assert!((of_mean / precision - t).abs() < 1e-6);
            }
        }
    }
}

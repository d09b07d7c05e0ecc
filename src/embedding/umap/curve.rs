//! The curve that says how near two points of the map belong together.

/// Keeps the force between points that lie on each other finite.
pub(super) const LEAST: f64 = 0.001;

/// 1/(1 + a d^2b) of the distance d on the map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Curve {
    a: f64,
    b: f64,
}

impl Curve {
    /// Fits 1/(1 + a x^2b) to the curve that is 1 up to `min_dist` and falls as exp(−(x − min_dist)/spread) after it, by
    /// damped Gauss–Newton steps on 300 points of [0, 3 spread].
    pub(super) fn fit(min_dist: f64, spread: f64) -> Self {
        let xs: Vec<f64> = (1..300).map(|i| 3.0 * spread * f64::from(i) / 299.0).collect();
        let target = |x: f64| if x < min_dist { 1.0 } else { (-(x - min_dist) / spread).exp() };
        let loss = |a: f64, b: f64| -> f64 {
            xs.iter().map(|&x| (1.0 / (1.0 + a * x.powf(2.0 * b)) - target(x)).powi(2)).sum()
        };
        let (mut a, mut b, mut damping) = (1.0_f64, 1.0_f64, 1e-3_f64);
        for _ in 0..200 {
            let (mut aa, mut ab, mut bb, mut ga, mut gb) = (0.0, 0.0, 0.0, 0.0, 0.0);
            for &x in &xs {
                let power = x.powf(2.0 * b);
                let value = 1.0 / (1.0 + a * power);
                let (da, db) = (-power * value * value, -2.0 * a * power * x.ln() * value * value);
                let residual = value - target(x);
                aa += da * da;
                ab += da * db;
                bb += db * db;
                ga += da * residual;
                gb += db * residual;
            }
            let (p, q) = (aa * (1.0 + damping), bb * (1.0 + damping));
            let determinant = p * q - ab * ab;
            let (next_a, next_b) = (a - (q * ga - ab * gb) / determinant, b - (p * gb - ab * ga) / determinant);
            if next_a > 0.0 && next_b > 0.0 && loss(next_a, next_b) <= loss(a, b) {
                (a, b, damping) = (next_a, next_b, damping / 3.0);
            } else {
                damping *= 3.0;
            }
        }
        Self { a, b }
    }

    /// a and b.
    pub(super) fn parameters(self) -> (f64, f64) {
        (self.a, self.b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_has_the_parameters_of_umap_learn() {
        // scipy.optimize.curve_fit, as umap-learn does it, gives 0.58303 and 1.33417.
        let Curve { a, b } = Curve::fit(0.5, 1.0);
        assert!((a - 0.5830).abs() < 2e-3 && (b - 1.3342).abs() < 2e-3, "{a} {b}");
    }
}

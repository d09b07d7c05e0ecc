//! The law of one count, given its mean.

use crate::numbers::ln_gamma;

/// A count with a given mean: a negative binomial, or a law with less variance than a Poisson count has.
///
/// P = rounding · R + (1 − rounding) · NB, where NB has variance mean + dispersion · mean² (dispersion 0 is Poisson) and
/// R is ⌊mean⌋ or ⌊mean⌋ + 1, the law of least variance among whole numbers of this mean. Principal components of a
/// sparse panel nearly tell a cell's counts; then a Poisson draw would add a noise that the components hold already.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CountLaw {
    /// The expected count.
    pub mean: f64,
    /// The dispersion of the negative binomial, 1 / size.
    pub dispersion: f64,
    /// The share of the rounded mean, 0 to 1.
    pub rounding: f64,
}

/// Below this dispersion a negative binomial is taken as Poisson: its logarithms would lose their digits.
const POISSON: f64 = 1e-7;

/// A probability below e^−700 is not a normal f64; a walk over the counts then starts further up.
const LEAST_LOG: f64 = -700.0;

impl CountLaw {
    /// P(count = 0).
    pub fn zero_probability(&self) -> f64 {
        self.rounding * (1.0 - self.mean).max(0.0) + (1.0 - self.rounding) * self.log_zero().exp()
    }

    /// The smallest count whose cumulative probability reaches `u`, 0 ≤ `u` < 1.
    pub fn quantile(&self, u: f64) -> f64 {
        let low = self.mean.floor();
        let fraction = self.mean - low;
        let rounded = |k: f64| if k < low { 0.0 } else { 1.0 - if k < low + 1.0 { fraction } else { 0.0 } };
        if self.rounding >= 1.0 {
            return if u <= 1.0 - fraction { low } else { low + 1.0 };
        }
        let (mut k, mut probability) = self.start();
        let mut cumulative = probability;
        // Beyond the mean a vanishing probability can no longer move the sum: rounding of u alone would go on for ever.
        while self.rounding * rounded(k) + (1.0 - self.rounding) * cumulative < u
            && (k <= self.mean + 1.0 || probability > 1e-300 && cumulative + probability > cumulative)
        {
            probability *= self.ratio(k);
            k += 1.0;
            cumulative += probability;
        }
        k
    }

    /// The expectation of `value(count)`; `value` should vary smoothly above some hundred counts.
    pub fn expectation(&self, value: impl Fn(f64) -> f64) -> f64 {
        let low = self.mean.floor();
        let fraction = self.mean - low;
        let mut expected = 0.0;
        if self.rounding > 0.0 {
            expected += self.rounding * (1.0 - fraction) * value(low);
            if fraction > 0.0 {
                expected += self.rounding * fraction * value(low + 1.0);
            }
        }
        if self.rounding < 1.0 {
            expected += (1.0 - self.rounding) * self.negative_binomial_expectation(value);
        }
        expected
    }

    /// Sums count by count at first, then over a coarser grid by the trapezoid rule.
    fn negative_binomial_expectation(&self, value: impl Fn(f64) -> f64) -> f64 {
        const ONE_BY_ONE: f64 = 64.0;
        const LEAST: f64 = 1e-9;
        let (start, mut probability) = self.start();
        let (mut k, mut total, mut weight) = (start, 0.0, 0.0);
        while k < start + ONE_BY_ONE {
            total += probability * value(k);
            weight += probability;
            if k > self.mean && probability < LEAST && 1.0 - weight < 1e-6 {
                return total / weight;
            }
            probability *= self.ratio(k);
            k += 1.0;
        }
        let deviation = (self.mean + self.dispersion * self.mean * self.mean).sqrt();
        let mut here = probability;
        loop {
            let step = (k / 32.0).min(deviation / 6.0).floor().max(1.0);
            let there = self.log_probability(k + step).exp();
            let (first, second) = (here * value(k), there * value(k + step));
            // The integers k … k + step − 1 of a straight line between the two ends.
            total += 0.5 * (step * (first + second) + first - second);
            weight += 0.5 * (step * (here + there) + here - there);
            k += step;
            here = there;
            if k > self.mean && here * step < LEAST {
                return total / weight;
            }
        }
    }

    /// Where a walk over the counts starts (below it there is no mass to speak of), and the probability there.
    fn start(&self) -> (f64, f64) {
        let log_zero = self.log_zero();
        if log_zero > LEAST_LOG {
            return (0.0, log_zero.exp());
        }
        let deviation = (self.mean + self.dispersion * self.mean * self.mean).sqrt();
        let start = (self.mean - 12.0 * deviation).floor().max(0.0);
        (start, self.log_probability(start).exp())
    }

    /// P(k + 1) / P(k) of the negative binomial.
    fn ratio(&self, k: f64) -> f64 {
        (1.0 + k * self.dispersion) / (k + 1.0) * self.mean / (1.0 + self.dispersion * self.mean)
    }

    fn log_zero(&self) -> f64 {
        if self.dispersion < POISSON { -self.mean } else { -(self.dispersion * self.mean).ln_1p() / self.dispersion }
    }

    fn log_probability(&self, k: f64) -> f64 {
        if self.mean <= 0.0 {
            return if k == 0.0 { 0.0 } else { f64::NEG_INFINITY };
        }
        if self.dispersion < POISSON {
            return k * self.mean.ln() - self.mean - ln_gamma(k + 1.0);
        }
        let size = 1.0 / self.dispersion;
        let spread = self.dispersion * self.mean;
        ln_gamma(k + size) - ln_gamma(size) - ln_gamma(k + 1.0) + self.log_zero() + k * (spread.ln() - spread.ln_1p())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laws() -> Vec<CountLaw> {
        let mut laws = Vec::new();
        for mean in [0.003, 0.4, 1.0, 2.7, 35.2, 900.0] {
            for (dispersion, rounding) in [(0.0, 0.0), (0.3, 0.0), (2.0, 0.0), (0.0, 0.6), (0.0, 1.0)] {
                laws.push(CountLaw { mean, dispersion, rounding });
            }
        }
        laws
    }

    #[test]
    fn the_expectation_of_the_count_is_the_mean() {
        for law in laws() {
            let got = law.expectation(|k| k);
            assert!((got / law.mean - 1.0).abs() < 1e-3, "{law:?}: {got}");
        }
    }

    #[test]
    fn quantiles_of_an_even_grid_average_to_the_mean_and_the_zero_probability() {
        const N: usize = 40_000;
        for law in laws() {
            let counts: Vec<f64> = (0..N).map(|i| law.quantile((i as f64 + 0.5) / N as f64)).collect();
            let mean = counts.iter().sum::<f64>() / N as f64;
            let zeros = counts.iter().filter(|&&count| count == 0.0).count() as f64 / N as f64;
            assert!((mean / law.mean - 1.0).abs() < 0.01, "{law:?}: {mean}");
            assert!((zeros - law.zero_probability()).abs() < 1e-4, "{law:?}: {zeros}");
        }
    }

    #[test]
    fn rounding_has_the_least_variance_of_its_mean() {
        let law = CountLaw { mean: 2.3, dispersion: 0.0, rounding: 1.0 };
        let variance = law.expectation(|k| (k - 2.3).powi(2));
        assert!((variance - 0.3 * 0.7).abs() < 1e-12, "{variance}");
    }

    #[test]
    fn a_quantile_near_one_ends() {
        for law in laws() {
            assert!(law.quantile(1.0 - 1e-16).is_finite());
        }
    }
}

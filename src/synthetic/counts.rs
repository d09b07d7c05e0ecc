//! Draws of negative binomial counts.

use rand::Rng;

/// Draws one count: mean μ, variance μ + φ·μ² with φ the dispersion.
///
/// By inversion: the probabilities follow p(0) = (1 + φμ)^(−1/φ), p(k) = p(k−1) · (1/φ + k − 1)/k · φμ/(1 + φμ), and
/// the count is the first k at which their sum exceeds one uniform number. The time grows with μ, which is small for
/// almost all genes.
pub fn negative_binomial(mean: f64, dispersion: f64, rng: &mut impl Rng) -> u32 {
    let size = 1.0 / dispersion;
    let odds = dispersion * mean;
    let ratio = odds / (1.0 + odds);
    let mut probability = (-size * odds.ln_1p()).exp();
    let mut rest: f64 = rng.random::<f64>() - probability;
    let mut count = 0_u32;
    while rest >= 0.0 {
        count += 1;
        let k = f64::from(count);
        probability *= (size + k - 1.0) / k * ratio;
        // Beyond the mean nothing but rounding is left once the probabilities vanish.
        if probability < 1e-18 && k > mean {
            break;
        }
        rest -= probability;
    }
    count
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn counts_have_the_mean_the_variance_and_the_zeros_of_the_negative_binomial() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let n = 200_000;
        for (mean, dispersion) in [(0.05, 0.8), (0.7, 0.3), (6.0, 0.2), (90.0, 0.1)] {
            let draws: Vec<f64> = (0..n).map(|_| f64::from(negative_binomial(mean, dispersion, &mut rng))).collect();
            let average = draws.iter().sum::<f64>() / f64::from(n);
            let variance = draws.iter().map(|x| (x - average).powi(2)).sum::<f64>() / f64::from(n);
            let zeros = draws.iter().filter(|&&x| x == 0.0).count() as f64 / f64::from(n);
            let expected = mean + dispersion * mean * mean;
            // Five standard errors of the mean; the variance's own error depends on the fourth moment, hence 5 %.
            assert!((average - mean).abs() < 5.0 * (expected / f64::from(n)).sqrt(), "{mean}: {average}");
            assert!((variance / expected - 1.0).abs() < 0.05, "{mean}: {variance} for {expected}");
            let expected = (1.0 + dispersion * mean).powf(-1.0 / dispersion);
            assert!((zeros - expected).abs() < 5.0 * (expected * (1.0 - expected) / f64::from(n)).sqrt() + 1e-9);
        }
    }
}

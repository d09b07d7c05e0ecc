//! The tail of the normal distribution.

/// P(|Z| > z) for a standard normal Z and z ≥ 0: erfc(z/√2).
///
/// Near zero one minus the series 2/√π · exp(−x²) Σ (2x²)ⁿ x / (1·3·…·(2n+1)) (Abramowitz & Stegun 7.1.6); beyond, the
/// continued fraction exp(−x²)/√π · 1/(x + ½/(x + 1/(x + 3/2/(x + …)))) (ibidem 7.1.14), from its end.
pub fn two_sided(z: f64) -> f64 {
    let x = z / std::f64::consts::SQRT_2;
    let root_pi = std::f64::consts::PI.sqrt();
    if x < 2.0 {
        let (mut term, mut sum, mut n) = (x, x, 0.0);
        while term > 1e-17 * sum {
            n += 1.0;
            term *= 2.0 * x * x / (2.0 * n + 1.0);
            sum += term;
        }
        return 1.0 - 2.0 / root_pi * (-x * x).exp() * sum;
    }
    const DEPTH: usize = 120;
    let fraction = (1..=DEPTH).rev().fold(x, |rest, n| x + n as f64 / 2.0 / rest);
    (-x * x).exp() / root_pi / fraction
}

#[cfg(test)]
mod tests {
    use super::two_sided;

    #[test]
    fn tails_agree_with_scipy() {
        // scipy.special.erfc(z / sqrt(2)), SciPy 1.17.1.
        for (z, expected) in [
            (0.0, 1.0),
            (0.1, 0.920344325445942),
            (1.0, 0.31731050786291415),
            (1.959963984540054, 0.050000000000000024),
            (2.8, 0.005110260660855875),
            (2.9, 0.003731626600768075),
            (5.0, 5.73303143758389e-07),
            (10.0, 1.5239706048321166e-23),
            (37.0, 1.1451142445050454e-299),
        ] {
            assert!((two_sided(z) / expected - 1.0).abs() < 2e-12, "{z}: {} {expected}", two_sided(z));
        }
    }
}

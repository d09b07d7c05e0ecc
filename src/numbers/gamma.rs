//! The gamma function's logarithm and its slope.

/// From here on the asymptotic series are exact to twelve digits.
const FAR: f64 = 8.0;

/// ln Γ(x) for x > 0: Stirling's series after shifting x above 8 (Abramowitz & Stegun 1964, 6.1.41).
pub fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 1.0);
    while x < FAR {
        shift *= x;
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let series = inverse
        * (1.0 / 12.0
            - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square * (1.0 / 1680.0 - square * (1.0 / 1188.0)))));
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - shift.ln()
}

/// d ln Γ(x) / dx for x > 0, likewise (6.3.18).
pub fn digamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    while x < FAR {
        shift += 1.0 / x;
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let series = square
        * (1.0 / 12.0 - square * (1.0 / 120.0 - square * (1.0 / 252.0 - square * (1.0 / 240.0 - square / 132.0))));
    x.ln() - 0.5 * inverse - series - shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ln_gamma_gives_factorials() {
        let mut factorial = 1.0_f64;
        for n in 1..30 {
            factorial *= f64::from(n);
            assert!((ln_gamma(f64::from(n) + 1.0) - factorial.ln()).abs() < 1e-10 * factorial.ln().max(1.0));
        }
        assert!((ln_gamma(0.5) - std::f64::consts::PI.sqrt().ln()).abs() < 1e-10);
    }

    #[test]
    fn digamma_is_euler_s_constant_at_one_and_grows_by_reciprocals() {
        assert!((digamma(1.0) + 0.577_215_664_901_532_9).abs() < 1e-11);
        for x in [0.01, 0.7, 3.2, 7.9, 55.0, 1e4] {
            assert!((digamma(x + 1.0) - digamma(x) - 1.0 / x).abs() < 1e-10 / x, "{x}");
            let slope = (ln_gamma(x * 1.0001) - ln_gamma(x * 0.9999)) / (0.0002 * x);
            assert!((digamma(x) - slope).abs() < 1e-5 * slope.abs().max(1.0), "{x}");
        }
    }
}

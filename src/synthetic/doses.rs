//! Doses: how strongly a perturbation acts at each.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::conditions::{Component, Quantity};

/// The least dose.
const LEAST: f64 = 0.01;
/// The greatest is so many times the least.
const RANGE: f64 = 1e4;
/// The unit of all doses.
const UNIT: &str = "uM";

/// The law by which the activity of a perturbation grows with its dose d: d^n / (d^n + c^n), a Hill curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HillCurve {
    /// c: the dose of half the full activity, in uM.
    pub half_dose: f64,
    /// n.
    pub power: f64,
}

impl HillCurve {
    /// Draws a curve whose half dose lies in the middle half of the doses, on the logarithm.
    pub fn draw(rng: &mut ChaCha8Rng) -> Self {
        let half_dose = LEAST * RANGE.powf(rng.random_range(0.25..0.75));
        Self { half_dose, power: rng.random_range(0.7..1.8) }
    }

    /// The share of the full activity at a dose in uM.
    pub fn at(&self, dose: f64) -> f64 {
        let power = dose.powf(self.power);
        power / (power + self.half_dose.powf(self.power))
    }
}

/// Doses in uM: as many, in equal steps of their logarithm, rounded to two digits.
pub fn doses(n: usize) -> Vec<f64> {
    let dose = |step: usize| {
        let dose = LEAST * RANGE.powf(step as f64 / (n - 1) as f64);
        format!("{dose:.1e}").parse().unwrap_or(dose)
    };
    (0..n).map(dose).collect()
}

/// A name, with the dose where there is one.
pub fn label(name: String, dose: Option<f64>) -> String {
    let dose = dose.and_then(|dose| Quantity::new(dose, UNIT).ok());
    Component { dose, ..Component::plain(&name) }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doses_are_round_and_curves_rise_through_a_half() {
        assert_eq!(doses(5), [0.01, 0.1, 1.0, 10.0, 100.0]);
        assert_eq!(doses(4), [0.01, 0.22, 4.6, 100.0]);
        let curve = HillCurve { half_dose: 2.0, power: 1.5 };
        assert!((curve.at(2.0) - 0.5).abs() < 1e-12 && curve.at(0.01) < 0.01 && curve.at(1000.0) > 0.99);
        assert_eq!(label("drug A".into(), Some(0.22)), "drug A @ 0.22 uM");
        assert_eq!(label("drug A".into(), None), "drug A");
    }
}

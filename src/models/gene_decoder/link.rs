//! From a linear predictor to a rate, for one gene.
//!
//! y = softness · ln(1 + exp(η / softness)), at most `ceiling`;  rate = floor + (exp(y) − 1) / target_sum
//!
//! For small softness y is η where η > 0 and 0 elsewhere: η may be the gene's linear reconstruction of log1p expression.
//! The rate is never zero and never above what some training cell showed, wherever the components lie.

/// What turns a gene's linear predictor into a rate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    /// Width of the bend at zero, in log1p units.
    pub softness: f32,
    /// The largest y.
    pub ceiling: f32,
    /// The rate where y is 0.
    pub floor: f32,
    /// Counts per cell of the log1p scale.
    pub target_sum: f32,
}

/// The derivatives of the loss of one count.
pub(super) struct Slopes {
    /// By the linear predictor.
    pub predictor: f32,
    /// By the logarithm of the softness.
    pub log_softness: f32,
}

impl Link {
    /// The rate: expected counts per unit of library size.
    pub fn rate(&self, predictor: f32) -> f32 {
        let y = (self.softness * softplus(predictor / self.softness)).min(self.ceiling);
        self.floor + y.exp_m1() / self.target_sum
    }

    /// The loss of a count: rate · library − count · ln(rate), the Poisson deviance up to what the rate does not change.
    pub fn loss(&self, predictor: f32, count: f32, library: f32) -> f64 {
        let rate = f64::from(self.rate(predictor));
        f64::from(library) * rate - f64::from(count) * rate.ln()
    }

    /// The slopes of [`Self::loss`].
    pub fn slopes(&self, predictor: f32, count: f32, library: f32) -> Slopes {
        let e = predictor / self.softness;
        if e < -FLAT {
            return Slopes { predictor: 0.0, log_softness: 0.0 };
        }
        let small = (-e.abs()).exp();
        let bend = e.max(0.0) + small.ln_1p();
        let sigmoid = if e > 0.0 { 1.0 } else { small } / (1.0 + small);
        let free = self.softness * bend;
        let y = free.min(self.ceiling);
        let grown = y.exp();
        let rate = self.floor + (grown - 1.0) / self.target_sum;
        let mut by_y = (library - count / rate) * grown / self.target_sum;
        if free > self.ceiling && by_y < 0.0 {
            by_y = 0.0; // it would rise further, and cannot
        }
        Slopes { predictor: by_y * sigmoid, log_softness: by_y * self.softness * (bend - sigmoid * e) }
    }
}

/// So many bends below zero the link is flat to single precision.
const FLAT: f32 = 16.0;

/// ln(1 + eˣ).
fn softplus(x: f32) -> f32 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: Link = Link { softness: 0.4, ceiling: 3.0, floor: 1e-3, target_sum: 10.0 };

    #[test]
    fn slopes_agree_with_finite_differences() {
        const STEP: f32 = 1e-2;
        for predictor in [-1.0_f32, -0.2, 0.1, 0.7, 2.0] {
            for count in [0.0_f32, 1.0, 4.0] {
                let slopes = LINK.slopes(predictor, count, 6.0);
                let at = |p: f32, l: f32| {
                    let link = Link { softness: 0.4 * l.exp(), ..LINK };
                    link.loss(p, count, 6.0)
                };
                let by_predictor = (at(predictor + STEP, 0.0) - at(predictor - STEP, 0.0)) / f64::from(2.0 * STEP);
                let by_softness = (at(predictor, STEP) - at(predictor, -STEP)) / f64::from(2.0 * STEP);
                let close = |got: f32, expected: f64| (f64::from(got) - expected).abs() < 0.01 * expected.abs() + 2e-3;
                assert!(
                    close(slopes.predictor, by_predictor),
                    "{predictor} {count}: {} {by_predictor}",
                    slopes.predictor
                );
                assert!(close(slopes.log_softness, by_softness), "{predictor} {count}");
            }
        }
    }

    #[test]
    fn rates_stay_between_floor_and_ceiling_wherever_the_predictor_is() {
        for predictor in [-1e6_f32, -3.0, 0.0, 3.0, 1e6] {
            let rate = LINK.rate(predictor);
            assert!(rate >= 1e-3 && rate <= 1.001e-3 + 3.0_f32.exp_m1() / 10.0, "{predictor}: {rate}");
        }
    }
}

//! The learning rate over time.

/// Steps of the linear rise at the start.
const WARM_UP: f64 = 50.0;
/// The rate falls to this part of its peak.
const LAST: f64 = 0.02;

/// The part of the peak learning rate at `step` of `n_steps`: a linear rise, then half a cosine down to 2 %.
pub fn learning_rate_factor(step: usize, n_steps: usize) -> f64 {
    let done = step as f64 / n_steps.max(1) as f64;
    let rise = ((step + 1) as f64 / WARM_UP).min(1.0);
    rise * (LAST + (1.0 - LAST) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_and_falls() {
        assert!(learning_rate_factor(0, 1000) < 0.03);
        assert!(learning_rate_factor(60, 1000) > 0.95);
        assert!((learning_rate_factor(1000, 1000) - 0.02).abs() < 1e-9);
    }
}

//! Draws the counts of one gene in the cells of one condition, with little noise in the condition's mean.

use rand::Rng;
use rand::seq::SliceRandom;

use super::law::CountLaw;

/// One count per law; zeros are left out. Returns (cell, count) in no order.
pub(super) fn draw(laws: &[CountLaw], rng: &mut impl Rng) -> Vec<(usize, f64)> {
    let positive = |cell: usize| 1.0 - laws[cell].zero_probability();
    let quantile = |cell: usize, within: f64| {
        let zero = laws[cell].zero_probability();
        laws[cell].quantile(zero + (1.0 - zero) * within)
    };
    draw_evenly(laws.len(), positive, quantile, rng)
}

/// One count for each of `n_cells` cells, evenly over them; zeros are left out. Returns (cell, count) in no order.
///
/// Each count follows its own law exactly, given by the probability `positive` of a count above zero and the quantiles
/// `quantile` of such counts. Which cells are zero is decided by systematic sampling along a random order (Madow 1949):
/// with cumulative probabilities C_i of a count above zero, cell i has one where ⌊C_i + U⌋ > ⌊C_{i−1} + U⌋, so the number of
/// such cells is within one of its expectation. Their uniforms within the non-zero part are stratified (Latin hypercube;
/// McKay et al. 1979).
pub fn draw_evenly(
    n_cells: usize,
    positive: impl Fn(usize) -> f64,
    quantile: impl Fn(usize, f64) -> f64,
    rng: &mut impl Rng,
) -> Vec<(usize, f64)> {
    let mut order: Vec<usize> = (0..n_cells).collect();
    order.shuffle(rng);
    let mut reached = rng.random::<f64>();
    let mut chosen = Vec::new();
    for cell in order {
        let before = reached.floor();
        reached += positive(cell);
        if reached.floor() > before {
            chosen.push(cell);
        }
    }
    let n = chosen.len() as f64;
    let mut strata: Vec<usize> = (0..chosen.len()).collect();
    strata.shuffle(rng);
    chosen
        .into_iter()
        .zip(strata)
        .map(|(cell, stratum)| (cell, quantile(cell, (stratum as f64 + rng.random::<f64>()) / n).max(1.0)))
        .collect()
}

/// The common factor on the means of a condition's cells at which the expected log1p expression is `target`.
///
/// **Shapes** `laws`, `per_count`: (n_cells); `per_count` is target_sum / library size.
/// The logarithm of the factor stays within ± ln `largest`: what a reconstruction below zero asks for is not to be had.
pub(super) fn correction(laws: &[CountLaw], per_count: &LogTable, target: f64, largest: f64) -> f64 {
    const STEPS: usize = 6;
    const CLOSE: f64 = 1e-3;
    let bound = largest.ln();
    if bound <= 0.0 || laws.is_empty() {
        return 1.0;
    }
    let expected = |log_factor: f64| {
        let factor = log_factor.exp();
        let sum: f64 = laws
            .iter()
            .enumerate()
            .map(|(cell, law)| {
                CountLaw { mean: law.mean * factor, ..*law }.expectation(|count| per_count.log1p(cell, count))
            })
            .sum();
        (sum / laws.len() as f64).max(1e-12).ln()
    };
    let wanted = target.max(1e-12).ln();
    let (mut here, mut slope) = (0.0, 1.0_f64);
    let mut value = expected(here);
    for _ in 0..STEPS {
        if (value - wanted).abs() < CLOSE {
            break;
        }
        let next = (here + (wanted - value) / slope).clamp(-bound, bound);
        if next == here {
            break;
        }
        let found = expected(next);
        // The expectation grows with the factor, at most in proportion to it.
        slope = ((found - value) / (next - here)).clamp(0.05, 1.0);
        (here, value) = (next, found);
    }
    here.exp()
}

/// Counts of the table; an expectation is summed count by count so far.
const TABLE: usize = 64;

/// ln(1 + count · scale) for every cell, the small counts from a table.
pub(super) struct LogTable {
    scales: Vec<f64>,
    table: Vec<[f64; TABLE]>,
}

impl LogTable {
    /// A table for cells whose single count has these normalised values: target_sum / library size.
    pub fn new(scales: Vec<f64>) -> Self {
        let table = scales.iter().map(|scale| std::array::from_fn(|count| (count as f64 * scale).ln_1p())).collect();
        Self { scales, table }
    }

    fn log1p(&self, cell: usize, count: f64) -> f64 {
        self.table[cell].get(count as usize).copied().unwrap_or_else(|| (count * self.scales[cell]).ln_1p())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn laws() -> Vec<CountLaw> {
        (0..50)
            .map(|cell| CountLaw {
                mean: 0.02 + 0.04 * f64::from(cell % 10) + if cell == 7 { 20.0 } else { 0.0 },
                dispersion: 0.5,
                rounding: if cell % 2 == 0 { 0.3 } else { 0.0 },
            })
            .collect()
    }

    #[test]
    fn every_cell_keeps_its_own_law() {
        const DRAWS: usize = 20_000;
        let laws = laws();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (mut sums, mut positive) = (vec![0.0; laws.len()], vec![0.0; laws.len()]);
        for _ in 0..DRAWS {
            for (cell, count) in draw(&laws, &mut rng) {
                sums[cell] += count / DRAWS as f64;
                positive[cell] += 1.0 / DRAWS as f64;
            }
        }
        for (cell, law) in laws.iter().enumerate() {
            let variance = law.expectation(|k| (k - law.mean).powi(2));
            let noise = 5.0 * (variance / DRAWS as f64).sqrt();
            assert!((sums[cell] - law.mean).abs() < noise, "mean of cell {cell}: {} {}", sums[cell], law.mean);
            let share = 1.0 - law.zero_probability();
            let noise = 5.0 * (share / DRAWS as f64).sqrt();
            assert!((positive[cell] - share).abs() < noise, "cell {cell}: {} {share}", positive[cell]);
        }
    }

    #[test]
    fn the_number_of_cells_with_a_count_is_within_one_of_its_expectation() {
        let laws = laws();
        let expected: f64 = laws.iter().map(|law| 1.0 - law.zero_probability()).sum();
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        for _ in 0..200 {
            assert!((draw(&laws, &mut rng).len() as f64 - expected).abs() < 1.0);
        }
    }

    #[test]
    fn the_correction_meets_the_target_within_its_bound() {
        let laws = laws();
        let table = LogTable::new((0..laws.len()).map(|cell| 0.5 + 0.02 * cell as f64).collect());
        let mean = |factor: f64| {
            let expected = |(cell, law): (usize, &CountLaw)| {
                CountLaw { mean: law.mean * factor, ..*law }.expectation(|k| table.log1p(cell, k))
            };
            laws.iter().enumerate().map(expected).sum::<f64>() / laws.len() as f64
        };
        for factor in [0.3, 0.9, 1.0, 2.5] {
            let found = correction(&laws, &table, mean(factor), 8.0);
            assert!((mean(found) / mean(factor) - 1.0).abs() < 0.01, "{factor}: {found}");
        }
        assert!((correction(&laws, &table, -1.0, 8.0) - 0.125).abs() < 1e-9);
        assert_eq!(correction(&laws, &table, 1.0, 1.0), 1.0);
    }
}

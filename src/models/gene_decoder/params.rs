//! The settings of a fit.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::Result;
use crate::error::refuse;

/// How a [`super::GeneDecoder`] is fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneDecoderParams {
    /// The scale of the log1p expression from which the principal components were made: counts per cell.
    pub target_sum: f64,
    /// The seed of the order of the minibatches.
    pub seed: u64,
    /// Optimizer steps; 300 and 500 gave the same calibration on real screens of 2k to 3k cells.
    pub steps: usize,
    /// Cells per step.
    pub minibatch: usize,
    /// At most this many cells are fitted; of more, as many are drawn. The fit takes minibatches from far fewer, so that a
    /// screen of any size costs the same memory: chosen by us.
    pub most_cells: usize,
    /// Peak step size of Adam, on components scaled to unit standard deviation.
    pub learning_rate: f64,
}

impl Default for GeneDecoderParams {
    fn default() -> Self {
        Self { target_sum: 1e4, seed: 0, steps: 300, minibatch: 128, most_cells: 50_000, learning_rate: 5e-3 }
    }
}

impl GeneDecoderParams {
    /// Which of so many training cells are fitted, in rising order: all, or as many as may be, drawn with the seed.
    pub fn cells(&self, n_cells: usize) -> Vec<usize> {
        if n_cells <= self.most_cells {
            return (0..n_cells).collect();
        }
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut cells = rand::seq::index::sample(&mut rng, n_cells, self.most_cells).into_vec();
        cells.sort_unstable();
        cells
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`crate::Error::InvalidParameter`] naming the setting that cannot work.
    pub fn check(&self) -> Result<()> {
        if !(self.target_sum > 0.0 && self.target_sum.is_finite()) {
            return refuse("target_sum", self.target_sum, "it must be a positive number of counts");
        }
        if self.steps == 0 {
            return refuse("steps", "0", "at least one step is needed");
        }
        if self.minibatch == 0 {
            return refuse("minibatch", "0", "a step needs at least one cell");
        }
        if self.most_cells == 0 {
            return refuse("most_cells", "0", "at least one cell is needed");
        }
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            return refuse("learning_rate", self.learning_rate, "it must be positive");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_cells_a_fixed_number_is_drawn_and_of_few_none_is_left_out() {
        let params = GeneDecoderParams { most_cells: 100, seed: 3, ..GeneDecoderParams::default() };
        assert_eq!(params.cells(100), (0..100).collect::<Vec<_>>());
        let drawn = params.cells(1000);
        assert!(drawn.len() == 100 && drawn.is_sorted_by(|a, b| a < b) && drawn[99] < 1000);
        assert!(drawn[50] > 300 && drawn[50] < 700, "{drawn:?}");
        assert_eq!(drawn, params.cells(1000));
        assert_ne!(drawn, GeneDecoderParams { seed: 4, ..params }.cells(1000));
    }
}

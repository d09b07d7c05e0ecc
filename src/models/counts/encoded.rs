//! Control cells as a method has encoded them, to be decoded under other conditions.

use std::collections::BTreeMap;

use candle_core::Tensor;
use ndarray::Array2;
use rand::SeedableRng;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::cells::{Batch, CountCells};
use crate::conditions::Condition;
use crate::language::kernels::{alone, values};
use crate::models::source::ControlCells;
use crate::{Error, Result};

/// At most this many control cells are kept per combination of covariates.
const MOST_CELLS: usize = 4096;
/// Cells that are encoded together.
const CELLS: usize = 64;

/// The places of some control cells among training cells, thinned where there are very many.
pub struct EncodedControls {
    rows: Vec<usize>,
    conditions: Vec<Condition>,
}

impl EncodedControls {
    /// Chooses them.
    pub fn choose(conditions: &[Condition], seed: u64) -> Self {
        let mut by_covariates = BTreeMap::<&BTreeMap<String, String>, Vec<usize>>::new();
        for (row, condition) in conditions.iter().enumerate().filter(|(_, one)| one.perturbation.is_control()) {
            by_covariates.entry(&condition.covariates).or_default().push(row);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut chosen = Vec::new();
        for rows in by_covariates.into_values() {
            match rows.len() <= MOST_CELLS {
                true => chosen.extend(rows),
                false => chosen.extend(sample(&mut rng, rows.len(), MOST_CELLS).into_iter().map(|place| rows[place])),
            }
        }
        chosen.sort_unstable();
        Self { conditions: chosen.iter().map(|&row| conditions[row].clone()).collect(), rows: chosen }
    }

    /// Encodes them: `encode` takes cells to (n_cells, n_numbers).
    ///
    /// # Errors
    /// Those of `encode`.
    pub fn encode(
        &self,
        cells: &CountCells,
        encode: impl Fn(&Batch<'_>) -> Result<Tensor> + Sync,
    ) -> Result<ControlCells> {
        let block = |rows: &[usize]| alone(|| Ok(values(&encode(&cells.batch(rows.to_vec()))?)?));
        let blocks: Vec<Vec<f32>> = self.rows.par_chunks(CELLS).map(block).collect::<Result<_>>()?;
        let numbers = blocks.concat();
        let shape = (self.rows.len(), numbers.len() / self.rows.len().max(1));
        let encoded = Array2::from_shape_vec(shape, numbers)
            .map_err(|source| Error::backend("collecting encoded control cells", source))?;
        // All of them are kept: they were thinned when they were chosen.
        Ok(ControlCells::fit(encoded.view(), &self.conditions, 0))
    }
}

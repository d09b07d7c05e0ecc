//! Control cells as a method has encoded them, to be decoded under other conditions.

use candle_core::Tensor;
use ndarray::Array2;
use rayon::prelude::*;

use super::cells::{Batch, CountCells};
use crate::conditions::Condition;
use crate::language::kernels::{alone, values};
use crate::models::source::{ControlCells, MOST_CELLS, control_rows};
use crate::{Error, Result};

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
        let chosen = control_rows(conditions, MOST_CELLS, seed);
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
        Ok(ControlCells::of(encoded.view(), self.conditions.iter()))
    }
}

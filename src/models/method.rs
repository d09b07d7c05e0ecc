//! The door that every method comes through: what it does while it is fitted, and afterwards.

use std::collections::HashMap;

use candle_core::Tensor;
use ndarray::{Array2, ArrayView2};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::reader::{Reader, Told};
use crate::conditions::Condition;
use crate::language::kernels::alone;
use crate::numbers::fill_normal;
use crate::training::Objective;
use crate::training::optimizer::Slot;
use crate::{Error, Result};

/// Rows of a network that are generated together.
const ROWS: usize = 256;

/// How cells are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draws {
    /// Scales the spread of every draw; 1 is the fitted law.
    pub temperature: f32,
}

impl Default for Draws {
    fn default() -> Self {
        Self { temperature: 1.0 }
    }
}

impl Draws {
    /// # Errors
    /// [`Error::InvalidParameter`] for a value that cannot work.
    pub fn check(&self) -> Result<()> {
        if self.temperature >= 0.0 && self.temperature.is_finite() {
            return Ok(());
        }
        Err(Error::InvalidParameter {
            name: "temperature".into(),
            value: self.temperature.to_string(),
            reason: "it must be zero or above".into(),
        })
    }
}

/// A method that is being fitted.
pub trait Fitting: Objective {
    /// The trainable tensors.
    fn slots(&self) -> Vec<Slot>;

    /// What the method reads of conditions.
    fn reader(&self) -> &Reader;

    /// The model as it is now, for generation.
    ///
    /// # Errors
    /// [`Error::BadValues`] if a weight is not finite.
    fn finish(self: Box<Self>) -> Result<Box<dyn FittedMethod>>;
}

/// A fitted method: cells of any condition as principal components.
pub trait FittedMethod: Send + Sync {
    /// The name by which the method is asked for.
    fn name(&self) -> &'static str;

    /// Its choices, for a file.
    ///
    /// # Errors
    /// [`Error::Backend`] if they cannot be written.
    fn params(&self) -> Result<serde_json::Value>;

    /// What it reads of conditions.
    fn reader(&self) -> &Reader;

    /// Its weights.
    fn tensors(&self) -> &HashMap<String, Tensor>;

    /// Generates cells of one condition as principal components: (n_cells, n_dims).
    ///
    /// # Errors
    /// [`Error::UnknownName`] if a component or the covariates never occurred in training; those of [`Draws::check`].
    fn generate(&self, condition: &Condition, n_cells: usize, draws: Draws, seed: u64) -> Result<Array2<f32>>;
}

/// Generates cells of one condition block by block: `solve` takes what is told of the condition and source points
/// (n, n_dims) to cells in flow coordinates, row by row. Every block has random numbers of its own, so that the number of
/// threads changes nothing.
///
/// The number of cells of a block is a multiple of `multiple`, the cells that share a row of the network.
///
/// # Errors
/// Those of the guide, of the reader, and of `solve`.
pub(super) fn generate_in_blocks(
    reader: &Reader,
    condition: &Condition,
    n_cells: usize,
    multiple: usize,
    seed: u64,
    solve: &(dyn Fn(&Told, ArrayView2<f32>, &mut ChaCha8Rng) -> Result<Vec<f32>> + Sync),
) -> Result<Array2<f32>> {
    let view = reader.guide.view(condition)?;
    let told = reader.told(condition, &view)?;
    let n_dims = reader.guide.n_dims();
    let shape = |source| Error::backend("collecting generated cells", source);
    let n_rows = n_cells.div_ceil(multiple);
    let generate = |block: usize| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(block as u64);
        let n = ROWS.min(n_rows - block * ROWS) * multiple;
        let mut x0 = vec![0.0; n * n_dims];
        fill_normal(&mut rng, &mut x0);
        let x0 = ArrayView2::from_shape((n, n_dims), &x0).map_err(shape)?;
        alone(|| solve(&told, x0, &mut rng))
    };
    // Every block keeps to its thread, so that its numbers stay near and nothing waits.
    let blocks: Vec<Vec<f32>> = (0..n_rows.div_ceil(ROWS)).into_par_iter().map(generate).collect::<Result<_>>()?;
    let mut points = blocks.concat();
    points.truncate(n_cells * n_dims);
    let points = Array2::from_shape_vec((n_cells, n_dims), points).map_err(shape)?;
    Ok(reader.guide.restore(points.view(), &view.centre))
}

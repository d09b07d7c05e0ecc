//! The door that every method comes through: what it does while it is fitted, and afterwards.

use std::collections::HashMap;

use candle_core::Tensor;
use ndarray::{Array2, ArrayView2, s};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::reader::{Reader, Told};
use crate::conditions::Condition;
use crate::flow::Solver;
use crate::language::kernels::alone;
use crate::numbers::normal;
use crate::training::Objective;
use crate::training::optimizer::Slot;
use crate::{Error, Result};

/// Rows of a network that are generated together.
const ROWS: usize = 256;
/// The stream of random numbers that control cells are drawn from; blocks take the first ones.
const STREAM_OF_CONTROLS: u64 = u64::MAX - 1;

/// How cells are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draws {
    /// Scales the spread of every draw; 1 is the fitted law.
    pub temperature: f32,
    /// How far from the law of all conditions to that of the condition; 1 is the condition's, more exaggerates it.
    pub guidance: f32,
    /// How a velocity is followed; the method's own way if absent.
    pub solver: Option<Solver>,
}

impl Default for Draws {
    fn default() -> Self {
        Self { temperature: 1.0, guidance: 1.0, solver: None }
    }
}

impl Draws {
    /// # Errors
    /// [`Error::InvalidParameter`] for a value that cannot work.
    pub fn check(&self) -> Result<()> {
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return Err(Error::InvalidParameter {
                name: "temperature".into(),
                value: self.temperature.to_string(),
                reason: "it must be zero or above".into(),
            });
        }
        if !self.guidance.is_finite() {
            return Err(Error::InvalidParameter {
                name: "guidance".into(),
                value: self.guidance.to_string(),
                reason: "it must be finite".into(),
            });
        }
        self.solver.map_or(Ok(()), Solver::check)
    }

    /// Fails if guidance is asked of a method that was fitted without hidden conditions.
    pub(super) fn check_guidance(&self, method: &str, condition_dropout: f64) -> Result<()> {
        if self.guidance == 1.0 || condition_dropout > 0.0 {
            return Ok(());
        }
        Err(Error::InvalidParameter {
            name: "guidance".into(),
            value: self.guidance.to_string(),
            reason: format!("this `{method}` never saw a hidden condition; fit it with --condition-dropout 0.1"),
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
    fn model(&self) -> Result<Box<dyn FittedMethod>>;
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
    solve: impl Fn(&Told, ArrayView2<f32>, &mut ChaCha8Rng) -> Result<Vec<f32>> + Sync,
) -> Result<Array2<f32>> {
    let view = reader.guide.view(condition)?;
    let told = reader.told(condition, &view)?;
    let n_dims = reader.guide.n_dims();
    let shape = |source| Error::backend("collecting generated cells", source);
    let n_rows = n_cells.div_ceil(multiple);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(STREAM_OF_CONTROLS);
    let controls = reader.matched_controls(condition, &view.centre, n_rows * multiple, &mut rng)?;
    let generate = |block: usize| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(block as u64);
        let (start, n) = (block * ROWS * multiple, ROWS.min(n_rows - block * ROWS) * multiple);
        let x0 = match &controls {
            Some(controls) => controls.slice(s![start..start + n, ..]).to_owned(),
            None => normal(n, n_dims, &mut rng),
        };
        alone(|| solve(&told, x0.view(), &mut rng))
    };
    // Every block keeps to its thread, so that its numbers stay near and nothing waits.
    let blocks: Vec<Vec<f32>> = (0..n_rows.div_ceil(ROWS)).into_par_iter().map(generate).collect::<Result<_>>()?;
    let mut points = blocks.concat();
    points.truncate(n_cells * n_dims);
    let points = Array2::from_shape_vec((n_cells, n_dims), points).map_err(shape)?;
    Ok(reader.guide.restore(points.view(), &view.centre))
}

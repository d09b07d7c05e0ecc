//! The door that every method comes through: what it does while it is fitted, and afterwards.

use std::collections::HashMap;

use candle_core::Tensor;
use ndarray::{Array1, Array2, ArrayView2, s};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::anchor::Anchor;
use super::guide::Guide;
use super::reader::{Reader, Told};
use crate::conditions::Condition;
use crate::error::refuse;
use crate::flow::Solver;
use crate::language::kernels::alone;
use crate::numbers::normal;
use crate::training::Objective;
use crate::training::optimizer::Slot;
use crate::{Error, Result};

/// Rows of a network that are generated together.
const ROWS: usize = 256;
/// Cells that tell where a flow puts a condition.
const N_MEASURED: usize = 2048;
/// Their streams of random numbers begin here.
const FIRST_STREAM_OF_MEASURED: u64 = 1 << 40;
/// The stream of random numbers that control cells are drawn from; blocks take the first ones.
const STREAM_OF_CONTROLS: u64 = u64::MAX - 1;

/// How cells are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draws {
    /// Scales the spread of every draw; 1 is the fitted law.
    pub temperature: f32,
    /// How far from the law of all conditions to that of the condition; 1 is the condition's, more exaggerates it.
    pub guidance: f32,
    /// How far the cells' mean and spread are drawn from the flow's own (0) towards the estimate of the condition's mean and
    /// the spread of its controls (1); the method's own choice if absent.
    pub anchor: Option<f32>,
    /// How a velocity is followed; the method's own way if absent.
    pub solver: Option<Solver>,
}

impl Default for Draws {
    fn default() -> Self {
        Self { temperature: 1.0, guidance: 1.0, anchor: None, solver: None }
    }
}

impl Draws {
    /// # Errors
    /// [`Error::InvalidParameter`] for a value that cannot work.
    pub fn check(&self) -> Result<()> {
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return refuse("temperature", self.temperature, "it must be zero or above");
        }
        if !self.guidance.is_finite() {
            return refuse("guidance", self.guidance, "it must be finite");
        }
        if let Some(anchor) = self.anchor.filter(|anchor| !(0.0..=1.0).contains(anchor)) {
            return refuse("anchor", anchor, "it must be between 0 and 1");
        }
        self.solver.map_or(Ok(()), Solver::check)
    }

    /// Fails if cells are to be drawn towards an estimate that is not there.
    pub(super) fn check_anchor(&self, method: &str, guide: &Guide) -> Result<()> {
        match self.anchor {
            Some(anchor) if anchor > 0.0 && !guide.has_estimates() => refuse(
                "anchor",
                anchor,
                &format!("this `{method}` has no estimate of a condition's mean; fit it with --centre interaction"),
            ),
            _ => Ok(()),
        }
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
/// With an anchor the cells are moved and stretched as one ([`Anchor`]); without estimates
/// ([`super::guide::Centre::None`]) they stay.
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
    draws: Draws,
    seed: u64,
    solve: impl Fn(&Told, ArrayView2<f32>, Draws, &mut ChaCha8Rng) -> Result<Vec<f32>> + Sync,
) -> Result<Array2<f32>> {
    let view = reader.guide.view(condition)?;
    let told = reader.told(condition, &view)?;
    let draw = |n_cells: usize, draws: Draws, seed: u64, first_stream: u64| {
        let source = SourcePoints { reader, condition, centre: &view.centre, multiple, seed, first_stream };
        source.solve(n_cells, |x0, rng| solve(&told, x0, draws, rng))
    };
    let mut points = draw(n_cells, draws, seed, 0)?;
    let anchor = draws.anchor.unwrap_or(0.0);
    if anchor > 0.0 && reader.guide.has_estimates() {
        // Cells of their own and of the fitted law, the same whatever is asked for: every block of a file is moved alike.
        let fitted = Draws { solver: draws.solver, ..Draws::default() };
        let measured = draw(N_MEASURED, fitted, 0, FIRST_STREAM_OF_MEASURED)?;
        points = Anchor::measure(measured, &reader.guide, condition, anchor).draw(points.view());
    }
    Ok(reader.guide.standard().restore(points.view(), &view.centre))
}

/// Where flows of a condition start, and what their random numbers are.
struct SourcePoints<'a> {
    reader: &'a Reader,
    condition: &'a Condition,
    centre: &'a Array1<f32>,
    multiple: usize,
    seed: u64,
    first_stream: u64,
}

impl SourcePoints<'_> {
    /// Carries source points to cells in flow coordinates: (n_cells, n_dims).
    fn solve(
        &self,
        n_cells: usize,
        solve: impl Fn(ArrayView2<f32>, &mut ChaCha8Rng) -> Result<Vec<f32>> + Sync,
    ) -> Result<Array2<f32>> {
        let n_dims = self.reader.guide.n_dims();
        let n_rows = n_cells.div_ceil(self.multiple);
        let rng = |stream: u64| {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(self.first_stream.wrapping_add(stream));
            rng
        };
        let n_points = n_rows * self.multiple;
        let controls =
            self.reader.matched_controls(self.condition, self.centre, n_points, &mut rng(STREAM_OF_CONTROLS))?;
        let generate = |block: usize| {
            let mut rng = rng(block as u64);
            let (start, n) = (block * ROWS * self.multiple, ROWS.min(n_rows - block * ROWS) * self.multiple);
            let x0 = match &controls {
                Some(controls) => controls.slice(s![start..start + n, ..]).to_owned(),
                None => normal(n, n_dims, &mut rng),
            };
            alone(|| solve(x0.view(), &mut rng))
        };
        // Every block keeps to its thread, so that its numbers stay near and nothing waits.
        let blocks: Vec<Vec<f32>> = (0..n_rows.div_ceil(ROWS)).into_par_iter().map(generate).collect::<Result<_>>()?;
        let mut points = blocks.concat();
        points.truncate(n_cells * n_dims);
        Array2::from_shape_vec((n_cells, n_dims), points)
            .map_err(|source| Error::backend("collecting generated cells", source))
    }
}

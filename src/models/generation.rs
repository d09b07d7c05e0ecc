//! Cells of one condition from the networks of a flow, block by block.

use std::sync::{Arc, Mutex, PoisonError};

use ndarray::{Array2, ArrayView2, Axis, concatenate, s};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::anchor::Anchor;
use super::guide::View;
use super::method::Draws;
use super::reader::{Reader, Told};
use crate::conditions::Condition;
use crate::flow::Solver;
use crate::language::kernels::alone;
use crate::numbers::normal;
use crate::{Error, Result};

/// Rows of a network that are generated together, at most.
const ROWS: usize = 256;
/// Cells that tell where a flow puts a condition.
const N_MEASURED: usize = 2048;
/// Their streams of random numbers begin here.
const FIRST_STREAM_OF_MEASURED: u64 = 1 << 40;
/// The stream of random numbers that control cells are drawn from; blocks take the first ones.
const STREAM_OF_CONTROLS: u64 = u64::MAX - 1;

/// The networks of a fitted flow, and what they are asked for.
pub(super) struct Generation<'a, N> {
    pub(super) reader: &'a Reader,
    /// One or more, fitted side by side.
    pub(super) networks: &'a [N],
    pub(super) condition: &'a Condition,
    /// Cells that share a row of a network; the number of cells of a block is a multiple of it.
    pub(super) multiple: usize,
    pub(super) draws: Draws,
    pub(super) anchors: &'a Anchors,
}

impl<N: Sync> Generation<'_, N> {
    /// Generates cells as principal components: (n_cells, n_dims). `solve` takes a network, what is told of the condition, and
    /// source points (n, n_dims) to cells in flow coordinates, row by row. The networks take blocks of cells in turn; every
    /// block has random numbers of its own, so that the number of threads changes nothing.
    ///
    /// With an anchor, or several networks, the cells of each network are moved and stretched as one ([`Anchor`]); without
    /// estimates ([`super::guide::Centre::None`]) there is no anchor.
    ///
    /// # Errors
    /// Those of the guide, of the reader, and of `solve`.
    pub(super) fn cells(
        &self,
        n_cells: usize,
        seed: u64,
        solve: impl Fn(&N, &Told, ArrayView2<f32>, Draws, &mut ChaCha8Rng) -> Result<Vec<f32>> + Sync,
    ) -> Result<Array2<f32>> {
        let (guide, n_members) = (&self.reader.guide, self.networks.len());
        let view = guide.view(self.condition)?;
        let told = self.reader.told(self.condition, &view)?;
        let draw = |n_cells: usize, draws: Draws, streams: Streams| {
            let solve =
                |member: usize, x0: ArrayView2<f32>, rng: &mut _| solve(&self.networks[member], &told, x0, draws, rng);
            self.blocks(n_cells, &view, streams, solve)
        };
        let mut blocks = draw(n_cells, self.draws, Streams { seed, first: 0 })?;
        let share = self.draws.anchor.filter(|_| guide.has_estimates()).unwrap_or(0.0);
        if share > 0.0 || n_members > 1 {
            // Cells of their own and of the fitted law, the same whatever is asked for: every block of a file is moved alike.
            let anchor = self.anchors.of(self.condition, share, self.draws.solver, || {
                let fitted = Draws { solver: self.draws.solver, ..Draws::default() };
                let measured = draw(N_MEASURED, fitted, Streams { seed: 0, first: FIRST_STREAM_OF_MEASURED })?;
                let of_member = |member: usize| join(measured.iter().skip(member).step_by(n_members));
                let measured = (0..n_members).map(of_member).collect::<Result<_>>()?;
                Ok(Anchor::measure(measured, guide, self.condition, share))
            })?;
            let of_block = |(block, cells): (usize, &Array2<f32>)| anchor.draw(block % n_members, cells.view());
            blocks = blocks.iter().enumerate().map(of_block).collect();
        }
        let points = join(blocks.iter())?;
        Ok(guide.standard().restore(points.slice(s![..n_cells, ..]), &view.centre))
    }

    /// Carries source points to at least `n_cells` cells in flow coordinates, in blocks (n, n_dims) of equal size that the
    /// networks take in turn, at least one for each.
    fn blocks(
        &self,
        n_cells: usize,
        view: &View,
        streams: Streams,
        solve: impl Fn(usize, ArrayView2<f32>, &mut ChaCha8Rng) -> Result<Vec<f32>> + Sync,
    ) -> Result<Vec<Array2<f32>>> {
        let (n_dims, n_members) = (self.reader.guide.n_dims(), self.networks.len());
        let n_rows = n_cells.div_ceil(self.multiple);
        let n_blocks = n_rows.div_ceil(ROWS).max(1).next_multiple_of(n_members);
        let n = n_rows.div_ceil(n_blocks) * self.multiple;
        let mut rng = streams.rng(STREAM_OF_CONTROLS);
        let controls = self.reader.matched_controls(self.condition, &view.centre, n_blocks * n, &mut rng)?;
        let generate = |block: usize| {
            let mut rng = streams.rng(block as u64);
            let x0 = match &controls {
                Some(controls) => controls.slice(s![block * n..(block + 1) * n, ..]).to_owned(),
                None => normal(n, n_dims, &mut rng),
            };
            let points = alone(|| solve(block % n_members, x0.view(), &mut rng))?;
            Array2::from_shape_vec((n, n_dims), points)
                .map_err(|source| Error::backend("collecting generated cells", source))
        };
        // Every block keeps to its thread, so that its numbers stay near and nothing waits.
        (0..n_blocks).into_par_iter().map(generate).collect()
    }
}

/// What an anchor depends on beside the networks.
type Question = (Condition, f32, Option<Solver>);

/// The anchor that was asked for last: all blocks of a condition need the same one, and one condition comes after the other.
#[derive(Default)]
pub(super) struct Anchors(Mutex<Option<(Question, Arc<Anchor>)>>);

impl Anchors {
    /// The anchor of a condition, measured unless it is the last one.
    fn of(
        &self,
        condition: &Condition,
        share: f32,
        solver: Option<Solver>,
        measure: impl FnOnce() -> Result<Anchor>,
    ) -> Result<Arc<Anchor>> {
        let question = (condition.clone(), share, solver);
        // The lock is not held while it is measured: threads of the measurement may ask for cells of another condition.
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, anchor)) = last.filter(|(known, _)| *known == question) {
            return Ok(anchor);
        }
        let anchor = Arc::new(measure()?);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((question, anchor.clone()));
        Ok(anchor)
    }
}

/// Random numbers of a seed: the streams from `first` on.
#[derive(Clone, Copy)]
struct Streams {
    seed: u64,
    first: u64,
}

impl Streams {
    fn rng(self, stream: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(self.first.wrapping_add(stream));
        rng
    }
}

/// The rows of all blocks, one after the other.
fn join<'a>(blocks: impl Iterator<Item = &'a Array2<f32>>) -> Result<Array2<f32>> {
    let blocks: Vec<_> = blocks.map(Array2::view).collect();
    concatenate(Axis(0), &blocks).map_err(|source| Error::backend("collecting generated cells", source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::coordinates::Coordinates;
    use crate::models::guide::{Centre, Guide};
    use crate::models::trial;

    #[test]
    fn an_anchor_is_measured_once_for_all_blocks_of_a_condition() {
        let (points, conditions) = trial::cells();
        let guide =
            Guide::fit(points.view(), &conditions, Centre::Additive, Coordinates::Scaled, &Default::default(), None, 0)
                .unwrap();
        let (anchors, n_measured) = (Anchors::default(), std::cell::Cell::new(0));
        let ask = |text: &str, share: f32, solver| {
            let condition = trial::condition(text);
            let measure = || {
                n_measured.set(n_measured.get() + 1);
                Ok(Anchor::measure(vec![Array2::zeros((3, guide.n_dims()))], &guide, &condition, share))
            };
            anchors.of(&condition, share, solver, measure).unwrap();
            n_measured.get()
        };
        let euler = Some(Solver::Euler { n_steps: 3 });
        let asked =
            [ask("A", 0.5, None), ask("A", 0.5, None), ask("B", 0.5, None), ask("B", 0.2, None), ask("B", 0.2, euler)];
        assert_eq!(asked, [1, 1, 2, 3, 4]);
    }
}

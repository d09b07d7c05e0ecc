//! Distances on a map: cells as UMAP places them in the plane, where the paper's pictures and some of its numbers are.

use ndarray::{Array2, ArrayView2, Axis};

use super::{energy, mmd, wasserstein};
use crate::embedding::umap::{Umap, UmapParams};
use crate::metrics::distances::choose;
use crate::metrics::outcome::{Found, Outcome};

/// At most this many training cells make the map.
pub const MOST_CELLS: usize = 3000;
/// Neighbours of a cell, with itself.
pub const N_NEIGHBORS: usize = 15;

/// A map of training cells, at most [`MOST_CELLS`] of them, or why there is none.
///
/// **Shapes** `training`: (n_cells, n_components).
pub fn of_training_cells(training: ArrayView2<f32>, seed: u64) -> Found<Umap> {
    let chosen = choose(training.nrows(), MOST_CELLS, seed ^ 15);
    let params = UmapParams { seed, ..UmapParams::default() };
    Umap::fit(training.select(Axis(0), &chosen), N_NEIGHBORS, params).map_err(|error| error.line())
}

/// Real cells of a condition on the map. They find their places like generated cells, so that equal cells have equal places.
pub struct OnMap<'a> {
    umap: &'a Umap,
    /// (n_cells, 2).
    real: Array2<f32>,
    /// Width of the kernel.
    pub gamma: f64,
}

impl<'a> OnMap<'a> {
    /// Places real cells, (n_cells, n_components); the width of the kernel is theirs if absent.
    pub fn new(umap: &'a Found<Umap>, real: ArrayView2<f32>, gamma: Option<f64>) -> Found<Self> {
        let umap = umap.as_ref().map_err(Clone::clone)?;
        let placed = umap.transform(real).and_then(|real| {
            let gamma = gamma.map_or_else(|| mmd::gamma_median(real.view()), Ok)?;
            Ok(Self { umap, real, gamma })
        });
        placed.map_err(|error| error.line())
    }

    /// Holds generated cells, (n_cells, n_components), against the real ones.
    pub fn score(found: &Found<Self>, generated: ArrayView2<f32>, outcome: &mut Outcome) {
        let both = found.as_ref().map_err(Clone::clone).and_then(|on_map| {
            let generated = on_map.umap.transform(generated).map_err(|error| error.line())?;
            Ok((on_map, generated))
        });
        outcome.keep_if("edist_l2_umap", &both, |(here, places)| energy::energy(here.real.view(), places.view()));
        outcome.keep_if("mmd2_rbf_median_umap", &both, |(here, places)| {
            mmd::mmd2_rbf(here.real.view(), places.view(), here.gamma)
        });
        outcome
            .keep_if("w2_exact_umap", &both, |(here, places)| wasserstein::w2_exact(here.real.view(), places.view()));
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::numbers::normal;

    #[test]
    fn cells_of_one_law_lie_together_and_others_apart() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut cells = |n: usize, shift: f32| {
            let mut cells = normal(n, 8, &mut rng);
            cells.column_mut(0).mapv_inplace(|value| value + shift);
            cells
        };
        let (here, there) = (cells(200, 0.0), cells(200, 12.0));
        let training = ndarray::concatenate(Axis(0), &[here.view(), there.view()]).unwrap();
        let umap = of_training_cells(training.view(), 0);
        let found = OnMap::new(&umap, cells(100, 0.0).view(), None);
        let score = |generated: Array2<f32>| {
            let mut outcome = Outcome::default();
            OnMap::score(&found, generated.view(), &mut outcome);
            outcome.values
        };
        let (like, unlike) = (score(cells(100, 0.0)), score(cells(100, 12.0)));
        for (name, value) in &unlike {
            assert!(like[name] < 0.2 * value, "{name}: {} {value}", like[name]);
        }
        assert_eq!((like.len(), unlike.len()), (3, 3));
        let few = of_training_cells(training.slice(ndarray::s![..5, ..]), 0);
        assert!(OnMap::new(&few, here.view(), None).err().unwrap().contains("neighbours"));
    }
}

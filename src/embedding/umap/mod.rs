//! Uniform manifold approximation and projection: a map of cells in the plane, to be looked at.

mod curve;
mod forces;
mod draws;
mod layout;
mod transform;

use ndarray::{Array2, ArrayView2, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use self::curve::Curve;
use self::forces::Forces;
use super::fuzzy::FuzzyGraph;
use super::neighbors::Neighbors;
use crate::{Error, Result};

/// How the map is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UmapParams {
    /// Distance below which points may lie as close as they like.
    pub min_dist: f64,
    /// Scale of the map.
    pub spread: f64,
    /// Passes over the edges.
    pub n_epochs: usize,
    /// Points pushed away for every pair drawn together.
    pub n_negative: usize,
    /// Seed.
    pub seed: u64,
}

impl Default for UmapParams {
    fn default() -> Self {
        Self { min_dist: 0.5, spread: 1.0, n_epochs: 300, n_negative: 5, seed: 0 }
    }
}

impl UmapParams {
    /// The defaults for so many points: beyond 10,000, fewer passes do, as in umap-learn.
    pub fn for_points(n_points: usize) -> Self {
        Self { n_epochs: if n_points > 10_000 { 200 } else { 500 }, ..Self::default() }
    }

    /// a and b of the curve 1/(1 + a d^2b).
    pub fn curve(&self) -> (f64, f64) {
        Curve::fit(self.min_dist, self.spread).parameters()
    }
}

/// A map that new points find their place on.
#[derive(Debug, Clone)]
pub struct Umap {
    /// The points that were laid out: (n_points, n_dims).
    points: Array2<f32>,
    /// Where they lie: (n_points, 2).
    map: Array2<f32>,
    n_neighbors: usize,
    params: UmapParams,
    forces: Forces,
}

impl Umap {
    /// Lays points out by their neighbours.
    ///
    /// **Shapes** `points`: (n_points, n_dims), usually principal components.
    ///
    /// # Errors
    /// Those of [`Neighbors::exact`] and [`umap`].
    pub fn fit(points: Array2<f32>, n_neighbors: usize, params: UmapParams) -> Result<Self> {
        let graph = FuzzyGraph::new(&Neighbors::exact(points.view(), n_neighbors)?);
        let map = umap(&graph, points.view(), &params)?;
        let forces = Forces::new(Curve::fit(params.min_dist, params.spread));
        Ok(Self { points, map, n_neighbors, params, forces })
    }

    /// Where the fitted points lie: (n_points, 2).
    pub fn map(&self) -> ArrayView2<'_, f32> {
        self.map.view()
    }
}

/// Lays the graph out in the plane: (n_points, 2).
///
/// Stochastic gradient descent on the fuzzy cross entropy between the graph and 1/(1 + a d^2b), with negative sampling
/// (McInnes, Healy & Melville 2018, arXiv 1802.03426, algorithm 5), from the two widest columns of `points`. The same
/// seed gives the same map with any number of threads.
///
/// **Shapes** `points`: (n_points, n_dims), usually principal components.
///
/// # Errors
/// [`Error::ShapeMismatch`] if graph and points differ in number, or the points have fewer than two columns.
pub fn umap(graph: &FuzzyGraph, points: ArrayView2<f32>, params: &UmapParams) -> Result<Array2<f32>> {
    let n_points = graph.n_points();
    if points.nrows() != n_points || points.ncols() < 2 {
        return Err(Error::ShapeMismatch {
            what: "points of the map".into(),
            expected: format!("{n_points} × at least 2"),
            got: format!("{} × {}", points.nrows(), points.ncols()),
        });
    }
    let mut map = start(points, &mut ChaCha8Rng::seed_from_u64(params.seed));
    let forces = Forces::new(Curve::fit(params.min_dist, params.spread));
    layout::descend(&mut map, graph, &forces, params);
    Ok(Array2::from_shape_fn((n_points, 2), |(row, axis)| map[row][axis]))
}

/// The two columns of greatest variance, scaled to ±10, with a little noise so that no two points coincide.
fn start(points: ArrayView2<f32>, rng: &mut ChaCha8Rng) -> Vec<[f32; 2]> {
    let variances = points.mapv(f64::from).var_axis(Axis(0), 0.0);
    let mut columns: Vec<usize> = (0..points.ncols()).collect();
    columns.sort_by(|&i, &j| variances[j].total_cmp(&variances[i]).then(i.cmp(&j)));
    let chosen = points.select(Axis(1), &columns[..2]).mapv(f64::from);
    let greatest = chosen.iter().fold(0.0_f64, |most, value| most.max(value.abs())).max(f64::MIN_POSITIVE);
    let mut noise = || {
        let draw: f64 = StandardNormal.sample(rng);
        1e-4 * draw
    };
    chosen.rows().into_iter().map(|row| [0, 1].map(|axis| (10.0 * row[axis] / greatest + noise()) as f32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedding::neighbors::Neighbors;

    #[test]
    fn neighbours_in_well_separated_blobs_stay_neighbours() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let points = Array2::from_shape_fn((400, 8), |(row, column)| {
            let noise: f32 = StandardNormal.sample(&mut rng);
            noise + if row % 4 == column { 12.0 } else { 0.0 }
        });
        let graph = FuzzyGraph::new(&Neighbors::exact(points.view(), 15).unwrap());
        let params = UmapParams::default();
        let map = umap(&graph, points.view(), &params).unwrap();
        for n_threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            assert_eq!(map, pool.install(|| umap(&graph, points.view(), &params).unwrap()));
        }
        // The nearest point on the map is of the same blob.
        let nearest = Neighbors::exact(map.view(), 2).unwrap().indices;
        assert!(nearest.column(0).iter().enumerate().all(|(row, other)| row % 4 == other % 4));
    }
}

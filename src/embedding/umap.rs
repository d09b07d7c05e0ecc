//! Uniform manifold approximation and projection: a map of cells in the plane, to be looked at.

use ndarray::{Array2, ArrayView2, Axis};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::fuzzy::FuzzyGraph;
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

/// Lays the graph out in the plane: (n_points, 2).
///
/// Stochastic gradient descent on the fuzzy cross entropy between the graph and 1/(1 + a d^2b), with negative sampling
/// (McInnes, Healy & Melville 2018, arXiv 1802.03426, algorithm 5), from the two widest columns of `points`. One
/// thread, so that the same seed gives the same map.
///
/// **Shapes** `points`: (n_points, n_dims), usually principal components.
///
/// # Errors
/// [`Error::ShapeMismatch`] if graph and points differ in number, or the points have fewer than two columns.
pub fn umap(graph: &FuzzyGraph, points: ArrayView2<f32>, params: &UmapParams) -> Result<Array2<f32>> {
    let n_points = graph.n_points;
    if points.nrows() != n_points || points.ncols() < 2 {
        return Err(Error::ShapeMismatch {
            what: "points of the map".into(),
            expected: format!("{n_points} × at least 2"),
            got: format!("{} × {}", points.nrows(), points.ncols()),
        });
    }
    let (a, b) = curve(params.min_dist, params.spread);
    let mut rng = ChaCha8Rng::seed_from_u64(params.seed);
    let mut map = start(points, &mut rng);
    let greatest = graph.edges.iter().map(|edge| edge.2).fold(0.0_f32, f32::max);
    let threshold = greatest / params.n_epochs as f32;
    let edges: Vec<(usize, usize, f64)> = graph
        .edges
        .iter()
        .filter(|edge| edge.2 >= threshold)
        .flat_map(|&(i, j, weight)| [(i, j, weight), (j, i, weight)])
        .map(|(i, j, weight)| (i, j, f64::from(greatest / weight)))
        .collect();
    let mut due: Vec<f64> = edges.iter().map(|edge| edge.2).collect();
    for epoch in 0..params.n_epochs {
        let rate = 1.0 - epoch as f64 / params.n_epochs as f64;
        for (&(i, j, period), due) in edges.iter().zip(&mut due) {
            if *due > (epoch + 1) as f64 {
                continue;
            }
            *due += period;
            let (gap, squared) = gap(&map, i, j);
            if squared > 0.0 {
                let power = squared.powf(b);
                let pull = -2.0 * a * b * power / squared / (1.0 + a * power);
                for axis in 0..2 {
                    let step = (pull * gap[axis]).clamp(-4.0, 4.0) * rate;
                    map[i][axis] += step;
                    map[j][axis] -= step;
                }
            }
            for _ in 0..params.n_negative {
                let other = rng.random_range(0..n_points);
                if other == i {
                    continue;
                }
                let (gap, squared) = self::gap(&map, i, other);
                if squared > 0.0 {
                    let push = 2.0 * b / ((0.001 + squared) * (1.0 + a * squared.powf(b)));
                    for axis in 0..2 {
                        map[i][axis] += (push * gap[axis]).clamp(-4.0, 4.0) * rate;
                    }
                }
            }
        }
    }
    Ok(Array2::from_shape_fn((n_points, 2), |(row, axis)| map[row][axis] as f32))
}

fn gap(map: &[[f64; 2]], i: usize, j: usize) -> ([f64; 2], f64) {
    let gap = [map[i][0] - map[j][0], map[i][1] - map[j][1]];
    (gap, gap[0] * gap[0] + gap[1] * gap[1])
}

/// The two columns of greatest variance, scaled to ±10, with a little noise so that no two points coincide.
fn start(points: ArrayView2<f32>, rng: &mut ChaCha8Rng) -> Vec<[f64; 2]> {
    let variances = points.mapv(f64::from).var_axis(Axis(0), 0.0);
    let mut columns: Vec<usize> = (0..points.ncols()).collect();
    columns.sort_by(|&i, &j| variances[j].total_cmp(&variances[i]).then(i.cmp(&j)));
    let chosen = points.select(Axis(1), &columns[..2]).mapv(f64::from);
    let greatest = chosen.iter().fold(0.0_f64, |most, value| most.max(value.abs())).max(f64::MIN_POSITIVE);
    let mut noise = || {
        let draw: f64 = StandardNormal.sample(rng);
        1e-4 * draw
    };
    chosen.rows().into_iter().map(|row| [0, 1].map(|axis| 10.0 * row[axis] / greatest + noise())).collect()
}

/// Fits 1/(1 + a x^2b) to the curve that is 1 up to `min_dist` and falls as exp(−(x − min_dist)/spread) after it, by
/// damped Gauss–Newton steps on 300 points of [0, 3 spread]: (a, b).
fn curve(min_dist: f64, spread: f64) -> (f64, f64) {
    let xs: Vec<f64> = (1..300).map(|i| 3.0 * spread * f64::from(i) / 299.0).collect();
    let target = |x: f64| if x < min_dist { 1.0 } else { (-(x - min_dist) / spread).exp() };
    let loss =
        |a: f64, b: f64| -> f64 { xs.iter().map(|&x| (1.0 / (1.0 + a * x.powf(2.0 * b)) - target(x)).powi(2)).sum() };
    let (mut a, mut b, mut damping) = (1.0_f64, 1.0_f64, 1e-3_f64);
    for _ in 0..200 {
        let (mut aa, mut ab, mut bb, mut ga, mut gb) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for &x in &xs {
            let power = x.powf(2.0 * b);
            let value = 1.0 / (1.0 + a * power);
            let (da, db) = (-power * value * value, -2.0 * a * power * x.ln() * value * value);
            let residual = value - target(x);
            aa += da * da;
            ab += da * db;
            bb += db * db;
            ga += da * residual;
            gb += db * residual;
        }
        let (p, q) = (aa * (1.0 + damping), bb * (1.0 + damping));
        let determinant = p * q - ab * ab;
        let (next_a, next_b) = (a - (q * ga - ab * gb) / determinant, b - (p * gb - ab * ga) / determinant);
        if next_a > 0.0 && next_b > 0.0 && loss(next_a, next_b) <= loss(a, b) {
            (a, b, damping) = (next_a, next_b, damping / 3.0);
        } else {
            damping *= 3.0;
        }
    }
    (a, b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedding::neighbors::Neighbors;

    #[test]
    fn the_curve_has_the_parameters_of_umap_learn() {
        // scipy.optimize.curve_fit, as umap-learn does it, gives 0.58303 and 1.33417.
        let (a, b) = curve(0.5, 1.0);
        assert!((a - 0.5830).abs() < 2e-3 && (b - 1.3342).abs() < 2e-3, "{a} {b}");
    }

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
        assert_eq!(map, umap(&graph, points.view(), &params).unwrap());
        let trust = trustworthiness(points.view(), map.view(), 15);
        assert!(trust > 0.9, "{trust}");
    }

    /// 1 − 2/(n k (2n − 3k − 1)) Σ_i Σ_{j among the k nearest on the map} max(0, rank of j in space − k).
    fn trustworthiness(space: ArrayView2<f32>, map: ArrayView2<f32>, k: usize) -> f64 {
        let n = space.nrows();
        let in_space = Neighbors::exact(space, n - 1).unwrap();
        let on_map = Neighbors::exact(map, k).unwrap();
        let mut penalty = 0;
        for i in 0..n {
            for j in on_map.indices.row(i) {
                let rank = in_space.indices.row(i).iter().position(|other| other == j).unwrap() + 1;
                penalty += rank.saturating_sub(k);
            }
        }
        1.0 - 2.0 / ((n * k) as f64 * (2.0 * n as f64 - 3.0 * k as f64 - 1.0)) * penalty as f64
    }
}

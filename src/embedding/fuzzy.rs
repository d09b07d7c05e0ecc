//! The fuzzy neighbour graph that UMAP and scanpy use.

use std::collections::BTreeMap;

use super::neighbors::Neighbors;

/// Steps of the bisection for each point's bandwidth.
const N_BISECTIONS: usize = 64;

/// A weighted undirected graph; every edge is listed once, with the smaller position first, in rising order.
#[derive(Debug, Clone, PartialEq)]
pub struct FuzzyGraph {
    /// Number of points.
    pub n_points: usize,
    /// (point, point, weight in (0, 1]).
    pub edges: Vec<(usize, usize, f32)>,
}

impl FuzzyGraph {
    /// Turns distances into membership strengths.
    ///
    /// w_ij = exp(−max(0, d_ij − ρ_i)/σ_i), ρ_i the smallest distance above zero, σ_i such that Σ_j w_ij = log₂ k; the
    /// two directions unite as w_ij + w_ji − w_ij w_ji (McInnes, Healy & Melville 2018, arXiv 1802.03426, §3.1). As in
    /// umap-learn and scanpy, k counts the point itself, which is not among the j.
    pub fn new(neighbors: &Neighbors) -> Self {
        let k = neighbors.distances.ncols() + 1;
        let mean_of_all = f64::from(neighbors.distances.sum()) / (neighbors.distances.nrows() * k) as f64;
        let mut directed = BTreeMap::<(usize, usize), (f64, f64)>::new();
        for (point, (others, distances)) in
            neighbors.indices.rows().into_iter().zip(neighbors.distances.rows()).enumerate()
        {
            let distances: Vec<f64> = distances.iter().map(|&distance| f64::from(distance)).collect();
            let nearest = distances.iter().copied().find(|&distance| distance > 0.0).unwrap_or(0.0);
            let bandwidth = bandwidth(&distances, nearest, k, mean_of_all);
            for (&other, &distance) in others.iter().zip(&distances) {
                let weight = membership(distance, nearest, bandwidth);
                let pair = directed.entry((point.min(other), point.max(other))).or_default();
                if point < other { pair.0 = weight } else { pair.1 = weight }
            }
        }
        let edges = directed
            .into_iter()
            .map(|((first, second), (there, back))| (first, second, (there + back - there * back) as f32))
            .filter(|edge| edge.2 > 0.0)
            .collect();
        Self { n_points: neighbors.indices.nrows(), edges }
    }
}

/// How much a point that is none of them belongs to its neighbours: exp(−d/σ), σ such that they sum to log₂ k.
pub(super) fn memberships(distances: &[f64]) -> Vec<f64> {
    let k = distances.len();
    let bandwidth = bandwidth(distances, 0.0, k, distances.iter().sum::<f64>() / k as f64);
    distances.iter().map(|&distance| membership(distance, 0.0, bandwidth)).collect()
}

fn membership(distance: f64, nearest: f64, bandwidth: f64) -> f64 {
    if distance <= nearest { 1.0 } else { (-(distance - nearest) / bandwidth).exp() }
}

/// σ such that the memberships sum to log₂ k.
fn bandwidth(distances: &[f64], nearest: f64, k: usize, mean_of_all: f64) -> f64 {
    let target = (k as f64).log2();
    let (mut low, mut high, mut middle) = (0.0, f64::INFINITY, 1.0);
    for _ in 0..N_BISECTIONS {
        let sum: f64 = distances.iter().map(|&distance| membership(distance, nearest, middle)).sum();
        if (sum - target).abs() < 1e-5 {
            break;
        }
        if sum > target {
            high = middle;
            middle = (low + high) / 2.0;
        } else {
            low = middle;
            middle = if high.is_infinite() { middle * 2.0 } else { (low + high) / 2.0 };
        }
    }
    // Many equal distances would drive the bandwidth to zero; UMAP keeps it above a thousandth of the mean distance.
    let mean = distances.iter().sum::<f64>() / k as f64;
    let smallest = 1e-3 * if nearest > 0.0 { mean } else { mean_of_all };
    middle.max(smallest).max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memberships_of_a_point_sum_to_log2_of_k() {
        let distances: Vec<f64> = (1..=16).map(f64::from).collect();
        let sigma = bandwidth(&distances, 1.0, 16, 8.5);
        let sum: f64 = distances.iter().map(|&distance| membership(distance, 1.0, sigma)).sum();
        assert!((sum - 4.0).abs() < 1e-4);
    }
}

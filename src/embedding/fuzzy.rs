//! The fuzzy neighbour graph that UMAP and scanpy use.

use std::cmp::Ordering;

use rayon::prelude::*;

use super::neighbors::Neighbors;

/// Steps of the bisection for each point's bandwidth.
const N_BISECTIONS: usize = 64;
/// Points whose rows are made by a thread before it takes others.
const BLOCK: usize = 1024;

/// A weighted undirected graph, as the rows of a symmetric sparse matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct FuzzyGraph {
    /// Where each row begins; one more at the end.
    starts: Vec<usize>,
    /// The other points of each row, in rising order.
    others: Vec<u32>,
    /// Weights in (0, 1].
    weights: Vec<f32>,
}

impl FuzzyGraph {
    /// Turns distances into membership strengths.
    ///
    /// w_ij = exp(−max(0, d_ij − ρ_i)/σ_i), ρ_i the smallest distance above zero, σ_i such that Σ_j w_ij = log₂ k; the
    /// two directions unite as w_ij + w_ji − w_ij w_ji (McInnes, Healy & Melville 2018, arXiv 1802.03426, §3.1). As in
    /// umap-learn and scanpy, k counts the point itself, which is not among the j.
    pub fn new(neighbors: &Neighbors) -> Self {
        let (n_points, n_others) = neighbors.indices.dim();
        let k = n_others + 1;
        let sums: Vec<f64> =
            (0..n_points).into_par_iter().map(|row| neighbors.distances.row(row).mapv(f64::from).sum()).collect();
        let mean_of_all = sums.iter().sum::<f64>() / (n_points * k) as f64;
        let there: Vec<(u32, f64)> = (0..n_points)
            .into_par_iter()
            .flat_map_iter(|point| {
                let distances: Vec<f64> =
                    neighbors.distances.row(point).iter().map(|&distance| f64::from(distance)).collect();
                let nearest = distances.iter().copied().find(|&distance| distance > 0.0).unwrap_or(0.0);
                let bandwidth = bandwidth(&distances, nearest, k, mean_of_all);
                let mut row: Vec<(u32, f64)> = neighbors
                    .indices
                    .row(point)
                    .iter()
                    .zip(distances)
                    .map(|(&other, distance)| (other as u32, membership(distance, nearest, bandwidth)))
                    .collect();
                row.sort_unstable_by_key(|&(other, _)| other);
                row
            })
            .collect();
        // The same memberships by the point that they point to; points come in their order.
        let mut starts = vec![0_usize; n_points + 1];
        there.iter().for_each(|&(other, _)| starts[other as usize + 1] += 1);
        (0..n_points).for_each(|point| starts[point + 1] += starts[point]);
        let mut back = vec![(0_u32, 0.0_f64); there.len()];
        let mut next = starts.clone();
        for (place, &(other, weight)) in there.iter().enumerate() {
            let free = &mut next[other as usize];
            back[*free] = ((place / n_others) as u32, weight);
            *free += 1;
        }
        Self::from_rows(n_points, |point, row| {
            unite(&there[point * n_others..(point + 1) * n_others], &back[starts[point]..starts[point + 1]], row);
        })
    }

    /// A graph of edges between different points, each told once.
    pub fn from_edges(n_points: usize, edges: &[(usize, usize, f32)]) -> Self {
        let mut rows = vec![Vec::new(); n_points];
        for &(first, second, weight) in edges {
            rows[first].push((second as u32, weight));
            rows[second].push((first as u32, weight));
        }
        rows.iter_mut().for_each(|row| row.sort_unstable_by_key(|&(other, _)| other));
        Self::from_rows(n_points, |point, row| row.extend_from_slice(&rows[point]))
    }

    fn from_rows(n_points: usize, of: impl Fn(usize, &mut Vec<(u32, f32)>) + Sync) -> Self {
        let rows_of = |block: usize| {
            let (mut ends, mut rows) = (Vec::with_capacity(BLOCK), Vec::new());
            for point in block * BLOCK..((block + 1) * BLOCK).min(n_points) {
                of(point, &mut rows);
                ends.push(rows.len());
            }
            (ends, rows)
        };
        let blocks: Vec<_> = (0..n_points.div_ceil(BLOCK)).into_par_iter().map(rows_of).collect();
        let n_stored = blocks.iter().map(|(_, rows)| rows.len()).sum();
        let mut starts = Vec::with_capacity(n_points + 1);
        let (mut others, mut weights) = (Vec::with_capacity(n_stored), Vec::with_capacity(n_stored));
        starts.push(0);
        for (ends, rows) in blocks {
            let before = others.len();
            starts.extend(ends.into_iter().map(|end| before + end));
            others.extend(rows.iter().map(|&(other, _)| other));
            weights.extend(rows.iter().map(|&(_, weight)| weight));
        }
        Self { starts, others, weights }
    }

    /// Number of points.
    pub fn n_points(&self) -> usize {
        self.starts.len() - 1
    }

    /// The points that one is joined to, in rising order, and the weights of these edges.
    pub fn row(&self, point: usize) -> (&[u32], &[f32]) {
        let range = self.starts[point]..self.starts[point + 1];
        (&self.others[range.clone()], &self.weights[range])
    }

    /// Every edge once, with the smaller position first, in rising order.
    pub fn edges(&self) -> impl Iterator<Item = (usize, usize, f32)> + '_ {
        (0..self.n_points()).flat_map(move |first| {
            let (others, weights) = self.row(first);
            let edges = others.iter().zip(weights).map(move |(&second, &weight)| (first, second as usize, weight));
            edges.filter(|&(first, second, _)| first < second)
        })
    }
}

/// Adds the union of the memberships there and back, both in rising order.
fn unite(there: &[(u32, f64)], back: &[(u32, f64)], row: &mut Vec<(u32, f32)>) {
    let (mut there, mut back) = (there.iter().peekable(), back.iter().peekable());
    loop {
        let order = match (there.peek(), back.peek()) {
            (Some(a), Some(b)) => a.0.cmp(&b.0),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return,
        };
        let a = if order.is_le() { there.next() } else { None };
        let b = if order.is_ge() { back.next() } else { None };
        let (other, weight) = match (a, b) {
            (Some(&(other, a)), Some(&(_, b))) => (other, a + b - a * b),
            (Some(&one), None) | (None, Some(&one)) => one,
            (None, None) => return,
        };
        if weight as f32 > 0.0 {
            row.push((other, weight as f32));
        }
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

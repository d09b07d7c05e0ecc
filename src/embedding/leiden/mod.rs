//! Clusters of cells by the Leiden algorithm.
//!
//! The crate leiden-rs takes four times as long on a hundred thousand cells, and sums weights up in an order that the threads
//! decide; the algorithm itself is short.

mod network;
mod moves;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use self::moves::{Costs, improve, refine, renumber};
use self::network::Network;
use super::fuzzy::FuzzyGraph;
use crate::Result;
use crate::error::refuse;

/// At most this many passes from each start; a pass that gains too little ends the start.
const N_PASSES: usize = 10;
/// Modularity that a pass must gain for another to follow; less shows in no digit that is told.
const LEAST_GAIN: f64 = 1e-5;

/// How a graph is clustered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LeidenParams {
    /// γ; more gives more clusters.
    pub resolution: f64,
    /// Independent starts; the partition of highest quality is kept.
    pub n_starts: u64,
    /// Seed.
    pub seed: u64,
}

impl Default for LeidenParams {
    fn default() -> Self {
        Self { resolution: 1.0, n_starts: 3, seed: 0 }
    }
}

impl LeidenParams {
    /// The defaults for so many points: beyond 50,000, where one start takes seconds, one alone.
    pub fn for_points(n_points: usize) -> Self {
        Self { n_starts: if n_points > 50_000 { 1 } else { 3 }, ..Self::default() }
    }
}

/// Clusters the graph: the label of each point, 0 for the largest cluster, and the modularity of the partition.
///
/// Q = Σ_c [e_c/m − γ (K_c/2m)²] with m the sum of weights, e_c the weight within cluster c, K_c the sum of degrees of
/// its points and γ the resolution (Traag, Waltman & van Eck 2019, Scientific Reports 9:5233).
///
/// # Errors
/// [`crate::Error::InvalidParameter`] if the resolution is not positive, or there are no starts.
pub fn leiden(graph: &FuzzyGraph, params: &LeidenParams) -> Result<(Vec<usize>, f64)> {
    let LeidenParams { resolution, n_starts, seed } = *params;
    if !(resolution > 0.0 && resolution.is_finite()) {
        return refuse("resolution", resolution, "it must be above zero");
    }
    if n_starts == 0 {
        return refuse("n_starts", 0, "it must be above zero");
    }
    let network = Network::new(graph);
    if network.degrees.iter().all(|&degree| degree == 0.0) {
        // Without edges everybody is alone, and there is no weight to take a share of.
        return Ok(((0..graph.n_points()).collect(), 0.0));
    }
    let found: Vec<(Vec<usize>, f64)> =
        (0..n_starts).into_par_iter().map(|start| from_start(&network, resolution, seed, start)).collect();
    let better = |best: (Vec<usize>, f64), next: (Vec<usize>, f64)| if next.1 > best.1 { next } else { best };
    let (labels, quality) = found.into_iter().reduce(better).unwrap_or_default();
    Ok((by_size(&labels), quality))
}

/// A partition from nodes that are all alone, and its modularity: passes until one gains nothing.
fn from_start(network: &Network, resolution: f64, seed: u64, start: u64) -> (Vec<usize>, f64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(start);
    let mut best: Vec<usize> = (0..network.n_nodes()).collect();
    let mut quality = network.modularity(&best, resolution);
    for _ in 0..N_PASSES {
        let labels = pass(network, best.clone(), Costs::new(network, resolution), &mut rng);
        let next = network.modularity(&labels, resolution);
        if next <= quality + LEAST_GAIN {
            break;
        }
        (best, quality) = (labels, next);
    }
    (best, quality)
}

/// Moves nodes, splits the groups into well-joined parts, and goes on with these as nodes, until they are the groups.
fn pass(network: &Network, mut labels: Vec<usize>, costs: Costs, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut level: Option<Network> = None;
    // The node of the present level that each point is in.
    let mut nodes: Vec<usize> = (0..network.n_nodes()).collect();
    loop {
        let now = level.as_ref().unwrap_or(network);
        improve(now, &mut labels, costs, rng);
        let n_labels = renumber(&mut labels);
        let (parts, n_parts) = refine(now, &labels, n_labels, costs, rng);
        if n_labels == now.n_nodes() || n_parts == now.n_nodes() {
            return nodes.into_iter().map(|node| labels[node]).collect();
        }
        let next = now.of_groups(&parts, n_parts);
        let mut next_labels = vec![0; n_parts];
        parts.iter().zip(&labels).for_each(|(&part, &label)| next_labels[part] = label);
        nodes.iter_mut().for_each(|node| *node = parts[*node]);
        (level, labels) = (Some(next), next_labels);
    }
}

/// Renames the labels so that larger clusters come first; ties keep the order of their first points.
fn by_size(labels: &[usize]) -> Vec<usize> {
    let n_labels = labels.iter().max().map_or(0, |&label| label + 1);
    let mut sizes = vec![0_usize; n_labels];
    let mut first = vec![usize::MAX; n_labels];
    for (point, &label) in labels.iter().enumerate() {
        sizes[label] += 1;
        first[label] = first[label].min(point);
    }
    let mut order: Vec<usize> = (0..n_labels).collect();
    order.sort_by_key(|&label| (std::cmp::Reverse(sizes[label]), first[label]));
    let mut renamed = vec![0; n_labels];
    for (new, &old) in order.iter().enumerate() {
        renamed[old] = new;
    }
    labels.iter().map(|&label| renamed[label]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_cliques(n: usize) -> FuzzyGraph {
        let mut edges = Vec::new();
        for offset in [0, n] {
            for i in 0..n {
                edges.extend((i + 1..n).map(|j| (offset + i, offset + j, 1.0)));
            }
        }
        edges.push((0, n, 1.0));
        FuzzyGraph::from_edges(2 * n, &edges)
    }

    #[test]
    fn two_cliques_separate_and_the_quality_is_their_modularity() {
        let (labels, quality) = leiden(&two_cliques(6), &LeidenParams::default()).unwrap();
        assert!(labels[..6].iter().all(|&label| label == labels[0]));
        assert!(labels[6..].iter().all(|&label| label == labels[6] && label != labels[0]));
        // 15 edges within each clique, one between: m = 31, K_c = 31.
        let expected = 2.0 * (15.0 / 31.0 - 0.25);
        assert!((quality - expected).abs() < 1e-9, "{quality} {expected}");
    }

    #[test]
    fn clusters_are_connected_and_alike_for_any_number_of_threads() {
        // A ring of points with chords that thin out: many partitions of nearly the same modularity.
        let n = 900;
        let chords = [1, 2, 3, 7, 19].map(|step| (0..n).map(move |i| (i, (i + step) % n, 1.0 / step as f32)));
        let edges: Vec<(usize, usize, f32)> = chords.into_iter().flatten().collect();
        let graph = FuzzyGraph::from_edges(n, &edges);
        let found = leiden(&graph, &LeidenParams::default()).unwrap();
        for n_threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            assert_eq!(pool.install(|| leiden(&graph, &LeidenParams::default()).unwrap()), found);
        }
        let (labels, quality) = found;
        assert!(quality > 0.7, "{quality}");
        let mut is_reached = vec![false; n];
        for label in 0..=labels.iter().copied().max().unwrap() {
            let first = labels.iter().position(|&other| other == label).unwrap();
            let mut waiting = vec![first];
            is_reached[first] = true;
            while let Some(point) = waiting.pop() {
                for &other in graph.row(point).0 {
                    let other = other as usize;
                    if labels[other] == label && !is_reached[other] {
                        is_reached[other] = true;
                        waiting.push(other);
                    }
                }
            }
        }
        assert!(is_reached.iter().all(|&is_reached| is_reached));
    }

    #[test]
    fn points_without_edges_are_alone() {
        let (labels, quality) = leiden(&FuzzyGraph::from_edges(3, &[]), &LeidenParams::default()).unwrap();
        assert_eq!((labels, quality), (vec![0, 1, 2], 0.0));
    }

    #[test]
    fn the_largest_cluster_is_number_zero() {
        assert_eq!(by_size(&[1, 0, 0, 2, 2, 2]), [2, 1, 1, 0, 0, 0]);
    }
}

//! Clusters of cells by the Leiden algorithm.

use leiden_rs::{GraphDataBuilder, Leiden, LeidenConfig, Partition, QualityType};

use super::fuzzy::FuzzyGraph;
use crate::error::refuse;
use crate::{Error, Result};

/// At most this many passes from each start; a pass that gains nothing ends the start.
const N_PASSES: usize = 10;

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

/// Clusters the graph: the label of each point, 0 for the largest cluster, and the modularity of the partition.
///
/// Q = Σ_c [e_c/m − γ (K_c/2m)²] with m the sum of weights, e_c the weight within cluster c, K_c the sum of degrees of
/// its points and γ the resolution (Traag, Waltman & van Eck 2019, Scientific Reports 9:5233).
///
/// # Errors
/// [`Error::InvalidParameter`] if the resolution is not positive, or there are no starts; [`Error::Backend`] if the library refuses the graph.
pub fn leiden(graph: &FuzzyGraph, params: &LeidenParams) -> Result<(Vec<usize>, f64)> {
    let LeidenParams { resolution, n_starts, seed } = *params;
    if !(resolution > 0.0 && resolution.is_finite()) {
        return refuse("resolution", resolution, "it must be above zero");
    }
    if n_starts == 0 {
        return refuse("n_starts", 0, "it must be above zero");
    }
    let failed = |source: leiden_rs::LeidenError| Error::backend("Leiden clustering", source.to_string());
    let mut builder = GraphDataBuilder::new(graph.n_points());
    for (first, second, weight) in graph.edges() {
        builder.add_edge(first, second, f64::from(weight)).map_err(failed)?;
    }
    let data = builder.build().map_err(failed)?;
    let mut best: Option<(Vec<usize>, f64)> = None;
    for start in 0..n_starts {
        let config = |pass: u64| {
            LeidenConfig::builder()
                .quality(QualityType::Modularity)
                .resolution(resolution)
                .seed(seed.wrapping_mul(1_000_003).wrapping_add(start * 1000 + pass))
                .build()
        };
        let mut found = Leiden::new(config(0)).run(&data).map_err(failed)?;
        for pass in 1..N_PASSES {
            let from = Partition::from_membership(found.partition.as_slice().to_vec());
            let next = Leiden::new(config(pass as u64)).run_with_initial_partition(&data, from).map_err(failed)?;
            if next.quality <= found.quality + 1e-9 {
                break;
            }
            found = next;
        }
        if best.as_ref().is_none_or(|(_, quality)| found.quality > *quality) {
            best = Some((found.partition.as_slice().to_vec(), found.quality));
        }
    }
    let (labels, quality) = best.unwrap_or_default();
    Ok((by_size(&labels), quality))
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
    fn the_largest_cluster_is_number_zero() {
        assert_eq!(by_size(&[1, 0, 0, 2, 2, 2]), [2, 1, 1, 0, 0, 0]);
    }
}

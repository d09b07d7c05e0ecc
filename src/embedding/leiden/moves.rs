//! The two ways in which nodes change their groups: to better ones, and within a group from nothing to well-joined parts.

use std::collections::VecDeque;

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::network::{Network, Sums, members};

/// A gain below this part of the whole weight is rounding.
const LEAST_GAIN: f64 = 1e-12;

/// What it costs a node of degree k to be with others of total degree K: γ k K/2m.
#[derive(Clone, Copy)]
pub(super) struct Costs {
    factor: f64,
    /// What is too little to be a gain.
    pub least: f64,
}

impl Costs {
    pub fn new(network: &Network, resolution: f64) -> Self {
        let twice: f64 = network.degrees.iter().sum();
        Self { factor: resolution / twice, least: LEAST_GAIN * twice }
    }

    fn of(self, degree: f64, total: f64) -> f64 {
        self.factor * degree * total
    }
}

/// Moves nodes to the groups where modularity gains most, until no node can gain; whether any moved.
///
/// Nodes wait in a queue; those whose neighbours leave their group come again (fast local moving; Traag et al. 2019).
pub(super) fn improve(network: &Network, labels: &mut [usize], costs: Costs, rng: &mut ChaCha8Rng) -> bool {
    let n = network.n_nodes();
    let mut totals = vec![0.0; n];
    let mut sizes = vec![0_usize; n];
    for (node, &label) in labels.iter().enumerate() {
        totals[label] += network.degrees[node];
        sizes[label] += 1;
    }
    let mut empty: Vec<usize> = (0..n).rev().filter(|&label| sizes[label] == 0).collect();
    let mut order: Vec<usize> = (0..n).collect();
    order.shuffle(rng);
    let mut queue = VecDeque::from(order);
    let mut waits = vec![true; n];
    let mut joined = Sums::new(n);
    let mut any_moved = false;
    while let Some(node) = queue.pop_front() {
        waits[node] = false;
        let (own, degree) = (labels[node], network.degrees[node]);
        totals[own] -= degree;
        network.row(node).for_each(|(other, weight)| joined.add(labels[other], weight));
        let staying = joined.of(own) - costs.of(degree, totals[own]);
        let (mut best, mut most) = (own, staying + costs.least);
        for (label, weight) in joined.take() {
            let gain = weight - costs.of(degree, totals[label]);
            if gain > most {
                (best, most) = (label, gain);
            }
        }
        // To be alone costs nothing and gains nothing.
        if most < 0.0 && sizes[own] > 1 {
            best = empty.last().copied().unwrap_or(best);
        }
        totals[best] += degree;
        if best != own {
            if sizes[best] == 0 {
                empty.pop();
            }
            sizes[best] += 1;
            sizes[own] -= 1;
            if sizes[own] == 0 {
                empty.push(own);
            }
            labels[node] = best;
            any_moved = true;
            for (other, _) in network.row(node) {
                if labels[other] != best && !waits[other] {
                    waits[other] = true;
                    queue.push_back(other);
                }
            }
        }
    }
    any_moved
}

/// Splits each group into parts that are well joined within it: the part of each node, and their number.
///
/// Every node begins alone. One that is still alone, and joined to its group at least as well as chance has it, merges with the
/// part of the group where modularity gains most, among parts that are as well joined (refinement; Traag et al. 2019).
pub(super) fn refine(
    network: &Network,
    labels: &[usize],
    n_labels: usize,
    costs: Costs,
    rng: &mut ChaCha8Rng,
) -> (Vec<usize>, usize) {
    let n = network.n_nodes();
    let mut parts: Vec<usize> = (0..n).collect();
    let mut totals = network.degrees.clone();
    let mut are_alone = vec![true; n];
    // What joins a part to the rest of its group.
    let mut bonds: Vec<f64> = (0..n)
        .map(|node| network.row(node).filter(|&(other, _)| labels[other] == labels[node]).map(|(_, w)| w).sum())
        .collect();
    let mut joined = Sums::new(n);
    for mut group in members(labels, n_labels) {
        let whole: f64 = group.iter().map(|&node| network.degrees[node]).sum();
        let is_well_joined = |bond: f64, total: f64| bond >= costs.of(total, whole - total);
        group.shuffle(rng);
        for node in group {
            let degree = network.degrees[node];
            if !are_alone[node] || !is_well_joined(bonds[node], degree) {
                continue;
            }
            for (other, weight) in network.row(node).filter(|&(other, _)| labels[other] == labels[node]) {
                joined.add(parts[other], weight);
            }
            let (mut best, mut most, mut bond) = (node, costs.least, 0.0);
            for (part, weight) in joined.take() {
                let gain = weight - costs.of(degree, totals[part]);
                if gain > most && is_well_joined(bonds[part], totals[part]) {
                    (best, most, bond) = (part, gain, weight);
                }
            }
            if best != node {
                bonds[best] += bonds[node] - 2.0 * bond;
                totals[best] += degree;
                totals[node] = 0.0;
                parts[node] = best;
                (are_alone[node], are_alone[best]) = (false, false);
            }
        }
    }
    let n_parts = renumber(&mut parts);
    (parts, n_parts)
}

/// Renames labels to 0, 1, … in the order of their first nodes; their number.
pub(super) fn renumber(labels: &mut [usize]) -> usize {
    let mut names = vec![usize::MAX; labels.iter().max().map_or(0, |&label| label + 1)];
    let mut n_labels = 0;
    for label in labels {
        if names[*label] == usize::MAX {
            names[*label] = n_labels;
            n_labels += 1;
        }
        *label = names[*label];
    }
    n_labels
}

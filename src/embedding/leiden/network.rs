//! Graphs of points and, level by level, of groups of points.

use super::super::fuzzy::FuzzyGraph;

/// A weighted undirected graph as rows; the weight within a node counts in its degree alone.
pub(super) struct Network {
    /// Where the row of each node begins; one more at the end.
    starts: Vec<usize>,
    others: Vec<u32>,
    weights: Vec<f64>,
    /// The sum of the weights at each node, those within it twice.
    pub degrees: Vec<f64>,
}

impl Network {
    /// The graph of points.
    pub fn new(graph: &FuzzyGraph) -> Self {
        let n = graph.n_points();
        let mut network =
            Self { starts: vec![0], others: Vec::new(), weights: Vec::new(), degrees: Vec::with_capacity(n) };
        for point in 0..n {
            let (others, weights) = graph.row(point);
            network.others.extend_from_slice(others);
            network.weights.extend(weights.iter().map(|&weight| f64::from(weight)));
            network.starts.push(network.others.len());
            network.degrees.push(weights.iter().map(|&weight| f64::from(weight)).sum());
        }
        network
    }

    /// Number of nodes.
    pub fn n_nodes(&self) -> usize {
        self.degrees.len()
    }

    /// The nodes that one is joined to, and the weights.
    pub fn row(&self, node: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let range = self.starts[node]..self.starts[node + 1];
        self.others[range.clone()].iter().map(|&other| other as usize).zip(self.weights[range].iter().copied())
    }

    /// The graph of groups of nodes, of which each has one of `n_groups` labels.
    pub fn of_groups(&self, groups: &[usize], n_groups: usize) -> Self {
        let members = members(groups, n_groups);
        let mut network =
            Self { starts: vec![0], others: Vec::new(), weights: Vec::new(), degrees: Vec::with_capacity(n_groups) };
        let mut sums = Sums::new(n_groups);
        for (group, members) in members.iter().enumerate() {
            network.degrees.push(members.iter().map(|&node| self.degrees[node]).sum());
            for &node in members {
                self.row(node).for_each(|(other, weight)| sums.add(groups[other], weight));
            }
            for (other, weight) in sums.take() {
                if other != group {
                    network.others.push(other as u32);
                    network.weights.push(weight);
                }
            }
            network.starts.push(network.others.len());
        }
        network
    }

    /// Σ_c [e_c/m − γ (K_c/2m)²] of a partition, in which the weights within the nodes of this graph do not count.
    pub fn modularity(&self, labels: &[usize], resolution: f64) -> f64 {
        let twice: f64 = self.degrees.iter().sum();
        let mut totals = vec![0.0; labels.iter().max().map_or(0, |&label| label + 1)];
        let mut within = 0.0;
        for (node, &label) in labels.iter().enumerate() {
            totals[label] += self.degrees[node];
            within +=
                self.row(node).filter(|&(other, _)| labels[other] == label).map(|(_, weight)| weight).sum::<f64>();
        }
        within / twice - resolution * totals.iter().map(|total| (total / twice).powi(2)).sum::<f64>()
    }
}

/// The nodes of each group, in rising order.
pub(super) fn members(groups: &[usize], n_groups: usize) -> Vec<Vec<usize>> {
    let mut members = vec![Vec::new(); n_groups];
    groups.iter().enumerate().for_each(|(node, &group)| members[group].push(node));
    members
}

/// Sums by group, of which few are not nought.
pub(super) struct Sums {
    values: Vec<f64>,
    touched: Vec<usize>,
}

impl Sums {
    pub fn new(n_groups: usize) -> Self {
        Self { values: vec![0.0; n_groups], touched: Vec::new() }
    }

    /// Adds a weight, which is above nought.
    #[inline]
    pub fn add(&mut self, group: usize, weight: f64) {
        if self.values[group] == 0.0 {
            self.touched.push(group);
        }
        self.values[group] += weight;
    }

    /// The sum of a group.
    pub fn of(&self, group: usize) -> f64 {
        self.values[group]
    }

    /// All sums that are not nought, in the order of their first weights; nothing is left.
    pub fn take(&mut self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.touched.drain(..).map(|group| (group, std::mem::take(&mut self.values[group])))
    }
}

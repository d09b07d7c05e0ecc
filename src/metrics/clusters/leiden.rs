//! Leiden clusters of the real cells.

use std::collections::BTreeMap;

use ndarray::{ArrayView2, Axis};

use crate::Result;
use crate::embedding::fuzzy::FuzzyGraph;
use crate::embedding::leiden::{LeidenParams, leiden};
use crate::embedding::neighbors::Neighbors;
use crate::metrics::distances::choose;

/// Neighbours of every cell in the graph, with the cell itself.
pub const N_NEIGHBORS: usize = 15;
/// Exact neighbours cost time with the square of the number of cells; beyond this many, cells are drawn.
const MOST_CELLS: usize = 20_000;

/// Clusters of real cells.
pub struct Clusters {
    /// The clustered cells, in rising order.
    pub rows: Vec<usize>,
    /// Their labels; 0 is the largest cluster.
    pub labels: Vec<usize>,
    /// The modularity of the partition.
    pub modularity: f64,
    by_row: BTreeMap<usize, usize>,
}

impl Clusters {
    /// Clusters all `needed` cells and as many others as fit into 20 000, drawn at random.
    ///
    /// # Errors
    /// [`crate::Error::TooFew`] with fewer than 16 cells; [`crate::Error::InvalidParameter`] for a bad resolution.
    pub fn find(points: ArrayView2<f32>, needed: &[usize], resolution: f64, seed: u64) -> Result<Self> {
        let mut is_needed = vec![false; points.nrows()];
        needed.iter().for_each(|&row| is_needed[row] = true);
        let others: Vec<usize> = (0..points.nrows()).filter(|&row| !is_needed[row]).collect();
        let drawn = choose(others.len(), MOST_CELLS.saturating_sub(points.nrows() - others.len()), seed);
        let mut rows: Vec<usize> = (0..points.nrows()).filter(|&row| is_needed[row]).collect();
        rows.extend(drawn.into_iter().map(|position| others[position]));
        rows.sort_unstable();
        let neighbors = Neighbors::exact(points.select(Axis(0), &rows).view(), N_NEIGHBORS)?;
        let params = LeidenParams { resolution, seed, ..LeidenParams::default() };
        let (labels, modularity) = leiden(&FuzzyGraph::new(&neighbors), &params)?;
        let by_row = rows.iter().copied().zip(labels.iter().copied()).collect();
        Ok(Self { rows, labels, modularity, by_row })
    }

    /// The labels of those of the given cells that were clustered.
    pub fn labels_of(&self, rows: &[usize]) -> Vec<usize> {
        rows.iter().filter_map(|row| self.by_row.get(row).copied()).collect()
    }
}

//! Coordinates of sparse cells.

use ndarray::{Array2, ArrayViewMut1};

use crate::cells::NOWHERE;
use crate::numbers::vectorized;

/// Directions in the space of some genes, for cells whose values are mostly not stored.
pub(super) struct Projection {
    /// The place of each gene of a cell among those of the directions, or [`NOWHERE`].
    places: Vec<u32>,
    /// Row after row: (n_places, n_components).
    loadings: Vec<f32>,
    /// What a cell without any value has: (n_components).
    offset: Vec<f64>,
}

impl Projection {
    /// Directions and the mean in the genes that have a place.
    ///
    /// **Shapes** `means`: (n_places); `loadings`: (n_places, n_components)
    pub(super) fn new(places: Vec<u32>, means: impl Iterator<Item = f64>, loadings: &Array2<f32>) -> Self {
        let mut offset = vec![0.0; loadings.ncols()];
        for (mean, row) in means.zip(loadings.rows()) {
            offset.iter_mut().zip(row).for_each(|(sum, &loading)| *sum -= mean * f64::from(loading));
        }
        Self { places, loadings: loadings.iter().copied().collect(), offset }
    }

    /// (x − mean) · loadings of a cell; summed in 64 bits.
    ///
    /// **Shapes** `target`: (n_components)
    pub(super) fn project(&self, cell: (&[u32], &[f32]), mut target: ArrayViewMut1<f32>) {
        let mut sums = self.offset.clone();
        add_values(&mut sums, cell, &self.places, &self.loadings);
        target.iter_mut().zip(&sums).for_each(|(coordinate, &sum)| *coordinate = sum as f32);
    }
}

vectorized! {
    fn add_values(sums: &mut [f64], cell: (&[u32], &[f32]), places: &[u32], loadings: &[f32]) {
        for (&gene, &value) in cell.0.iter().zip(cell.1) {
            let place = places[gene as usize];
            if place == NOWHERE {
                continue;
            }
            let first = place as usize * sums.len();
            let row = &loadings[first..first + sums.len()];
            let value = f64::from(value);
            sums.iter_mut().zip(row).for_each(|(sum, &loading)| *sum += value * f64::from(loading));
        }
    }
}

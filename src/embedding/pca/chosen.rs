//! The genes of an analysis.

use super::Visit;
use crate::cells::{NOWHERE, SparseMatrix};
use crate::{Error, Result};

/// The genes that components are fitted to, among all genes of the cells.
pub(super) struct Chosen {
    /// The chosen genes, rising.
    pub(super) columns: Vec<usize>,
    /// The place of each gene among the chosen, or [`NOWHERE`].
    places: Vec<u32>,
    /// The mean of every gene over the training cells.
    pub(super) mean: Vec<f64>,
}

impl Chosen {
    pub(super) fn new(mean: Vec<f64>, columns: &[usize]) -> Self {
        let mut places = vec![NOWHERE; mean.len()];
        columns.iter().enumerate().for_each(|(at, &gene)| places[gene] = at as u32);
        Self { columns: columns.to_vec(), places, mean }
    }

    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    /// The means of the chosen genes.
    pub(super) fn means(&self) -> impl Iterator<Item = f64> {
        self.columns.iter().map(|&gene| self.mean[gene])
    }

    /// The place of each gene among the chosen, or [`NOWHERE`].
    pub(super) fn places(&self) -> &[u32] {
        &self.places
    }

    /// The values of a cell in chosen genes, with the places of these genes.
    pub(super) fn of_cell<'a>(&'a self, x: &'a SparseMatrix, row: usize) -> impl Iterator<Item = (usize, f32)> + 'a {
        let (genes, values) = x.row(row);
        let place = |(&gene, &value): (&u32, &f32)| {
            let place = self.places[gene as usize];
            (place != NOWHERE).then_some((place as usize, value))
        };
        genes.iter().zip(values).filter_map(place)
    }

    /// Makes sure that so many components can be found in so many cells.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`].
    pub(super) fn check(&self, n_cells: usize, n_components: usize) -> Result<()> {
        let most = self.len().min(n_cells.saturating_sub(1));
        if n_components > 0 && n_components <= most {
            return Ok(());
        }
        Err(Error::InvalidParameter {
            name: "n_components".into(),
            value: n_components.to_string(),
            reason: format!("{n_cells} training cells and {} variable genes allow 1 to {most} components", self.len()),
        })
    }
}

/// The leading part of a covariance: what components are made of.
pub(super) struct Spectrum {
    /// Eigenvalues, falling; more than there are components.
    pub(super) values: Vec<f64>,
    /// Their eigenvectors: (n_chosen, n_values).
    pub(super) vectors: faer::Mat<f64>,
    /// The variance of all chosen genes.
    pub(super) total: f64,
    /// The largest ‖C v − θ v‖/θ of a component.
    pub(super) error: f64,
}

/// Training cells, block by block; what goes through them may do so several times.
pub(super) type Walk<'a> = dyn Fn(&mut Visit) -> Result<()> + 'a;

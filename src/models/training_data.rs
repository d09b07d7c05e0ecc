//! What a fit is given of a screen: its training cells, and nothing of any other cell.

use ndarray::ArrayView2;

use crate::Result;
use crate::cells::SparseMatrix;
use crate::conditions::Condition;
use crate::embedding::pca::Pca;

/// Training cells.
#[derive(Clone, Copy)]
pub struct TrainingData<'a> {
    /// Principal components: (n_cells, n_components).
    ///
    /// **Units** coordinates on components that were fitted to other cells (`X_pca_cross_fitted`), so that training cells
    /// spread as unseen cells do.
    pub embedding: ArrayView2<'a, f32>,
    /// The condition of each cell: (n_cells).
    pub conditions: &'a [Condition],
    /// The counts, which stay in their file until they are asked for.
    pub counts: &'a dyn TrainingCounts,
    /// The names of the genes, or their symbols, in the order of the counts: what perturbs a gene may bear its name, and a
    /// pretrained vocabulary may know it.
    pub genes: &'a [String],
    /// The principal component analysis of the screen.
    pub pca: &'a Pca,
    /// The sum to which counts are normalised before log1p.
    pub target_sum: f64,
}

/// The counts of training cells. Cells are numbered as in [`TrainingData::embedding`].
pub trait TrainingCounts {
    /// Counts of each cell over all genes, also those that the screen dropped: (n_cells).
    fn library_sizes(&self) -> &[f64];

    /// The counts of some cells, whose numbers rise: (n_rows, n_genes).
    ///
    /// # Errors
    /// Those of reading.
    fn rows(&self, cells: &[usize]) -> Result<SparseMatrix>;
}

//! The covariance of genes, summed up over cells that come block by block.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use rayon::prelude::*;

use super::MOST_GENES;
use crate::cells::SparseMatrix;
use crate::error::refuse;
use crate::{Error, Result};

/// Cells that are multiplied together.
const CELLS_AT_A_TIME: usize = 256;
/// Genes whose rows of the covariance are one piece of parallel work; fixed, so that no sum depends on the threads.
const GENES_PER_PANEL: usize = 128;

/// Sums of products of centred values over training cells, kept apart for `n_parts` parts of the cells: the cell that comes
/// as number i belongs to part i mod `n_parts`.
///
/// The sums depend on the order of the cells, not on the blocks in which they come.
pub struct CovarianceSums {
    mean: Vec<f64>,
    columns: Vec<usize>,
    /// The place of each gene among the chosen, or `u32::MAX`.
    position: Vec<u32>,
    /// −mean of each chosen gene.
    centre: Vec<f32>,
    n_cells: usize,
    parts: Vec<Part>,
}

/// The sums over a part of the cells.
struct Part {
    /// Centred values of cells that are not in the sums yet: (n_chosen, [`CELLS_AT_A_TIME`]).
    waiting: Mat<f32>,
    n_waiting: usize,
    /// The lower triangle in panels of columns: the first gene of each, and (n_chosen − first, width).
    panels: Vec<(usize, Mat<f32>)>,
}

impl CovarianceSums {
    /// Begins the sums over the genes `columns`, rising; `mean` holds the mean of every gene over the training cells.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] for more genes than a covariance is computed for.
    pub fn new(mean: Vec<f64>, columns: &[usize], n_parts: usize) -> Result<Self> {
        let n_chosen = columns.len();
        if n_chosen > MOST_GENES {
            return refuse("n_top_genes", n_chosen, &format!("components are fitted to at most {MOST_GENES} genes"));
        }
        let mut position = vec![u32::MAX; mean.len()];
        columns.iter().enumerate().for_each(|(at, &gene)| position[gene] = at as u32);
        let centre = columns.iter().map(|&gene| -mean[gene] as f32).collect();
        let part = || Part {
            waiting: Mat::zeros(n_chosen, CELLS_AT_A_TIME),
            n_waiting: 0,
            panels: (0..n_chosen)
                .step_by(GENES_PER_PANEL)
                .map(|first| (first, Mat::zeros(n_chosen - first, GENES_PER_PANEL.min(n_chosen - first))))
                .collect(),
        };
        let parts = (0..n_parts.max(1)).map(|_| part()).collect();
        Ok(Self { mean, columns: columns.to_vec(), position, centre, n_cells: 0, parts })
    }

    /// Adds the cells `rows` of a block.
    ///
    /// **Shapes** `x`: (n_cells, n_genes), log-normalised
    pub fn add(&mut self, x: &SparseMatrix, rows: &[usize]) {
        let n_parts = self.parts.len();
        for &row in rows {
            let part = &mut self.parts[self.n_cells % n_parts];
            let target = part.waiting.col_as_slice_mut(part.n_waiting);
            target.copy_from_slice(&self.centre);
            let (genes, values) = x.row(row);
            for (&gene, &value) in genes.iter().zip(values) {
                if let Some(target) = target.get_mut(self.position[gene as usize] as usize) {
                    *target += value;
                }
            }
            part.n_waiting += 1;
            if part.n_waiting == CELLS_AT_A_TIME {
                part.sum_up();
            }
            self.n_cells += 1;
        }
    }

    /// The covariance (divisor n − 1) of all cells, and what each part adds to it.
    pub(super) fn finish(mut self) -> Sums {
        let scale = 1.0 / (self.n_cells as f64 - 1.0);
        let n_chosen = self.columns.len();
        let mut whole = Mat::zeros(n_chosen, n_chosen);
        for part in &mut self.parts {
            part.sum_up();
            part.each(|row, column, sum| whole[(row, column)] += scale * sum);
        }
        for column in 0..n_chosen {
            for row in column + 1..n_chosen {
                whole[(column, row)] = whole[(row, column)];
            }
        }
        let Self { mean, columns, position, n_cells, parts, .. } = self;
        Sums { mean, columns, position, n_cells, whole, parts: Parts { scale, parts } }
    }
}

impl Part {
    fn sum_up(&mut self) {
        let waiting = self.waiting.as_ref().subcols(0, self.n_waiting);
        if self.n_waiting > 0 {
            self.panels.par_iter_mut().for_each(|(first, panel)| {
                let below = waiting.subrows(*first, panel.nrows());
                let across = waiting.subrows(*first, panel.ncols());
                matmul(panel.as_mut(), Accum::Add, below, across.transpose(), 1.0, Par::Seq);
            });
        }
        self.n_waiting = 0;
    }

    /// Visits the lower triangle.
    fn each(&self, mut visit: impl FnMut(usize, usize, f64)) {
        for (first, panel) in &self.panels {
            for column in 0..panel.ncols() {
                for (row, &sum) in panel.col_as_slice(column).iter().enumerate().skip(column) {
                    visit(first + row, first + column, f64::from(sum));
                }
            }
        }
    }
}

/// Finished sums.
pub(super) struct Sums {
    /// The mean of every gene.
    pub(super) mean: Vec<f64>,
    /// The chosen genes.
    pub(super) columns: Vec<usize>,
    /// The place of each gene among the chosen, or `u32::MAX`.
    pub(super) position: Vec<u32>,
    pub(super) n_cells: usize,
    /// The covariance of the chosen genes: (n_chosen, n_chosen).
    pub(super) whole: Mat<f64>,
    pub(super) parts: Parts,
}

/// What the parts of the cells add to the covariance.
pub(super) struct Parts {
    scale: f64,
    parts: Vec<Part>,
}

impl Parts {
    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    /// The covariance without a part of the cells, about the mean of all: C − Σ x xᵀ/(n − 1).
    pub(super) fn without(&self, whole: &Mat<f64>, part: usize) -> Mat<f64> {
        let mut rest = whole.clone();
        self.parts[part].each(|row, column, sum| {
            rest[(row, column)] -= self.scale * sum;
            if row != column {
                rest[(column, row)] -= self.scale * sum;
            }
        });
        rest
    }
}

impl Sums {
    /// Makes sure that so many components can be found.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`].
    pub(super) fn check(&self, n_components: usize) -> Result<()> {
        let (cells, genes) = (self.n_cells, self.columns.len());
        let most = genes.min(cells.saturating_sub(1));
        if n_components > 0 && n_components <= most {
            return Ok(());
        }
        Err(Error::InvalidParameter {
            name: "n_components".into(),
            value: n_components.to_string(),
            reason: format!("{cells} training cells and {genes} variable genes allow 1 to {most} components"),
        })
    }
}

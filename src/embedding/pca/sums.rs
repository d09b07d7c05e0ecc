//! The covariance of genes, summed up over cells that come block by block.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use rayon::prelude::*;

use super::chosen::Chosen;
use crate::cells::SparseMatrix;

/// Cells that are multiplied together.
const CELLS_AT_A_TIME: usize = 256;
/// Genes whose rows of the covariance are one piece of parallel work; fixed, so that no sum depends on the threads.
const GENES_PER_PANEL: usize = 128;
/// Rows of a panel that are copied together.
const ROWS_AT_A_TIME: usize = 16;

/// Sums of products of centred values over training cells, kept apart for `n_parts` parts of the cells: the cell that comes
/// as number i belongs to part i mod `n_parts`.
///
/// The sums depend on the order of the cells, not on the blocks in which they come.
pub(super) struct CovarianceSums<'a> {
    chosen: &'a Chosen,
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

impl<'a> CovarianceSums<'a> {
    pub(super) fn new(chosen: &'a Chosen, n_parts: usize) -> Self {
        let n_chosen = chosen.len();
        let centre = chosen.means().map(|mean| -mean as f32).collect();
        let part = || Part {
            waiting: Mat::zeros(n_chosen, CELLS_AT_A_TIME),
            n_waiting: 0,
            panels: (0..n_chosen)
                .step_by(GENES_PER_PANEL)
                .map(|first| (first, Mat::zeros(n_chosen - first, GENES_PER_PANEL.min(n_chosen - first))))
                .collect(),
        };
        Self { chosen, centre, n_cells: 0, parts: (0..n_parts).map(|_| part()).collect() }
    }

    /// Adds the cells `rows` of a block.
    ///
    /// **Shapes** `x`: (n_cells, n_genes), log-normalised
    pub(super) fn add(&mut self, x: &SparseMatrix, rows: &[usize]) {
        let (n_parts, chosen, centre) = (self.parts.len(), self.chosen, &self.centre);
        let n_before = self.n_cells;
        self.parts.par_iter_mut().enumerate().for_each(|(number, part)| {
            let first = (number + n_parts - n_before % n_parts) % n_parts;
            for &row in rows.iter().skip(first).step_by(n_parts) {
                let target = part.waiting.col_as_slice_mut(part.n_waiting);
                target.copy_from_slice(centre);
                chosen.of_cell(x, row).for_each(|(place, value)| target[place] += value);
                part.n_waiting += 1;
                if part.n_waiting == CELLS_AT_A_TIME {
                    part.sum_up();
                }
            }
        });
        self.n_cells += rows.len();
    }

    /// The covariance (divisor n − 1) of all cells, what each part adds to it, and the number of cells.
    pub(super) fn finish(mut self) -> (Mat<f64>, Parts, usize) {
        let scale = 1.0 / (self.n_cells as f64 - 1.0);
        let n_chosen = self.chosen.len();
        let mut whole = Mat::zeros(n_chosen, n_chosen);
        self.parts.iter_mut().for_each(Part::sum_up);
        let parts = &self.parts;
        whole.par_col_chunks_mut(GENES_PER_PANEL).enumerate().for_each(|(number, mut columns)| {
            for column in 0..columns.ncols() {
                for row in number * GENES_PER_PANEL + column..n_chosen {
                    let of_part =
                        |part: &Part| f64::from(part.panels[number].1[(row - number * GENES_PER_PANEL, column)]);
                    columns[(row, column)] = scale * parts.iter().map(of_part).sum::<f64>();
                }
            }
        });
        for column in 0..n_chosen {
            for row in column + 1..n_chosen {
                whole[(column, row)] = whole[(row, column)];
            }
        }
        (whole, Parts { scale, parts: self.parts }, self.n_cells)
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
}

/// What the parts of the cells add to the covariance.
pub(super) struct Parts {
    scale: f64,
    parts: Vec<Part>,
}

impl Parts {
    /// The covariance without a part of the cells, about the mean of all: C − Σ x xᵀ/(n − 1).
    pub(super) fn without(&self, whole: &Mat<f64>, part: usize) -> Mat<f32> {
        let mut rest = Mat::zeros(whole.nrows(), whole.ncols());
        for (first, panel) in &self.parts[part].panels {
            // A few rows at a time, so that what is written across columns stays near.
            for start in (0..panel.nrows()).step_by(ROWS_AT_A_TIME) {
                let end = panel.nrows().min(start + ROWS_AT_A_TIME);
                for column in 0..panel.ncols().min(end) {
                    let (sums, whole) = (panel.col_as_slice(column), whole.col_as_slice(first + column));
                    for row in start.max(column)..end {
                        let value = (whole[first + row] - self.scale * f64::from(sums[row])) as f32;
                        rest[(first + row, first + column)] = value;
                        rest[(first + column, first + row)] = value;
                    }
                }
            }
        }
        rest
    }
}

//! The covariance of genes over cells, and its eigenvectors.

use faer::diag::Diag;
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use rayon::prelude::*;

use crate::cells::SparseMatrix;
use crate::{Error, Result};

/// Cells whose centred values are dense at one time while the covariance is summed up.
const CELLS_AT_A_TIME: usize = 256;
/// Genes whose rows of the covariance are one piece of parallel work; fixed, so that no sum depends on the threads.
const GENES_PER_PANEL: usize = 128;

/// The covariance of the genes `columns` over the cells `rows` (divisor n − 1): lower triangle of (n_chosen, n_chosen).
pub(super) fn covariance(x: &SparseMatrix, rows: &[usize], columns: &[usize], mean: &[f64]) -> Mat<f64> {
    let n_chosen = columns.len();
    let mut position = vec![usize::MAX; x.n_columns()];
    columns.iter().enumerate().for_each(|(at, &gene)| position[gene] = at);
    let centre: Vec<f64> = columns.iter().map(|&gene| -mean[gene]).collect();
    let mut panels: Vec<(usize, Mat<f64>)> = (0..n_chosen)
        .step_by(GENES_PER_PANEL)
        .map(|start| (start, Mat::zeros(n_chosen - start, GENES_PER_PANEL.min(n_chosen - start))))
        .collect();
    for some in rows.chunks(CELLS_AT_A_TIME) {
        let mut centred = Mat::<f64>::zeros(n_chosen, some.len()); // (n_chosen, n_some)
        for (cell, &row) in some.iter().enumerate() {
            let target = centred.col_as_slice_mut(cell);
            target.copy_from_slice(&centre);
            let (genes, values) = x.row(row);
            for (&gene, &value) in genes.iter().zip(values).filter(|&(&gene, _)| position[gene as usize] != usize::MAX)
            {
                target[position[gene as usize]] += f64::from(value);
            }
        }
        panels.par_iter_mut().for_each(|(start, panel)| {
            let below = centred.subrows(*start, panel.nrows());
            let across = centred.subrows(*start, panel.ncols());
            matmul(panel.as_mut(), Accum::Add, below, across.transpose(), 1.0, Par::Seq);
        });
    }
    let scale = 1.0 / (rows.len() as f64 - 1.0);
    let mut covariance = Mat::zeros(n_chosen, n_chosen);
    for (start, panel) in &panels {
        for column in 0..panel.ncols() {
            for row in column..panel.nrows() {
                covariance[(start + row, start + column)] = scale * panel[(row, column)];
            }
        }
    }
    covariance
}

/// Eigenvalues, rising, and eigenvectors in columns, of a symmetric matrix given by its lower triangle.
pub(crate) fn eigen(matrix: &Mat<f64>) -> Result<(Vec<f64>, Mat<f64>)> {
    let n = matrix.nrows();
    let (mut values, mut vectors) = (Diag::zeros(n), Mat::zeros(n, n));
    let scratch = self_adjoint_evd_scratch::<f64>(n, ComputeEigenvectors::Yes, Par::Seq, Default::default());
    let mut buffer = faer::dyn_stack::MemBuffer::new(scratch);
    let stack = faer::dyn_stack::MemStack::new(&mut buffer);
    // One thread: the blocks of a parallel run, and with them the last bits, would follow the number of threads.
    self_adjoint_evd(matrix.as_ref(), values.as_mut(), Some(vectors.as_mut()), Par::Seq, stack, Default::default())
        .map_err(|error| Error::backend("eigenvectors of the covariance", format!("{error:?}")))?;
    let values = values.column_vector().iter().copied().collect();
    Ok((values, vectors))
}

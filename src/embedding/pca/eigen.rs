//! Eigenvectors of symmetric matrices.

use faer::diag::Diag;
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::{Mat, Par};

use crate::{Error, Result};

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

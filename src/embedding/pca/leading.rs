//! The leading eigenvectors of a large covariance, without the others.

use faer::linalg::matmul::matmul;
use faer::traits::RealField;
use faer::traits::math_utils::one;
use faer::{Accum, Mat, MatRef, Par};
use rayon::prelude::*;

use super::eigen::eigen;
use crate::Result;

/// Rows of a product that are one piece of parallel work; fixed, so that no sum depends on the threads.
const ROWS_PER_PANEL: usize = 256;
/// The greatest factor by which a filter may raise a direction that is not settled yet: beyond it, rounding errors along
/// this direction would drown the others.
const MOST_GAIN: f64 = 1e6;
/// The least share of the largest eigenvalue that a filter ends at.
const LEAST_LIMIT: f64 = 1e-9;
/// A direction shorter than this beside a unit vector is rounding error.
const SHORTEST: f64 = 1e-10;

/// How far a search goes.
#[derive(Clone, Copy)]
pub(super) struct Effort {
    /// A vector is settled once ‖C v − θ v‖ is no larger than this share of its eigenvalue θ.
    pub(super) tolerance: f64,
    /// Filters at most.
    pub(super) most_rounds: usize,
    /// The largest degree of a filter: so many products with the matrix.
    pub(super) most_degree: usize,
}

/// Eigenvalues, falling, and eigenvectors in columns; as many as `start` has, the first `n_wanted` of them settled.
///
/// Subspace iteration with Chebyshev filters (Zhou, Saad, Tiago & Chelikowsky 2006, J. Comput. Phys. 219:172): a polynomial
/// of the matrix that is small between zero and the least Ritz value raises all that lies above. Vectors that are settled
/// are taken out, the largest first.
///
/// **Shapes** `matrix`: (n, n), symmetric and positive; `start`: (n, n_directions)
pub(super) fn leading(
    matrix: Mat<f64>,
    start: Mat<f64>,
    n_wanted: usize,
    effort: Effort,
) -> Result<(Vec<f64>, Mat<f64>)> {
    let mut settled = Mat::<f64>::zeros(matrix.nrows(), 0);
    let mut values = Vec::new();
    // The matrix without what is settled, which filters would raise beyond all bounds.
    let mut rest = matrix;
    let mut narrow = narrowed(rest.as_ref());
    let mut directions = start;
    orthonormalise(&settled, &mut directions);
    let mut round = 0;
    loop {
        // Rayleigh and Ritz: the eigenvectors within the span.
        let image = product(rest.as_ref(), directions.as_ref());
        let (rising, turns) = eigen(&product(directions.transpose(), image.as_ref()))?;
        let n_open = directions.ncols();
        let turns = Mat::from_fn(n_open, n_open, |i, k| turns[(i, n_open - 1 - k)]);
        let ritz: Vec<f64> = rising.into_iter().rev().collect();
        directions = product(directions.as_ref(), turns.as_ref());
        let mut image = product(image.as_ref(), turns.as_ref());
        // What errors of settled vectors leave of them here is no error of the others.
        take_out_of(&settled, &mut image);
        let residual = |k: usize| {
            let of = image.col_as_slice(k).iter().zip(directions.col_as_slice(k));
            of.map(|(image, vector)| (image - ritz[k] * vector).powi(2)).sum::<f64>().sqrt()
        };
        let n_still_wanted = n_wanted - values.len();
        let n_settled = (0..n_still_wanted).take_while(|&k| residual(k) <= effort.tolerance * ritz[k]).count();
        if n_settled == n_still_wanted || round == effort.most_rounds {
            values.extend(ritz);
            return Ok((values, beside(&settled, directions.as_ref())));
        }
        values.extend(&ritz[..n_settled]);
        if n_settled > 0 {
            take_out(&mut rest, directions.subcols(0, n_settled), &ritz);
            narrow = narrowed(rest.as_ref());
        }
        settled = beside(&settled, directions.subcols(0, n_settled));
        let open = directions.subcols(n_settled, n_open - n_settled).to_owned();
        let least = ritz[n_open - 1].max(LEAST_LIMIT * ritz[n_settled]).max(f64::MIN_POSITIVE);
        directions = filter(narrow.as_ref(), open, least, degree(ritz[n_settled] / least).min(effort.most_degree));
        orthonormalise(&settled, &mut directions);
        round += 1;
    }
}

/// C − V Θ Vᵀ.
fn take_out(matrix: &mut Mat<f64>, vectors: MatRef<'_, f64>, values: &[f64]) {
    let scaled = Mat::from_fn(vectors.ncols(), vectors.nrows(), |k, row| -values[k] * vectors[(row, k)]);
    let starts: Vec<usize> = (0..matrix.nrows()).step_by(ROWS_PER_PANEL).collect();
    matrix.par_row_chunks_mut(ROWS_PER_PANEL).zip(starts).for_each(|(panel, start)| {
        let rows = vectors.subrows(start, panel.nrows());
        matmul(panel, Accum::Add, rows, scaled.as_ref(), 1.0, Par::Seq);
    });
}

/// The largest degree whose filter raises an eigenvalue `above` times the limit by no more than [`MOST_GAIN`].
fn degree(above: f64) -> usize {
    let angle = (2.0 * above - 1.0).max(1.0).acosh();
    let most = (2.0 * MOST_GAIN).ln() / angle.max(f64::MIN_POSITIVE);
    (most as usize).max(1)
}

/// T_degree(2 C/limit − 1) applied to each direction, by the recurrence of Chebyshev's polynomials.
///
/// In 32 bits, which are twice as fast: what rounding adds is small beside the largest eigenvalue that is left, and the next
/// step of Rayleigh and Ritz, in 64 bits, sees it.
fn filter(matrix: MatRef<'_, f32>, directions: Mat<f64>, limit: f64, degree: usize) -> Mat<f64> {
    let mut before = narrowed(directions.as_ref());
    let mut now = mapped(matrix, &before, limit as f32, None);
    for _ in 1..degree {
        let next = mapped(matrix, &now, limit as f32, Some(&before));
        (before, now) = (now, next);
    }
    Mat::from_fn(now.nrows(), now.ncols(), |row, k| f64::from(now[(row, k)]))
}

/// (2 C/limit − 1) D, or twice that minus what came before.
fn mapped(matrix: MatRef<'_, f32>, directions: &Mat<f32>, limit: f32, before: Option<&Mat<f32>>) -> Mat<f32> {
    let mut image = product(matrix, directions.as_ref());
    let factor = if before.is_some() { 2.0 } else { 1.0 };
    for k in 0..image.ncols() {
        let direction = directions.col_as_slice(k);
        let to = image.col_as_slice_mut(k);
        to.iter_mut().zip(direction).for_each(|(to, &value)| *to = factor * (2.0 / limit * *to - value));
        if let Some(before) = before {
            to.iter_mut().zip(before.col_as_slice(k)).for_each(|(to, value)| *to -= value);
        }
    }
    image
}

fn narrowed(matrix: MatRef<'_, f64>) -> Mat<f32> {
    Mat::from_fn(matrix.nrows(), matrix.ncols(), |row, column| matrix[(row, column)] as f32)
}

/// A B; each panel of rows on one thread.
pub(super) fn product<T: RealField + Copy>(a: MatRef<'_, T>, b: MatRef<'_, T>) -> Mat<T> {
    let mut product = Mat::zeros(a.nrows(), b.ncols());
    let starts: Vec<usize> = (0..a.nrows()).step_by(ROWS_PER_PANEL).collect();
    let panels = product.par_row_chunks_mut(ROWS_PER_PANEL);
    panels.zip(starts).for_each(|(panel, start)| {
        let rows = a.subrows(start, panel.nrows());
        matmul(panel, Accum::Replace, rows, b, one(), Par::Seq);
    });
    product
}

fn beside(left: &Mat<f64>, right: MatRef<'_, f64>) -> Mat<f64> {
    let n_left = left.ncols();
    Mat::from_fn(right.nrows(), n_left + right.ncols(), |row, k| {
        if k < n_left { left[(row, k)] } else { right[(row, k - n_left)] }
    })
}

/// What is orthogonal to orthonormal vectors.
fn take_out_of(vectors: &Mat<f64>, matrix: &mut Mat<f64>) {
    if vectors.ncols() > 0 {
        let overlaps = product(vectors.transpose(), matrix.as_ref());
        matmul(matrix.as_mut(), Accum::Add, vectors.as_ref(), overlaps.as_ref(), -1.0, Par::Seq);
    }
}

/// Gram–Schmidt, twice, also against the settled vectors; what is left of a direction that depends on those before it is
/// set to zero.
fn orthonormalise(settled: &Mat<f64>, matrix: &mut Mat<f64>) {
    take_out_of(settled, matrix);
    take_out_of(settled, matrix);
    for k in 0..matrix.ncols() {
        let mut column = matrix.col_as_slice(k).to_vec();
        let length = dot(&column, &column).sqrt();
        for _ in 0..2 {
            for earlier in 0..k {
                let earlier = matrix.col_as_slice(earlier);
                let overlap = dot(earlier, &column);
                column.iter_mut().zip(earlier).for_each(|(value, earlier)| *value -= overlap * earlier);
            }
        }
        let rest = dot(&column, &column).sqrt();
        let scale = if rest > SHORTEST * length { 1.0 / rest } else { 0.0 };
        matrix.col_as_slice_mut(k).iter_mut().zip(&column).for_each(|(to, value)| *to = scale * value);
    }
}

/// In eight sums, so that it vectorises.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a, b) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.0.iter().zip(b.0) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + a.1.iter().zip(b.1).map(|(a, b)| a * b).sum::<f64>()
}

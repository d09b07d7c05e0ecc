//! The leading eigenvectors of a large covariance, without the others.

use faer::linalg::matmul::matmul;
use faer::traits::RealField;
use faer::traits::math_utils::one;
use faer::{Accum, Mat, MatMut, MatRef, Par};
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
/// Directions that are made orthonormal together.
const DIRECTIONS_AT_A_TIME: usize = 16;
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
        take_out_of(settled.as_ref(), image.as_mut());
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
        let open = directions.subcols(n_settled, n_open - n_settled);
        let least = ritz[n_open - 1].max(LEAST_LIMIT * ritz[n_settled]).max(f64::MIN_POSITIVE);
        directions = filter(narrow.as_ref(), open, least, degree(ritz[n_settled] / least).min(effort.most_degree));
        orthonormalise(&settled, &mut directions);
        round += 1;
    }
}

/// The leading eigenvectors of a matrix near another one, from eigenvectors of that one in `start`, whose eigenvalues, the
/// greatest and the least, are `range`: one filter, and the eigenvectors within the span of what it gives; as many as
/// `start` has, the leading ones first.
///
/// In 32 bits but for lengths and angles: what rounding adds is small beside the gap between the two matrices.
///
/// **Shapes** `matrix`: (n, n), symmetric and positive; `start`: (n, n_directions)
pub(super) fn nearby(
    matrix: MatRef<'_, f32>,
    start: &Mat<f64>,
    range: (f64, f64),
    most_degree: usize,
) -> Result<Mat<f64>> {
    let least = range.1.max(LEAST_LIMIT * range.0).max(f64::MIN_POSITIVE);
    let mut directions = filter(matrix, start.as_ref(), least, degree(range.0 / least).min(most_degree));
    orthonormalise(&Mat::zeros(start.nrows(), 0), &mut directions);
    let narrow = narrowed(directions.as_ref());
    let inner = product(narrow.transpose(), product(matrix, narrow.as_ref()).as_ref());
    let n = inner.ncols();
    let (_, turns) = eigen(&Mat::from_fn(n, n, |i, k| f64::from(inner[(i, k)])))?;
    let falling = Mat::from_fn(n, n, |i, k| turns[(i, n - 1 - k)]);
    Ok(product(directions.as_ref(), falling.as_ref()))
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
fn filter(matrix: MatRef<'_, f32>, directions: MatRef<'_, f64>, limit: f64, degree: usize) -> Mat<f64> {
    let mut before = narrowed(directions);
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

pub(super) fn beside(left: &Mat<f64>, right: MatRef<'_, f64>) -> Mat<f64> {
    let n_left = left.ncols();
    Mat::from_fn(right.nrows(), n_left + right.ncols(), |row, k| {
        if k < n_left { left[(row, k)] } else { right[(row, k - n_left)] }
    })
}

/// What is orthogonal to orthonormal vectors.
fn take_out_of(vectors: MatRef<'_, f64>, matrix: MatMut<'_, f64>) {
    if vectors.ncols() > 0 {
        let overlaps = product(vectors.transpose(), matrix.as_ref());
        matmul(matrix, Accum::Add, vectors, overlaps.as_ref(), -1.0, Par::Seq);
    }
}

/// Gram–Schmidt, twice, also against the settled vectors; what is left of a direction that depends on those before it is
/// set to zero. A few directions at a time, so that most of it is products of matrices.
pub(super) fn orthonormalise(settled: &Mat<f64>, matrix: &mut Mat<f64>) {
    take_out_of(settled.as_ref(), matrix.as_mut());
    take_out_of(settled.as_ref(), matrix.as_mut());
    let n = matrix.ncols();
    for first in (0..n).step_by(DIRECTIONS_AT_A_TIME) {
        let until = n.min(first + DIRECTIONS_AT_A_TIME);
        let lengths: Vec<f64> = (first..until).map(|k| length(matrix.col_as_slice(k))).collect();
        let (done, mut open) = matrix.as_mut().split_at_col_mut(first);
        let mut some = open.as_mut().subcols_mut(0, until - first);
        take_out_of(done.as_ref(), some.as_mut());
        take_out_of(done.as_ref(), some.as_mut());
        for (k, length) in lengths.into_iter().enumerate() {
            orthonormalise_last(some.as_mut().subcols_mut(0, k + 1), length);
        }
    }
}

/// Makes the last direction a unit vector at right angles to the others, or zero where it has hardly any `length` left.
fn orthonormalise_last(directions: MatMut<'_, f64>, length_before: f64) {
    let last = directions.ncols() - 1;
    let (earlier, last) = directions.split_at_col_mut(last);
    let Some(column) = last.col_mut(0).try_as_col_major_mut().map(|column| column.as_slice_mut()) else { return };
    for _ in 0..2 {
        for earlier in earlier.as_ref().col_iter().filter_map(|column| column.try_as_col_major()) {
            let earlier = earlier.as_slice();
            let overlap = dot(earlier, column);
            column.iter_mut().zip(earlier).for_each(|(value, earlier)| *value -= overlap * earlier);
        }
    }
    let rest = length(column);
    let scale = if rest > SHORTEST * length_before { 1.0 / rest } else { 0.0 };
    column.iter_mut().for_each(|value| *value *= scale);
}

fn length(vector: &[f64]) -> f64 {
    dot(vector, vector).sqrt()
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

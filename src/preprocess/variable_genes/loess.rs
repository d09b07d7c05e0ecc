//! Local quadratic regression of one variable on another, with the numbers of Cleveland & Grosse's `dloess`, which R and
//! scikit-misc call (Computational methods for local regression, Statistics and Computing 1, 47–62, 1991).

use crate::{Error, Result};

/// The share of the points in each neighbourhood times this is the number of points that a cell may hold undivided.
const CELL: f64 = 0.2;
/// The outermost vertices lie beyond the points by this share of their range.
const MARGIN: f64 = 0.005;
/// Intercept, slope and square.
const N_TERMS: usize = 3;
/// A singular value below this share of the largest is taken for zero.
const SINGULAR: f64 = 100.0 * f64::EPSILON;

/// The smooth curve at each point: a quadratic is fitted around every vertex of a tree of cells, by least squares with
/// tricube weights among the nearest `span` of the points; between vertices runs the cubic that has their values and slopes.
///
/// **Shapes** `x`, `y`: (n_points), finite → (n_points)
///
/// # Errors
/// [`Error::TooFew`] if the neighbourhoods hold too few points, or too few different ones, to fit a quadratic to.
pub fn loess(x: &[f64], y: &[f64], span: f64) -> Result<Vec<f64>> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    let sorted: Vec<(f64, f64)> = order.iter().map(|&point| (x[point], y[point])).collect();
    let n_near = ((sorted.len() as f64 * span + 1e-5).floor() as usize).min(sorted.len());
    if n_near <= N_TERMS {
        return Err(too_few(N_TERMS + 1, n_near));
    }
    let vertices = vertices(&sorted, span * CELL);
    let fits: Vec<(f64, f64)> = vertices.iter().map(|&at| quadratic(&sorted, at, n_near)).collect::<Result<_>>()?;
    Ok(x.iter().map(|&x| blend(&vertices, &fits, x)).collect())
}

fn too_few(needed: usize, got: usize) -> Error {
    Error::TooFew {
        what: "genes of different means, to which a curve of their variances is fitted".into(),
        needed,
        got,
        hint: "remove rare genes with --min-cells, or choose another --flavor".into(),
    }
}

/// The ends of the cells, rising: each cell with more than the given share of the points is divided at the median point.
fn vertices(sorted: &[(f64, f64)], share: f64) -> Vec<f64> {
    let (low, high) = (sorted[0].0, sorted[sorted.len() - 1].0);
    let margin = MARGIN * (high - low).max(1e-10 * low.abs().max(high.abs()) + 1e-30);
    let most = (sorted.len() as f64 * share).floor() as usize;
    let mut vertices = vec![low - margin, high + margin];
    // The first and last point of a cell, counted from 1 as the original does, and its ends.
    let mut cells = vec![(1, sorted.len(), low - margin, high + margin)];
    while let Some((first, last, left, right)) = cells.pop() {
        if last + 1 - first <= most {
            continue;
        }
        let middle = middle(sorted, first, last);
        let cut = sorted[middle - 1].0;
        if cut == left || cut == right {
            continue;
        }
        vertices.push(cut);
        cells.push((first, middle, left, cut));
        cells.push((middle + 1, last, cut, right));
    }
    vertices.sort_by(f64::total_cmp);
    vertices
}

/// The point nearest the middle that differs from the next one; the middle one if the search leaves the cell first.
fn middle(sorted: &[(f64, f64)], first: usize, last: usize) -> usize {
    let middle = (first + last) / 2;
    let mut offset = 0_isize;
    loop {
        let point = middle as isize + offset;
        if point >= last as isize || point < first as isize {
            return middle;
        }
        if sorted[point as usize - 1].0 != sorted[point as usize].0 {
            return point as usize;
        }
        offset = if offset > 0 { -offset } else { 1 - offset };
    }
}

/// Value and slope at `at` of the quadratic fitted to the `n_near` nearest points.
fn quadratic(sorted: &[(f64, f64)], at: f64, n_near: usize) -> Result<(f64, f64)> {
    let near = nearest(sorted, at, n_near);
    let squared = |x: f64| (x - at).powi(2);
    let radius = near.iter().map(|&(x, _)| squared(x)).fold(0.0, f64::max);
    if radius <= 0.0 {
        return Err(too_few(N_TERMS, 1));
    }
    let weights: Vec<f64> =
        near.iter().map(|&(x, _)| (1.0 - (squared(x) / radius).sqrt().powi(3)).powi(3).max(0.0).sqrt()).collect();
    let mut columns: Vec<Vec<f64>> = (0..N_TERMS as i32)
        .map(|power| near.iter().zip(&weights).map(|(&(x, _), weight)| weight * (x - at).powi(power)).collect())
        .collect();
    let target: Vec<f64> = near.iter().zip(&weights).map(|(&(_, y), weight)| weight * y).collect();
    let norms: Vec<f64> = columns.iter().map(|column| dot(column, column).sqrt()).collect();
    if norms.contains(&0.0) {
        return Err(too_few(N_TERMS, 1));
    }
    for (column, norm) in columns.iter_mut().zip(&norms) {
        column.iter_mut().for_each(|value| *value /= norm);
    }
    let rotation = orthogonalize(&mut columns);
    let squares: Vec<f64> = columns.iter().map(|column| dot(column, column)).collect();
    let largest = squares.iter().copied().fold(0.0, f64::max).sqrt();
    let n_regular = squares.iter().filter(|square| square.sqrt() > SINGULAR * largest).count();
    if n_regular < N_TERMS {
        return Err(too_few(N_TERMS, n_regular));
    }
    let along: Vec<f64> = columns.iter().zip(&squares).map(|(column, square)| dot(column, &target) / square).collect();
    let term = |term: usize| dot(&rotation[term], &along) / norms[term];
    Ok((term(0), term(1)))
}

/// The `n_near` points nearest to `at`: they lie side by side.
fn nearest(sorted: &[(f64, f64)], at: f64, n_near: usize) -> &[(f64, f64)] {
    // The first start from which moving on would lose a nearer point than it gains.
    let (mut low, mut high) = (0, sorted.len() - n_near);
    while low < high {
        let start = (low + high) / 2;
        if at - sorted[start].0 > sorted[start + n_near].0 - at { low = start + 1 } else { high = start }
    }
    &sorted[low..low + n_near]
}

/// Rotates the columns until they are orthogonal (one-sided Jacobi) and returns the rotation, row by row: columns as they
/// were = columns as they are × rotationᵀ.
fn orthogonalize(columns: &mut [Vec<f64>]) -> [[f64; N_TERMS]; N_TERMS] {
    let mut rotation = [[0.0; N_TERMS]; N_TERMS];
    (0..N_TERMS).for_each(|term| rotation[term][term] = 1.0);
    for _ in 0..30 {
        let mut is_done = true;
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            let (aa, bb, ab) =
                (dot(&columns[a], &columns[a]), dot(&columns[b], &columns[b]), dot(&columns[a], &columns[b]));
            if ab.abs() <= f64::EPSILON * (aa * bb).sqrt() {
                continue;
            }
            is_done = false;
            let zeta = (bb - aa) / (2.0 * ab);
            let tangent = zeta.signum() / (zeta.abs() + zeta.hypot(1.0));
            let cosine = 1.0 / tangent.hypot(1.0);
            let sine = cosine * tangent;
            let (left, right) = columns.split_at_mut(b);
            for (first, second) in left[a].iter_mut().zip(&mut right[0]) {
                (*first, *second) = (cosine * *first - sine * *second, sine * *first + cosine * *second);
            }
            for row in &mut rotation {
                (row[a], row[b]) = (cosine * row[a] - sine * row[b], sine * row[a] + cosine * row[b]);
            }
        }
        if is_done {
            break;
        }
    }
    rotation
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The cubic between two vertices that has their values and slopes.
fn blend(vertices: &[f64], fits: &[(f64, f64)], x: f64) -> f64 {
    let right = vertices.partition_point(|&vertex| vertex < x).clamp(1, vertices.len() - 1);
    let (left_end, right_end) = (vertices[right - 1], vertices[right]);
    let ((value_0, slope_0), (value_1, slope_1)) = (fits[right - 1], fits[right]);
    let width = right_end - left_end;
    let h = (x - left_end) / width;
    let rest = 1.0 - h;
    rest * rest * (1.0 + 2.0 * h) * value_0
        + h * h * (3.0 - 2.0 * h) * value_1
        + (h * rest * rest * slope_0 - h * h * rest * slope_1) * width
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quadratic_is_its_own_curve() {
        let x: Vec<f64> = (0..200).map(|i| f64::from(i).sqrt()).collect();
        let y: Vec<f64> = x.iter().map(|x| 2.0 - 3.0 * x + 0.5 * x * x).collect();
        for (fitted, y) in loess(&x, &y, 0.3).unwrap().iter().zip(&y) {
            assert!((fitted - y).abs() < 1e-9, "{fitted} {y}");
        }
    }

    #[test]
    fn points_that_determine_no_quadratic_are_refused() {
        let y: Vec<f64> = (0..40).map(f64::from).collect();
        assert!(loess(&y[..10], &y[..10], 0.3).is_err());
        assert!(loess(&[1.0; 40], &y, 0.3).is_err());
        let two: Vec<f64> = (0..40).map(|i| f64::from(i % 2)).collect();
        assert!(loess(&two, &y, 0.3).is_err());
    }

    #[test]
    fn cells_are_divided_between_points_that_differ() {
        let tied: Vec<(f64, f64)> = [1.0, 2.0, 2.0, 2.0, 2.0, 3.0].map(|x| (x, 0.0)).to_vec();
        // The middle is the third point; the fifth is the nearest one that differs from the next.
        assert_eq!(middle(&tied, 1, 6), 5);
        assert_eq!(middle(&tied, 2, 5), 3, "all are equal");
        let spread: Vec<(f64, f64)> = (0..100).map(|i| (f64::from(i), 0.0)).collect();
        let vertices = vertices(&spread, 0.25);
        assert_eq!(vertices.len(), 5);
        assert_eq!(vertices[1..4], [24.0, 49.0, 74.0]);
        assert!((vertices[0] + 0.495).abs() < 1e-12);
    }
}

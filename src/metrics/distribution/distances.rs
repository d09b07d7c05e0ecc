//! Distances between points, means of them over pairs, and random choices of points.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::{Error, Result};

/// Points on a side of a block of pairs: a block of distances stays in a core's cache.
const BLOCK: usize = 128;

/// Points in double precision, from an origin near them, with their squared norms: |x − y|² = |x|² + |y|² − 2xy loses
/// digits far from the origin.
struct Placed {
    points: Array2<f64>,
    norms: Array1<f64>,
}

impl Placed {
    fn new(points: ArrayView2<f32>, origin: &Array1<f64>) -> Self {
        let points = points.mapv(f64::from) - origin;
        let norms = points.map_axis(Axis(1), |row| row.dot(&row));
        Self { points, norms }
    }

    fn n_blocks(&self) -> usize {
        self.norms.len().div_ceil(BLOCK)
    }

    /// The squared distances between one block of points and one of `other`, with the position of the block.
    fn block(&self, block: usize, other: &Self, other_block: usize) -> (Array2<f64>, [usize; 2]) {
        let [first, second] = [block * BLOCK, other_block * BLOCK];
        let rows = s![first..(first + BLOCK).min(self.norms.len()), ..];
        let columns = s![second..(second + BLOCK).min(other.norms.len()), ..];
        let mut distances = self.points.slice(rows).dot(&other.points.slice(columns).t());
        for ((i, j), value) in distances.indexed_iter_mut() {
            let distance = self.norms[first + i] + other.norms[second + j] - 2.0 * *value;
            // Rounding may leave less than nothing; what is not a number stays so.
            *value = if distance < 0.0 { 0.0 } else { distance };
        }
        (distances, [first, second])
    }
}

fn origin_of(points: ArrayView2<f32>) -> Array1<f64> {
    points.mapv(f64::from).mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(points.ncols()))
}

/// Fails unless both clouds have as many dimensions.
///
/// # Errors
/// [`Error::ShapeMismatch`].
pub fn same_dimensions(first: ArrayView2<f32>, second: ArrayView2<f32>) -> Result<()> {
    if first.ncols() == second.ncols() {
        return Ok(());
    }
    Err(Error::ShapeMismatch {
        what: "clouds of points".into(),
        expected: format!("{} dimensions", first.ncols()),
        got: format!("{}", second.ncols()),
    })
}

/// Squared Euclidean distances between all pairs: (n, m).
///
/// **Shapes** `first`: (n, n_dims); `second`: (m, n_dims).
///
/// # Errors
/// [`Error::ShapeMismatch`] if the dimensions differ.
pub fn squared(first: ArrayView2<f32>, second: ArrayView2<f32>) -> Result<Array2<f64>> {
    same_dimensions(first, second)?;
    let origin = origin_of(first);
    Ok(matrix(&Placed::new(first, &origin), &Placed::new(second, &origin)))
}

/// Squared distances between the clouds after each is moved to its own mean: (n, m), and the squared distance of the
/// means.
///
/// # Errors
/// [`Error::ShapeMismatch`] if the dimensions differ.
pub fn squared_around_means(first: ArrayView2<f32>, second: ArrayView2<f32>) -> Result<(Array2<f64>, f64)> {
    same_dimensions(first, second)?;
    let (origin, other) = (origin_of(first), origin_of(second));
    let gap = (&origin - &other).mapv(|value| value * value).sum();
    Ok((matrix(&Placed::new(first, &origin), &Placed::new(second, &other)), gap))
}

fn matrix(first: &Placed, second: &Placed) -> Array2<f64> {
    let mut distances = Array2::zeros((first.norms.len(), second.norms.len()));
    let rows: Vec<_> = distances.axis_chunks_iter_mut(Axis(0), BLOCK).enumerate().collect();
    rows.into_par_iter().for_each(|(block, mut rows)| {
        for other in 0..second.n_blocks() {
            let (values, [_, column]) = first.block(block, second, other);
            rows.slice_mut(s![.., column..column + values.ncols()]).assign(&values);
        }
    });
    distances
}

/// The means of `of` (squared distance) over all pairs of a point of `first` and one of `second`, in memory that does not
/// grow with the number of pairs.
///
/// # Errors
/// [`Error::ShapeMismatch`] if the dimensions differ.
pub fn mean_over_pairs<const K: usize>(
    first: ArrayView2<f32>,
    second: ArrayView2<f32>,
    of: impl Fn(f64) -> [f64; K] + Sync,
) -> Result<[f64; K]> {
    same_dimensions(first, second)?;
    let origin = origin_of(first);
    let (first, second) = (Placed::new(first, &origin), Placed::new(second, &origin));
    let n = first.norms.len() as f64 * second.norms.len() as f64;
    let sums = sum_by_block(first.n_blocks(), |block, sum| {
        for other in 0..second.n_blocks() {
            first.block(block, &second, other).0.iter().for_each(|&distance| add(sum, of(distance)));
        }
    });
    Ok(sums.map(|sum| sum / n))
}

/// The means of `of` (squared distance) over all pairs of different points, in memory that does not grow with the number
/// of pairs.
pub fn mean_over_distinct_pairs<const K: usize>(
    points: ArrayView2<f32>,
    of: impl Fn(f64) -> [f64; K] + Sync,
) -> [f64; K] {
    let placed = Placed::new(points, &origin_of(points));
    let n = placed.norms.len() as f64;
    let sums = sum_by_block(placed.n_blocks(), |block, sum| {
        each_distinct(&placed, block, |distance| add(sum, of(distance)));
    });
    sums.map(|sum| sum / (n * (n - 1.0) / 2.0))
}

/// The median of the squared distances between different points, to the last digit, in memory that does not grow with
/// the number of pairs.
///
/// Distances that are not negative stand in the order of their bits, so that passes over the pairs, each counting by 16
/// further bits, find the one in the middle.
pub fn median_over_distinct_pairs(points: ArrayView2<f32>) -> f64 {
    let placed = Placed::new(points, &origin_of(points));
    let n = placed.norms.len();
    let n_pairs = (n * n.saturating_sub(1) / 2) as u64;
    if n_pairs == 0 {
        return f64::NAN;
    }
    let (lower, upper) = (ranked(&placed, (n_pairs - 1) / 2), ranked(&placed, n_pairs / 2));
    (lower + upper) / 2.0
}

/// The squared distance with `rank` smaller ones before it.
fn ranked(placed: &Placed, mut rank: u64) -> f64 {
    const BITS: u32 = 16;
    let mut known = 0_u64;
    for shift in [48, 32, 16, 0] {
        let count = |mut counts: Vec<u64>, block: usize| {
            each_distinct(placed, block, |distance| {
                let bits = distance.to_bits() >> shift;
                if bits >> BITS == known {
                    counts[(bits & ((1 << BITS) - 1)) as usize] += 1;
                }
            });
            counts
        };
        let none = || vec![0_u64; 1 << BITS];
        let both = |mut a: Vec<u64>, b: Vec<u64>| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
            a
        };
        let counts = (0..placed.n_blocks()).into_par_iter().fold(none, count).reduce(none, both);
        let mut place = 0;
        while place + 1 < counts.len() && rank >= counts[place] {
            rank -= counts[place];
            place += 1;
        }
        known = (known << BITS) | place as u64;
    }
    f64::from_bits(known)
}

/// Visits the squared distances of a block of points from all later points.
fn each_distinct(placed: &Placed, block: usize, mut visit: impl FnMut(f64)) {
    for other in block..placed.n_blocks() {
        let (distances, _) = placed.block(block, placed, other);
        for (i, row) in distances.rows().into_iter().enumerate() {
            let later = if other == block { i + 1 } else { 0 };
            row.iter().skip(later).for_each(|&distance| visit(distance));
        }
    }
}

/// Sums within blocks in parallel, then over blocks in their order: the same digits for any number of threads.
fn sum_by_block<const K: usize>(n_blocks: usize, of: impl Fn(usize, &mut [f64; K]) + Sync) -> [f64; K] {
    let sum = |block: usize| {
        let mut sum = [0.0; K];
        of(block, &mut sum);
        sum
    };
    let sums: Vec<[f64; K]> = (0..n_blocks).into_par_iter().map(sum).collect();
    let mut total = [0.0; K];
    sums.into_iter().for_each(|sum| add(&mut total, sum));
    total
}

fn add<const K: usize>(sum: &mut [f64; K], values: [f64; K]) {
    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}

/// Chooses `n` of the positions 0..`n_all` without replacement, in rising order; all if there are not more.
pub fn choose(n_all: usize, n: usize, seed: u64) -> Vec<usize> {
    if n >= n_all {
        return (0..n_all).collect();
    }
    let mut chosen = rand::seq::index::sample(&mut ChaCha8Rng::seed_from_u64(seed), n_all, n).into_vec();
    chosen.sort_unstable();
    chosen
}

/// Fails unless both clouds have at least two points.
///
/// # Errors
/// [`Error::TooFew`].
pub fn at_least_two(first: ArrayView2<f32>, second: ArrayView2<f32>) -> Result<()> {
    match first.nrows().min(second.nrows()) {
        got @ (0 | 1) => Err(Error::TooFew {
            what: "cells for a distance between distributions".into(),
            needed: 2,
            got,
            hint: "generate more cells".into(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points without ties, more than two blocks of them.
    fn cloud(n: usize) -> Array2<f32> {
        Array2::from_shape_fn((n, 4), |(i, j)| ((i + 1) as f32 * [0.618, 0.414, 0.732, 0.236][j]).fract() * 9.0)
    }

    fn plain(first: &Array2<f32>, second: &Array2<f32>, i: usize, j: usize) -> f64 {
        (0..4).map(|d| (f64::from(first[[i, d]]) - f64::from(second[[j, d]])).powi(2)).sum()
    }

    #[test]
    fn blocks_of_pairs_add_up_to_all_pairs() {
        let (first, second) = (cloud(2 * BLOCK + 3), cloud(BLOCK + 70) + 0.3);
        let [mean, root] = mean_over_pairs(first.view(), second.view(), |d| [d, d.sqrt()]).unwrap();
        let all = |of: fn(f64) -> f64| -> f64 {
            let pairs = (0..first.nrows()).flat_map(|i| (0..second.nrows()).map(move |j| (i, j)));
            pairs.map(|(i, j)| of(plain(&first, &second, i, j))).sum::<f64>() / (first.nrows() * second.nrows()) as f64
        };
        assert!((mean - all(|d| d)).abs() < 1e-9 && (root - all(f64::sqrt)).abs() < 1e-9);
        let matrix = squared(first.view(), second.view()).unwrap();
        assert!(matrix.indexed_iter().all(|((i, j), &d)| (d - plain(&first, &second, i, j)).abs() < 1e-9));
        let (centred, gap) = squared_around_means(first.view(), (&first + 2.0).view()).unwrap();
        assert!((gap - 16.0).abs() < 1e-4 && centred.diag().iter().all(|&d| d < 1e-9));
    }

    #[test]
    fn distinct_pairs_have_the_mean_and_the_median_of_the_sorted_list() {
        for n in [2, 3, 40, BLOCK, 2 * BLOCK + 3] {
            let points = cloud(n);
            let mut sorted: Vec<f64> = (0..n)
                .flat_map(|i| (i + 1..n).map(move |j| (i, j)))
                .map(|(i, j)| plain(&points, &points, i, j))
                .collect();
            sorted.sort_unstable_by(f64::total_cmp);
            let [mean] = mean_over_distinct_pairs(points.view(), |d| [d]);
            assert!((mean - sorted.iter().sum::<f64>() / sorted.len() as f64).abs() < 1e-9);
            let expected = (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0;
            assert!((median_over_distinct_pairs(points.view()) - expected).abs() < 1e-9, "{n} points");
        }
    }

    #[test]
    fn what_is_not_a_number_does_not_become_a_distance() {
        let mut points = cloud(5);
        points[[2, 1]] = f32::NAN;
        assert!(squared(points.view(), cloud(5).view()).unwrap().iter().any(|d| d.is_nan()));
        assert!(mean_over_distinct_pairs(points.view(), |d| [d])[0].is_nan());
    }
}

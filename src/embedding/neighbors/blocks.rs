//! Blocks of points held against runs of others by matrix products.

use std::ops::Range;

use gemm::Parallelism;
use ndarray::{Array1, ArrayView2, Axis};
use rayon::prelude::*;

use super::nearest::Nearest;
use crate::numbers::vectorized;

/// Points that ask at once.
pub(super) const BLOCK: usize = 256;
/// Others in a product: its values, 256 kB, stay in a core's cache until they are looked through.
const RUN: usize = 256;
/// So many more than are wanted are kept by the rounded values of the products, and then told apart by their distances.
const SPARE: usize = 8;

/// The position of a neighbour and the distance to it.
pub(super) type Neighbor = (u32, f32);

/// Points as rows (x − c, |x − c|²) around an origin c, where single precision loses least.
///
/// The product with a row (2(c − q), 1) is |x − q|² − |q − c|², and the second term is the same for all x.
pub(super) struct Placed<'a> {
    points: ArrayView2<'a, f32>,
    origin: Array1<f32>,
    rows: Vec<f32>,
    /// Which point each row is.
    positions: Vec<u32>,
}

impl<'a> Placed<'a> {
    /// All points in their own order.
    pub fn all(points: ArrayView2<'a, f32>) -> Self {
        Self::new(points, (0..points.nrows() as u32).collect())
    }

    /// The points in the order of `positions`.
    pub fn new(points: ArrayView2<'a, f32>, positions: Vec<u32>) -> Self {
        let origin = origin(points);
        let width = points.ncols() + 1;
        let mut rows = vec![0.0; width * positions.len()];
        rows.par_chunks_mut(width).zip(&positions).for_each(|(row, &position)| {
            let (coordinates, norm) = row.split_at_mut(width - 1);
            let point = points.row(position as usize);
            coordinates.iter_mut().zip(point.iter().zip(&origin)).for_each(|(value, (x, c))| *value = x - c);
            norm[0] = coordinates.iter().map(|x| x * x).sum();
        });
        Self { points, origin, rows, positions }
    }

    /// Offers the rows of a range to those of a block who ask for them.
    pub fn offer(&self, range: Range<usize>, asking: &mut Asking, who: &[usize]) {
        let width = self.origin.len() + 1;
        let Asking { rows, nearest, itself, asked, values } = asking;
        asked.clear();
        who.iter().for_each(|&who| asked.extend_from_slice(&rows[who * width..(who + 1) * width]));
        for start in range.clone().step_by(RUN) {
            let run = start..(start + RUN).min(range.end);
            values.resize(who.len() * run.len(), 0.0);
            multiply(asked, &self.rows[run.start * width..run.end * width], width, values);
            for (values, &who) in values.chunks_exact(run.len()).zip(who) {
                nearest[who].offer(values, &self.positions[run.clone()], itself[who]);
            }
        }
    }

    /// For each of `asking` among `points` its nearest of all that are placed, nearest first, one after the other.
    pub fn nearest(&self, points: ArrayView2<f32>, asking: &[u32], n_wanted: usize, are_placed: bool) -> Vec<Neighbor> {
        let of_block = |block: &[u32]| {
            let mut asking = Asking::new(self, points, block, n_wanted, are_placed);
            self.offer(0..self.positions.len(), &mut asking, &(0..block.len()).collect::<Vec<_>>());
            asking.neighbors(self, points, block, n_wanted)
        };
        let found: Vec<Vec<Neighbor>> = asking.par_chunks(BLOCK).map(of_block).collect();
        found.concat()
    }
}

/// A block of points that ask for their nearest.
pub(super) struct Asking {
    rows: Vec<f32>,
    nearest: Vec<Nearest>,
    /// Which of the placed points each is, none of its own neighbours.
    itself: Vec<Option<u32>>,
    asked: Vec<f32>,
    values: Vec<f32>,
}

impl Asking {
    /// Those of `points` at the positions of a block, which may be placed themselves.
    pub fn new(placed: &Placed, points: ArrayView2<f32>, block: &[u32], n_wanted: usize, are_placed: bool) -> Self {
        let mut rows = Vec::with_capacity(block.len() * (points.ncols() + 1));
        for &position in block {
            rows.extend(points.row(position as usize).iter().zip(&placed.origin).map(|(x, c)| 2.0 * (c - x)));
            rows.push(1.0);
        }
        Self {
            rows,
            nearest: vec![Nearest::new(n_wanted + SPARE); block.len()],
            itself: block.iter().map(|&position| are_placed.then_some(position)).collect(),
            asked: Vec::new(),
            values: Vec::new(),
        }
    }

    /// What the points of the block have found, nearest first, each as many as are wanted (or were offered).
    pub fn neighbors(self, placed: &Placed, points: ArrayView2<f32>, block: &[u32], n_wanted: usize) -> Vec<Neighbor> {
        let mut all = Vec::with_capacity(block.len() * n_wanted);
        for (nearest, &position) in self.nearest.into_iter().zip(block) {
            let point = points.row(position as usize);
            let distance = |other: u32| {
                let other_point = placed.points.row(other as usize);
                match (point.as_slice(), other_point.as_slice()) {
                    (Some(a), Some(b)) => squared_distance(a, b),
                    _ => point.iter().zip(other_point).map(|(a, b)| (a - b) * (a - b)).sum(),
                }
            };
            let mut found: Vec<Neighbor> = nearest.positions().map(|other| (other, distance(other).sqrt())).collect();
            found.sort_unstable_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
            all.extend(found.into_iter().take(n_wanted));
        }
        all
    }
}

vectorized! {
    /// |a − b|², summed in sixteen lanes.
    fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
        let mut lanes = [0.0_f32; 16];
        let (a_lanes, b_lanes) = (a.chunks_exact(16), b.chunks_exact(16));
        let rest = a_lanes.remainder().iter().zip(b_lanes.remainder()).map(|(x, y)| (x - y) * (x - y)).sum::<f32>();
        for (x, y) in a_lanes.zip(b_lanes) {
            for lane in 0..16 {
                lanes[lane] += (x[lane] - y[lane]) * (x[lane] - y[lane]);
            }
        }
        lanes.iter().sum::<f32>() + rest
    }
}

/// `values` ← `asked` · `others`ᵀ, all of them rows one after the other.
fn multiply(asked: &[f32], others: &[f32], width: usize, values: &mut [f32]) {
    let (m, n) = (asked.len() / width, others.len() / width);
    assert_eq!((m * width, n * width, m * n), (asked.len(), others.len(), values.len()), "whole rows");
    let stride = width as isize;
    // SAFETY: the three slices are matrices of m × width, n × width and m × n numbers without gaps, as was just checked.
    unsafe {
        gemm::gemm(
            m,
            n,
            width,
            values.as_mut_ptr(),
            1,
            n as isize,
            false,
            asked.as_ptr(),
            1,
            stride,
            others.as_ptr(),
            stride,
            1,
            0.0_f32,
            1.0_f32,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// An origin near the mean. It is rounded to a power of two below the spread of the points, so that points on a grid
/// remain on a grid, and equal distances equal.
fn origin(points: ArrayView2<f32>) -> Array1<f32> {
    let Some(mean) = points.mean_axis(Axis(0)).filter(|mean| mean.iter().all(|value| value.is_finite())) else {
        return Array1::zeros(points.ncols());
    };
    let squares =
        points.outer_iter().map(|point| point.iter().zip(&mean).map(|(x, c)| f64::from(x - c).powi(2)).sum::<f64>());
    let spread = (squares.sum::<f64>() / points.len() as f64).sqrt() as f32;
    if !(spread > 0.0 && spread.is_finite()) {
        return mean;
    }
    let step = spread.log2().floor().exp2();
    mean.mapv(|value| (value / step).round() * step)
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn points_on_a_grid_keep_their_ties_in_the_order_of_positions() {
        // A 12 × 12 grid three times over, far from zero.
        let points = Array2::from_shape_fn((432, 2), |(row, axis)| 1000.0 + [row % 12, row / 12 % 12][axis] as f32);
        let asking: Vec<u32> = (0..432).collect();
        let found = Placed::all(points.view()).nearest(points.view(), &asking, 40, true);
        for (row, found) in found.chunks_exact(40).enumerate() {
            let distance = |other: usize| (&points.row(row) - &points.row(other)).mapv(|gap| gap * gap).sum();
            let mut expected: Vec<usize> = (0..432).filter(|&other| other != row).collect();
            expected.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)).then(a.cmp(&b)));
            let found: Vec<usize> = found.iter().map(|&(other, _)| other as usize).collect();
            assert_eq!(found, expected[..40]);
        }
    }
}

//! Exact nearest neighbours.

use ndarray::{Array2, ArrayView2, Axis, s};
use rayon::prelude::*;

use crate::{Error, Result};

/// Number of rows whose distances are held in memory at once, per thread.
const BLOCK: usize = 256;

/// The nearest neighbours of every point, nearest first, without the point itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbors {
    /// Positions of the neighbours: (n_points, n_neighbors).
    pub indices: Array2<usize>,
    /// Euclidean distances to them: (n_points, n_neighbors).
    pub distances: Array2<f32>,
}

impl Neighbors {
    /// Compares every point with every other; points at equal distance are taken in the order of their positions.
    ///
    /// **Shapes** `points`: (n_points, n_dims).
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] if `n_neighbors` is zero; [`Error::TooFew`] if there are not more points than that.
    pub fn exact(points: ArrayView2<f32>, n_neighbors: usize) -> Result<Self> {
        if n_neighbors == 0 {
            return Err(Error::InvalidParameter {
                name: "n_neighbors".into(),
                value: "0".into(),
                reason: "at least one neighbour is needed".into(),
            });
        }
        let n_points = points.nrows();
        if n_points <= n_neighbors {
            return Err(Error::TooFew {
                what: format!("points for {n_neighbors} neighbours"),
                needed: n_neighbors + 1,
                got: n_points,
                hint: "use more cells or fewer neighbours".into(),
            });
        }
        let norms: Vec<f32> = points.rows().into_iter().map(|row| row.dot(&row)).collect();
        let starts: Vec<usize> = (0..n_points).step_by(BLOCK).collect();
        let blocks: Vec<Vec<(usize, f32)>> = starts
            .par_iter()
            .map(|&start| {
                let end = (start + BLOCK).min(n_points);
                let products = points.slice(s![start..end, ..]).dot(&points.t());
                let mut found = Vec::with_capacity((end - start) * n_neighbors);
                let mut order: Vec<(f32, usize)> = Vec::with_capacity(n_points);
                for (row, product) in (start..end).zip(products.axis_iter(Axis(0))) {
                    order.clear();
                    // |x|² is the same for the whole row and does not change the order.
                    order.extend((0..n_points).filter(|&j| j != row).map(|j| (norms[j] - 2.0 * product[j], j)));
                    order.select_nth_unstable_by(n_neighbors - 1, nearer);
                    order.truncate(n_neighbors);
                    for (distance, other) in &mut order {
                        let difference = &points.row(row) - &points.row(*other);
                        *distance = difference.dot(&difference).sqrt();
                    }
                    order.sort_unstable_by(nearer);
                    found.extend(order.iter().map(|&(distance, other)| (other, distance)));
                }
                found
            })
            .collect();
        let mut indices = Array2::zeros((n_points, n_neighbors));
        let mut distances = Array2::zeros((n_points, n_neighbors));
        for (position, (other, distance)) in blocks.into_iter().flatten().enumerate() {
            indices[[position / n_neighbors, position % n_neighbors]] = other;
            distances[[position / n_neighbors, position % n_neighbors]] = distance;
        }
        Ok(Self { indices, distances })
    }
}

fn nearer(a: &(f32, usize), b: &(f32, usize)) -> std::cmp::Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_on_a_line_have_their_next_points_as_neighbours() {
        let points = Array2::from_shape_fn((600, 1), |(row, _)| (row * row) as f32 / 100.0);
        let neighbors = Neighbors::exact(points.view(), 2).unwrap();
        assert_eq!(neighbors.indices.row(0).to_vec(), [1, 2]);
        assert_eq!(neighbors.indices.row(500).to_vec(), [499, 501]);
        assert!((neighbors.distances[[500, 0]] - 9.99).abs() < 1e-3);
    }

    #[test]
    fn too_few_points_are_refused() {
        assert!(Neighbors::exact(Array2::zeros((3, 2)).view(), 3).is_err());
        assert!(Neighbors::exact(Array2::zeros((3, 2)).view(), 0).is_err());
    }
}

//! Exact nearest neighbours.

use ndarray::{Array2, ArrayView2, Axis, s};
use rayon::prelude::*;

use crate::error::refuse;
use crate::{Error, Result};

/// Number of rows whose distances are held in memory at once, per thread.
const BLOCK: usize = 256;

/// The nearest neighbours of every point, nearest first; a point is none of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbors {
    /// Positions of the neighbours: (n_points, n_others).
    pub indices: Array2<usize>,
    /// Euclidean distances to them: (n_points, n_others).
    pub distances: Array2<f32>,
}

impl Neighbors {
    /// Compares every point with every other; points at equal distance are taken in the order of their positions. As in scanpy,
    /// `n_neighbors` counts the point itself, so that each has `n_neighbors` − 1 others.
    ///
    /// **Shapes** `points`: (n_points, n_dims).
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] if `n_neighbors` is below two; [`Error::TooFew`] if there are fewer points than that.
    pub fn exact(points: ArrayView2<f32>, n_neighbors: usize) -> Result<Self> {
        let n_points = points.nrows();
        if n_neighbors < 2 {
            return refuse("n_neighbors", n_neighbors, "it counts the point itself, so it must be 2 at least");
        }
        check(n_neighbors, n_points)?;
        Ok(nearest(points, points, n_neighbors - 1, true))
    }

    /// The `n_others` nearest points of `others` for every one of `points`.
    ///
    /// **Shapes** `points`: (n_points, n_dims); `others`: (n_others, n_dims).
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] for none; [`Error::TooFew`] if there are fewer; [`Error::ShapeMismatch`] if the dimensions
    /// differ.
    pub fn among(points: ArrayView2<f32>, others: ArrayView2<f32>, n_others: usize) -> Result<Self> {
        if points.ncols() != others.ncols() {
            return Err(Error::ShapeMismatch {
                what: "points among others".into(),
                expected: format!("{} dimensions", others.ncols()),
                got: points.ncols().to_string(),
            });
        }
        if n_others == 0 {
            return refuse("n_neighbors", 0, "at least one neighbour is needed");
        }
        check(n_others, others.nrows())?;
        Ok(nearest(points, others, n_others, false))
    }
}

fn check(needed: usize, got: usize) -> Result<()> {
    if got < needed {
        return Err(Error::TooFew {
            what: format!("points for {needed} neighbours"),
            needed,
            got,
            hint: "use more cells or fewer neighbours".into(),
        });
    }
    Ok(())
}

/// Compares all pairs; `without_itself` where both are the same points.
fn nearest(points: ArrayView2<f32>, others: ArrayView2<f32>, n_wanted: usize, without_itself: bool) -> Neighbors {
    let (n_points, n_others) = (points.nrows(), others.nrows());
    let norms: Vec<f32> = others.rows().into_iter().map(|row| row.dot(&row)).collect();
    let starts: Vec<usize> = (0..n_points).step_by(BLOCK).collect();
    let blocks: Vec<Vec<(usize, f32)>> = starts
        .par_iter()
        .map(|&start| {
            let end = (start + BLOCK).min(n_points);
            let products = points.slice(s![start..end, ..]).dot(&others.t());
            let mut found = Vec::with_capacity((end - start) * n_wanted);
            let mut order: Vec<(f32, usize)> = Vec::with_capacity(n_others);
            for (row, product) in (start..end).zip(products.axis_iter(Axis(0))) {
                order.clear();
                // |x|² is the same for the whole row and does not change the order.
                let wanted = (0..n_others).filter(|&j| !(without_itself && j == row));
                order.extend(wanted.map(|j| (norms[j] - 2.0 * product[j], j)));
                order.select_nth_unstable_by(n_wanted - 1, nearer);
                order.truncate(n_wanted);
                for (distance, other) in &mut order {
                    let difference = &points.row(row) - &others.row(*other);
                    *distance = difference.dot(&difference).sqrt();
                }
                order.sort_unstable_by(nearer);
                found.extend(order.iter().map(|&(distance, other)| (other, distance)));
            }
            found
        })
        .collect();
    let (mut indices, mut distances) = (Array2::zeros((n_points, n_wanted)), Array2::zeros((n_points, n_wanted)));
    for (position, (other, distance)) in blocks.into_iter().flatten().enumerate() {
        indices[[position / n_wanted, position % n_wanted]] = other;
        distances[[position / n_wanted, position % n_wanted]] = distance;
    }
    Neighbors { indices, distances }
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
        let neighbors = Neighbors::exact(points.view(), 3).unwrap();
        assert_eq!(neighbors.indices.row(0).to_vec(), [1, 2]);
        assert_eq!(neighbors.indices.row(500).to_vec(), [499, 501]);
        assert!((neighbors.distances[[500, 0]] - 9.99).abs() < 1e-3);
    }

    #[test]
    fn new_points_have_neighbours_among_the_others_and_may_lie_on_one() {
        let others = Array2::from_shape_fn((300, 1), |(row, _)| row as f32);
        let found = Neighbors::among(ndarray::array![[7.1], [299.0]].view(), others.view(), 3).unwrap();
        assert_eq!(found.indices, ndarray::array![[7, 8, 6], [299, 298, 297]]);
        assert_eq!(found.distances.row(1).to_vec(), [0.0, 1.0, 2.0]);
        assert!(Neighbors::among(Array2::zeros((2, 2)).view(), others.view(), 3).is_err());
        assert!(Neighbors::among(others.view(), others.view(), 301).is_err());
    }

    #[test]
    fn too_few_points_are_refused() {
        let points = Array2::zeros((3, 2));
        assert!(Neighbors::exact(points.view(), 3).is_ok());
        for wrong in [0, 1, 4] {
            assert!(Neighbors::exact(points.view(), wrong).is_err(), "{wrong}");
        }
    }
}

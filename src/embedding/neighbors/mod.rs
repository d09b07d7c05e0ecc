//! Nearest neighbours, exact or with a measured recall.

mod nearest;
mod blocks;
mod lists;

use ndarray::{Array2, ArrayView2};
use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;

use self::blocks::{Neighbor, Placed};
use self::lists::Lists;
use crate::error::refuse;
use crate::{Error, Result};

/// Up to this many points, all pairs are compared in a second or two.
const MOST_EXACT: usize = 50_000;
/// Share of the neighbours that an approximate search is to find.
const RECALL: f64 = 0.98;
/// Points whose neighbours are found exactly to choose how far an approximate search goes, and as many others to measure it.
const N_SAMPLED: usize = 512;

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
        check_own(n_neighbors, points.nrows())?;
        let positions: Vec<u32> = (0..points.nrows() as u32).collect();
        let found = Placed::all(points).nearest(points, &positions, n_neighbors - 1, true);
        Ok(arranged(&positions, &found, n_neighbors - 1))
    }

    /// Compares every point with those in the lists around a few centroids near it, as many as a sample of the points needs to
    /// find 98 % of its neighbours, and tells the share of the neighbours that was found, measured on another sample.
    ///
    /// Shapes, order, counts and errors are those of [`Neighbors::exact`], and [`Error::BadValues`] for points that are not finite.
    /// Where points crowd so little that there are no lists to leave out, it takes as long as that.
    pub fn approximate(points: ArrayView2<f32>, n_neighbors: usize, seed: u64) -> Result<(Self, f64)> {
        check_own(n_neighbors, points.nrows())?;
        check_finite(points)?;
        let n_wanted = n_neighbors - 1;
        let n_sampled = points.nrows().min(2 * N_SAMPLED);
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 1);
        let sample: Vec<u32> =
            index::sample(&mut rng, points.nrows(), n_sampled).into_iter().map(|position| position as u32).collect();
        let exact = Placed::all(points).nearest(points, &sample, n_wanted, true);
        let (chooses, measures) = sample.split_at(n_sampled / 2);
        let (to_choose, to_measure) = exact.split_at(chooses.len() * n_wanted);
        let lists = Lists::new(points, seed);
        let n_probed = lists.enough(chooses, to_choose, n_wanted, RECALL);
        let found = lists.search(n_probed, n_wanted);
        let neighbors = arranged(&lists.order, &found, n_wanted);
        let n_found: usize = measures
            .iter()
            .zip(to_measure.chunks_exact(n_wanted))
            .map(|(&point, exact)| {
                let found = neighbors.indices.row(point as usize);
                exact.iter().filter(|&&(other, _)| found.iter().any(|&found| found == other as usize)).count()
            })
            .sum();
        Ok((neighbors, n_found as f64 / to_measure.len() as f64))
    }

    /// Exact neighbours of up to 50 000 points, approximate ones beyond, with their recall in that case.
    ///
    /// # Errors
    /// Those of [`Neighbors::exact`] and [`Neighbors::approximate`].
    pub fn find(points: ArrayView2<f32>, n_neighbors: usize, seed: u64) -> Result<(Self, Option<f64>)> {
        if points.nrows() <= MOST_EXACT {
            return Ok((Self::exact(points, n_neighbors)?, None));
        }
        let (neighbors, recall) = Self::approximate(points, n_neighbors, seed)?;
        Ok((neighbors, Some(recall)))
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
        let positions: Vec<u32> = (0..points.nrows() as u32).collect();
        let found = Placed::all(others).nearest(points, &positions, n_others, false);
        Ok(arranged(&positions, &found, n_others))
    }
}

fn check_own(n_neighbors: usize, n_points: usize) -> Result<()> {
    if n_neighbors < 2 {
        return refuse("n_neighbors", n_neighbors, "it counts the point itself, so it must be 2 at least");
    }
    check(n_neighbors, n_points)
}

fn check_finite(points: ArrayView2<f32>) -> Result<()> {
    let bad: Vec<(usize, usize)> =
        points.indexed_iter().filter(|(_, value)| !value.is_finite()).map(|(place, _)| place).collect();
    if bad.is_empty() {
        return Ok(());
    }
    Err(Error::BadValues {
        place: "points whose neighbours are asked for".into(),
        n_bad: bad.len(),
        n_total: points.len(),
        problem: "not finite".into(),
        examples: bad.iter().take(3).map(|(row, column)| format!("row {row}, column {column}")).collect(),
        hint: "leave these points out".into(),
    })
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

/// Neighbours found one point after the other, `each` of them for the points at `positions`.
fn arranged(positions: &[u32], found: &[Neighbor], each: usize) -> Neighbors {
    let (mut indices, mut distances) = (Array2::zeros((positions.len(), each)), Array2::zeros((positions.len(), each)));
    for (&position, found) in positions.iter().zip(found.chunks_exact(each)) {
        for (place, &(other, distance)) in found.iter().enumerate() {
            indices[[position as usize, place]] = other as usize;
            distances[[position as usize, place]] = distance;
        }
    }
    Neighbors { indices, distances }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::normal;

    #[test]
    fn points_on_a_line_have_their_next_points_as_neighbours() {
        let points = Array2::from_shape_fn((600, 1), |(row, _)| (row * row) as f32 / 100.0);
        let neighbors = Neighbors::exact(points.view(), 3).unwrap();
        assert_eq!(neighbors.indices.row(0).to_vec(), [1, 2]);
        assert_eq!(neighbors.indices.row(500).to_vec(), [499, 501]);
        assert!((neighbors.distances[[500, 0]] - 9.99).abs() < 1e-3);
    }

    #[test]
    fn approximate_neighbours_are_nearly_the_exact_ones_for_any_number_of_threads() {
        // Thirty groups, flat in most of their forty dimensions; and noise without any group in ten.
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let draws = normal(6000, 40, &mut rng);
        let groups = Array2::from_shape_fn((6000, 40), |(row, axis)| {
            let middle = 5.0 * draws[[row % 30, axis]];
            middle + draws[[row, axis]] / (1.0 + axis as f32)
        });
        for points in [groups.view(), draws.slice(ndarray::s![.., ..10])] {
            let exact = Neighbors::exact(points, 15).unwrap();
            let (found, told) = Neighbors::approximate(points, 15, 0).unwrap();
            let same = |row: usize| {
                let exact = exact.indices.row(row);
                exact.iter().filter(|&&other| found.indices.row(row).iter().any(|&found| found == other)).count()
            };
            let recall = (0..6000).map(same).sum::<usize>() as f64 / (14.0 * 6000.0);
            assert!(recall > 0.97 && (recall - told).abs() < 0.01, "{recall} {told}");
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            assert_eq!(pool.install(|| Neighbors::approximate(points, 15, 0).unwrap()), (found, told));
        }
    }

    #[test]
    fn points_that_coincide_find_as_many_neighbours_as_are_wanted() {
        let points = Array2::from_shape_fn((2000, 3), |(row, _)| if row < 1990 { 1.0 } else { row as f32 });
        let (found, recall) = Neighbors::approximate(points.view(), 30, 0).unwrap();
        assert_eq!((found, recall), (Neighbors::exact(points.view(), 30).unwrap(), 1.0));
        assert!(Neighbors::approximate(Array2::from_elem((9, 2), f32::NAN).view(), 3, 0).is_err());
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

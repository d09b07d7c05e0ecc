//! Places for points that a map was not made of.

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use super::Umap;
use super::draws::Draws;
use super::forces::{Acting, POINTS, PUSHES};
use super::layout::{frequency, is_due};
use crate::Result;
use crate::embedding::fuzzy;
use crate::embedding::neighbors::Neighbors;
use crate::numbers::fnv;

/// Passes over the neighbours of a new point, a tenth of what a map usually takes: its place is nearly known beforehand.
const N_EPOCHS: usize = 30;
/// First steps are this part of those of a map.
const RATE: f32 = 0.25;

impl Umap {
    /// Places points among the fitted ones, which stay where they are: (n_new, n_dims) → (n_new, 2).
    ///
    /// A point starts at the mean of its nearest fitted points, weighed by exp(−d/σ) with Σ exp(−d/σ) = log₂ k, and is then
    /// drawn to these and driven away from others as in [`super::umap`] (umap-learn's `transform`). Where a point goes depends on
    /// nothing but itself, the map and the seed: neither on the points that are placed with it nor on their order.
    ///
    /// # Errors
    /// [`crate::Error::ShapeMismatch`] for points of other dimensions.
    pub fn transform(&self, points: ArrayView2<f32>) -> Result<Array2<f32>> {
        let neighbors = Neighbors::among(points, self.points.view(), self.n_neighbors)?;
        let place = |row: usize| {
            let others: Vec<[f32; 2]> = neighbors.indices.row(row).iter().map(|&other| self.at(other)).collect();
            let distances: Vec<f64> = neighbors.distances.row(row).iter().map(|&d| f64::from(d)).collect();
            let weights = fuzzy::memberships(&distances);
            let bytes = points.row(row).into_iter().flat_map(|value| value.to_bits().to_le_bytes());
            self.settle(&others, &weights, &mut Draws::new(self.params.seed, fnv(0, bytes)))
        };
        let places: Vec<[f32; 2]> = (0..points.nrows()).into_par_iter().map(place).collect();
        Ok(Array2::from_shape_fn((places.len(), 2), |(row, axis)| places[row][axis]))
    }

    fn settle(&self, others: &[[f32; 2]], weights: &[f64], draws: &mut Draws) -> [f32; 2] {
        let (total, greatest) = weights.iter().fold((0.0, 0.0_f64), |(sum, most), &w| (sum + w, most.max(w)));
        let mean = |axis: usize| others.iter().zip(weights).map(|(other, w)| w * f64::from(other[axis])).sum::<f64>();
        let mut here = [0, 1].map(|axis| (mean(axis) / total) as f32);
        let n_rounds = self.params.n_negative.div_ceil(PUSHES).max(1);
        for epoch in 0..N_EPOCHS {
            let rate = RATE * (1.0 - epoch as f32 / N_EPOCHS as f32);
            for (&other, weight) in others.iter().zip(weights) {
                if !is_due(epoch, frequency((weight / greatest) as f32)) {
                    continue;
                }
                for round in 0..n_rounds {
                    let mut acting = Acting::nobody();
                    if round == 0 {
                        acting.pull(0, 0, other);
                    }
                    for push in 0..(self.params.n_negative - round * PUSHES).min(PUSHES) {
                        acting.push(0, push, self.at(draws.below(self.map.nrows())));
                    }
                    here = self.forces.moved([here; POINTS], &acting, rate)[0];
                }
            }
        }
        here
    }

    fn at(&self, point: usize) -> [f32; 2] {
        [self.map[[point, 0]], self.map[[point, 1]]]
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Axis, s};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::embedding::umap::UmapParams;

    #[test]
    fn a_new_point_lies_with_its_like_whatever_is_placed_beside_it() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let points = Array2::from_shape_fn((600, 6), |(row, column)| {
            let noise: f32 = StandardNormal.sample(&mut rng);
            noise + if row % 3 == column { 15.0 } else { 0.0 }
        });
        let umap = Umap::fit(points.slice(s![..450, ..]).to_owned(), 15, UmapParams::default()).unwrap();
        let new = points.slice(s![450.., ..]);
        let placed = umap.transform(new).unwrap();
        let middle = |kind: usize| {
            let rows: Vec<usize> = (0..450).filter(|row| row % 3 == kind).collect();
            umap.map().select(Axis(0), &rows).mean_axis(Axis(0)).unwrap()
        };
        let middles = [0, 1, 2].map(middle);
        let right = placed.rows().into_iter().enumerate().filter(|(row, place)| {
            let far = |kind: usize| (place - &middles[kind]).mapv(|x| x * x).sum();
            (0..3).min_by(|&a, &b| far(a).total_cmp(&far(b))) == Some((450 + row) % 3)
        });
        assert_eq!(right.count(), 150);
        let backwards: Vec<usize> = (0..40).rev().collect();
        let again = umap.transform(new.select(Axis(0), &backwards).view()).unwrap();
        assert_eq!(again, placed.select(Axis(0), &backwards));
        // Fitted points find their own places again, nearly: the map is some twenty wide.
        let own = umap.transform(umap.points.view()).unwrap() - umap.map();
        let gap = own.rows().into_iter().map(|gap| gap.dot(&gap).sqrt()).sum::<f32>() / 450.0;
        assert!(gap < 1.0, "{gap}");
        assert!(umap.transform(points.slice(s![.., ..4])).is_err());
    }
}

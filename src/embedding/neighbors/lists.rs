//! Neighbours by inverted lists: a point is held against the points around the centroids that are nearest to it.
//!
//! No maintained crate finds approximate neighbours alike with any number of threads: those that build graphs insert in
//! parallel, in an order that nobody knows. Lists of dense blocks suit the products of `blocks`, and what they miss can be
//! told beforehand.

use std::collections::BTreeMap;
use std::ops::Range;

use ndarray::{Array2, ArrayView2, Axis, s};
use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::blocks::{Asking, Neighbor, Placed};

/// Points of a list, on average.
const POINTS_EACH: usize = 384;
/// Points that the centroids are fitted to, for each of them.
const SAMPLED_EACH: usize = 32;
/// Steps of Lloyd's algorithm; better lists would not pay for more.
const N_STEPS: usize = 5;
/// Points of one or two lists that search at once, as they probe mostly the same lists.
const BLOCK: usize = 512;

/// Points in the order of their lists.
pub(super) struct Lists<'a> {
    points: ArrayView2<'a, f32>,
    /// (n_lists, n_dims).
    centroids: Array2<f32>,
    placed: Placed<'a>,
    /// The points, list after list.
    pub order: Vec<u32>,
    /// Where the list of each centroid lies in `order`.
    ranges: Vec<Range<usize>>,
    /// The list of each point.
    labels: Vec<u32>,
}

impl<'a> Lists<'a> {
    /// Puts every point into the list of its nearest centroid (k-means, Lloyd 1982, on a sample of the points).
    pub fn new(points: ArrayView2<'a, f32>, seed: u64) -> Self {
        let centroids = centroids(points, (points.nrows() / POINTS_EACH).max(1), seed);
        let labels = labels(points, centroids.view());
        let mut order: Vec<u32> = (0..points.nrows() as u32).collect();
        order.sort_by_key(|&point| labels[point as usize]);
        let start = |list: usize| order.partition_point(|&point| (labels[point as usize] as usize) < list);
        let ranges = (0..centroids.nrows()).map(|list| start(list)..start(list + 1)).collect();
        Self { points, placed: Placed::new(points, order.clone()), centroids, order, ranges, labels }
    }

    /// How many lists a point must probe, so that the share `recall` of the neighbours of a few points is found, and every
    /// point finds as many as are wanted.
    ///
    /// `neighbors`: `n_wanted` of each of `asking`.
    pub fn enough(&self, asking: &[u32], neighbors: &[Neighbor], n_wanted: usize, recall: f64) -> usize {
        let n_lists = self.ranges.len();
        let lists = Placed::all(self.centroids.view()).nearest(self.points, asking, n_lists, false);
        let mut counts = vec![0_usize; n_lists];
        for (lists, neighbors) in lists.chunks_exact(n_lists).zip(neighbors.chunks_exact(n_wanted)) {
            let mut ranks = vec![0; n_lists];
            lists.iter().enumerate().for_each(|(rank, &(list, _))| ranks[list as usize] = rank);
            neighbors.iter().for_each(|&(other, _)| counts[ranks[self.labels[other as usize] as usize]] += 1);
        }
        let mut sizes: Vec<usize> = self.ranges.iter().map(Range::len).collect();
        sizes.sort_unstable();
        let (mut n_found, mut n_offered) = (0, 0);
        for (rank, (count, size)) in counts.into_iter().zip(sizes).enumerate() {
            n_found += count;
            n_offered += size;
            if n_found as f64 >= recall * neighbors.len() as f64 && n_offered > n_wanted {
                return rank + 1;
            }
        }
        n_lists
    }

    /// The nearest of every point among the points of its `n_probed` nearest lists, for one point of `order` after the other.
    pub fn search(&self, n_probed: usize, n_wanted: usize) -> Vec<Neighbor> {
        let centroids = Placed::all(self.centroids.view());
        let found: Vec<Vec<Neighbor>> = self
            .order
            .par_chunks(BLOCK)
            .map(|block| self.search_block(block, &centroids, n_probed, n_wanted))
            .collect();
        found.concat()
    }

    fn search_block(&self, block: &[u32], centroids: &Placed, n_probed: usize, n_wanted: usize) -> Vec<Neighbor> {
        let probed = centroids.nearest(self.points, block, n_probed, false);
        // List by list, those first that lie nearest to a point of the block: what is near is found soon, and most of what
        // is further off is then passed over in groups.
        let mut askers = BTreeMap::<u32, (usize, Vec<usize>)>::new();
        for (place, &(list, _)) in probed.iter().enumerate() {
            let (rank, who) = askers.entry(list).or_insert((n_probed, Vec::new()));
            *rank = (*rank).min(place % n_probed);
            who.push(place / n_probed);
        }
        let mut lists: Vec<(u32, (usize, Vec<usize>))> = askers.into_iter().collect();
        lists.sort_by_key(|&(list, (rank, _))| (rank, list));
        let mut asking = Asking::new(&self.placed, self.points, block, n_wanted, true);
        for (list, (_, who)) in lists {
            self.placed.offer(self.ranges[list as usize].clone(), &mut asking, &who);
        }
        asking.neighbors(&self.placed, self.points, block, n_wanted)
    }
}

fn centroids(points: ArrayView2<f32>, n_lists: usize, seed: u64) -> Array2<f32> {
    let n_sampled = (n_lists * SAMPLED_EACH).min(points.nrows());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let sample = points.select(Axis(0), &index::sample(&mut rng, points.nrows(), n_sampled).into_vec());
    let mut centroids = sample.slice(s![..n_lists, ..]).to_owned();
    for _ in 0..N_STEPS {
        let mut sums = Array2::<f64>::zeros(centroids.dim());
        let mut sizes = vec![0_usize; n_lists];
        for (point, label) in sample.outer_iter().zip(labels(sample.view(), centroids.view())) {
            sums.row_mut(label as usize).zip_mut_with(&point, |sum, &x| *sum += f64::from(x));
            sizes[label as usize] += 1;
        }
        // A centroid without points stays where it is.
        for (list, size) in sizes.into_iter().enumerate().filter(|(_, size)| *size > 0) {
            centroids.row_mut(list).zip_mut_with(&sums.row(list), |c, sum| *c = (sum / size as f64) as f32);
        }
    }
    centroids
}

/// The nearest centroid of each point.
fn labels(points: ArrayView2<f32>, centroids: ArrayView2<f32>) -> Vec<u32> {
    let asking: Vec<u32> = (0..points.nrows() as u32).collect();
    let nearest = Placed::all(centroids).nearest(points, &asking, 1, false);
    nearest.into_iter().map(|(label, _)| label).collect()
}

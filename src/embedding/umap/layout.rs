//! Descent on the cross entropy between the graph and the map.

use rayon::prelude::*;

use super::UmapParams;
use super::draws::Draws;
use super::forces::{Acting, Forces, POINTS, PUSHES};
use crate::embedding::fuzzy::FuzzyGraph;
use crate::numbers::vectorized;

/// Points that move at once, each as if the others stood still, are at most this part of all: so a map settles as if they
/// moved one after the other.
const PARTS: usize = 8;
/// Nor are they more than this many.
const MOST_AT_ONCE: usize = 4096;
/// Points that a thread moves before it takes others.
const AT_A_TIME: usize = 64;
/// The frequency of what is visited in every epoch.
const ALWAYS: u32 = 1 << 31;

/// Moves the points of `map`, epoch by epoch.
///
/// umap-learn visits an edge from both its ends and moves both each time, the first also away from random points. Here
/// a point moves itself alone, by all that its edges do to it: it is drawn and driven, and drawn again as the other end of the
/// same edge. That needs no order among the points that move at once.
pub(super) fn descend(map: &mut [[f32; 2]], graph: &FuzzyGraph, forces: &Forces, params: &UmapParams) {
    let n_points = map.len();
    let visits = Visits::new(graph, params.n_epochs);
    let n_at_once = n_points.div_ceil(PARTS).clamp(1, MOST_AT_ONCE);
    let mut moved = vec![[0.0_f32; 2]; n_at_once];
    for epoch in 0..params.n_epochs {
        let rate = 1.0 - epoch as f32 / params.n_epochs as f32;
        for first in (0..n_points).step_by(n_at_once) {
            let moved = &mut moved[..n_at_once.min(n_points - first)];
            let now = Now { epoch, rate, map, visits: &visits, forces, params };
            moved
                .par_chunks_mut(AT_A_TIME)
                .enumerate()
                .for_each(|(part, moved)| move_points(&now, first + part * AT_A_TIME, moved));
            map[first..first + moved.len()].copy_from_slice(moved);
        }
    }
}

/// Which edges of each point are visited, and how often.
struct Visits {
    /// Where the edges of each point begin; one more at the end.
    starts: Vec<usize>,
    others: Vec<u32>,
    frequencies: Vec<u32>,
}

impl Visits {
    /// The strongest edges are visited in every epoch, others as often as their share of that weight, the weakest never.
    fn new(graph: &FuzzyGraph, n_epochs: usize) -> Self {
        let n_points = graph.n_points();
        let greatest = (0..n_points).flat_map(|point| graph.row(point).1).copied().fold(0.0_f32, f32::max);
        let mut visits = Self { starts: vec![0], others: Vec::new(), frequencies: Vec::new() };
        for point in 0..n_points {
            let (others, weights) = graph.row(point);
            for (&other, weight) in others.iter().zip(weights) {
                if weight / greatest * n_epochs as f32 >= 1.0 {
                    visits.others.push(other);
                    visits.frequencies.push(frequency(weight / greatest));
                }
            }
            visits.starts.push(visits.others.len());
        }
        visits
    }

    /// Lists the points that one is visited from in an epoch.
    #[inline(always)]
    fn list(&self, point: usize, epoch: usize, due: &mut Vec<u32>) {
        let range = self.starts[point]..self.starts[point + 1];
        due.resize(range.len(), 0);
        let mut n_due = 0;
        for (&other, &frequency) in self.others[range.clone()].iter().zip(&self.frequencies[range]) {
            due[n_due] = other;
            n_due += usize::from(is_due(epoch, frequency));
        }
        due.truncate(n_due);
    }
}

/// Visits per epoch, which are one at most, in parts of [`ALWAYS`].
pub(super) fn frequency(share: f32) -> u32 {
    (share * ALWAYS as f32) as u32
}

/// Whether the whole number of visits rises in an epoch.
#[inline(always)]
pub(super) fn is_due(epoch: usize, frequency: u32) -> bool {
    ((epoch as u32).wrapping_mul(frequency) & (ALWAYS - 1)) + frequency >= ALWAYS
}

/// What all points see when they move.
struct Now<'a> {
    epoch: usize,
    rate: f32,
    map: &'a [[f32; 2]],
    visits: &'a Visits,
    forces: &'a Forces,
    params: &'a UmapParams,
}

vectorized! {
    /// Writes where the points from `first` on go.
    fn move_points(now: &Now<'_>, first: usize, moved: &mut [[f32; 2]]) {
        let Now { epoch, rate, map, visits, forces, params } = *now;
        let n_rounds = params.n_negative.div_ceil(PUSHES).max(1);
        let mut due: [Vec<u32>; POINTS] = Default::default();
        for (pair, moved) in moved.chunks_mut(POINTS).enumerate() {
            let points: [usize; POINTS] = std::array::from_fn(|place| first + pair * POINTS + place);
            let mut draws = points.map(|point| Draws::new(params.seed, (epoch as u64) << 32 | point as u64));
            for (due, &point) in due.iter_mut().zip(&points[..moved.len()]) {
                visits.list(point, epoch, due);
            }
            due[moved.len()..].iter_mut().for_each(Vec::clear);
            let n_steps = due.iter().map(|due| due.len() + 1).max().unwrap_or(0);
            let mut here = points.map(|point| map[point.min(map.len() - 1)]);
            for step in 0..n_steps {
                for round in 0..n_rounds {
                    let n_pushes = (params.n_negative - round * PUSHES).min(PUSHES);
                    let mut acting = Acting::nobody();
                    for (place, &point) in points.iter().enumerate() {
                        if round == 0 && 0 < step && step <= due[place].len() {
                            acting.pull(place, 0, map[due[place][step - 1] as usize]);
                        }
                        if step < due[place].len() {
                            if round == 0 {
                                acting.pull(place, 1, map[due[place][step] as usize]);
                            }
                            for push in 0..n_pushes {
                                acting.push(place, push, map[draws[place].other(point, map.len())]);
                            }
                        }
                    }
                    here = forces.moved(here, &acting, rate);
                }
            }
            moved.copy_from_slice(&here[..moved.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_visited_in_proportion_to_their_weights() {
        for (share, visits) in [(1.0, 200), (0.5, 100), (0.3, 60), (0.004, 0)] {
            assert_eq!((0..200).filter(|&epoch| is_due(epoch, frequency(share))).count(), visits, "{share}");
        }
    }
}

//! The nearest of many points that are offered one run after another.

use crate::numbers::vectorized;

/// Values that are compared at once.
const LANES: usize = 16;

/// Keeps the points with the smallest values among all that are offered, in memory for twice as many.
///
/// Of equal values the smaller position is nearer, whatever the order in which they come; what is not a number is furthest.
#[derive(Debug, Clone)]
pub(super) struct Nearest {
    n_kept: usize,
    /// Values and positions, each pair a number that stands in the order of the value and then of the position.
    found: Vec<u64>,
    /// No point beyond this is kept; not a number as long as there is room for any.
    worst: f32,
}

impl Nearest {
    /// For `n_kept` points.
    pub fn new(n_kept: usize) -> Self {
        Self { n_kept, found: Vec::new(), worst: f32::NAN }
    }

    /// Offers a run of points with their values; `itself` is passed over.
    pub fn offer(&mut self, values: &[f32], positions: &[u32], itself: Option<u32>) {
        let mut start = 0;
        while let Some((place, within)) = first_within(&values[start..], self.worst) {
            start += place;
            let mut within = within;
            while within > 0 {
                let at = start + within.trailing_zeros() as usize;
                within &= within - 1;
                if !is_beyond(values[at], self.worst) && Some(positions[at]) != itself {
                    self.found.push(key(values[at], positions[at]));
                    if self.found.len() == 2 * self.n_kept {
                        self.shrink();
                    }
                }
            }
            start = (start + LANES).min(values.len());
        }
    }

    fn shrink(&mut self) {
        let (_, last, _) = self.found.select_nth_unstable(self.n_kept - 1);
        self.worst = value_of(*last);
        self.found.truncate(self.n_kept);
    }

    /// The positions of the nearest, in no particular order; fewer if fewer were offered.
    pub fn positions(mut self) -> impl Iterator<Item = u32> {
        if self.found.len() > self.n_kept {
            self.shrink();
        }
        self.found.into_iter().map(|key| key as u32)
    }
}

/// Nothing is beyond what is not a number, and neither is what is not a number.
#[inline(always)]
fn is_beyond(value: f32, worst: f32) -> bool {
    value > worst
}

vectorized! {
    /// The start of the first group of values that are not all beyond `worst`, and a bit for each that is not.
    fn first_within(values: &[f32], worst: f32) -> Option<(usize, u32)> {
        let bits = |values: &[f32]| {
            values.iter().enumerate().fold(0, |bits, (lane, &value)| bits | u32::from(!is_beyond(value, worst)) << lane)
        };
        let groups = values.chunks_exact(LANES);
        let rest = groups.remainder();
        for (group, values) in groups.enumerate() {
            if !values.iter().fold(true, |all, &value| all & is_beyond(value, worst)) {
                return Some((group * LANES, bits(values)));
            }
        }
        let bits = bits(rest);
        (bits > 0).then_some((values.len() - rest.len(), bits))
    }
}

fn key(value: f32, position: u32) -> u64 {
    let bits = if value.is_nan() { u32::MAX >> 1 } else { value.to_bits() };
    // Negative numbers stand in the reverse order of their bits.
    let ordered = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    u64::from(ordered) << 32 | u64::from(position)
}

fn value_of(key: u64) -> f32 {
    let ordered = (key >> 32) as u32;
    f32::from_bits(if ordered >> 31 == 1 { ordered & !(1 << 31) } else { !ordered })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(nearest: Nearest) -> Vec<u32> {
        let mut found: Vec<u32> = nearest.positions().collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn the_nearest_are_those_of_the_sorted_list_whatever_the_order_of_the_runs() {
        let values: Vec<f32> = (0..1000).map(|i| ((i * 7919) % 251) as f32 - 100.0).collect();
        let positions: Vec<u32> = (0..1000).collect();
        let mut order: Vec<u32> = (0..1000).filter(|&position| position != 3).collect();
        order.sort_by(|&a, &b| values[a as usize].total_cmp(&values[b as usize]).then(a.cmp(&b)));
        for n_kept in [1, 9, 400, 999] {
            let mut expected = order[..n_kept].to_vec();
            expected.sort_unstable();
            for runs in [vec![0..500, 500..1000], vec![700..1000, 0..33, 33..700]] {
                let mut nearest = Nearest::new(n_kept);
                runs.into_iter().for_each(|run| nearest.offer(&values[run.clone()], &positions[run], Some(3)));
                assert_eq!(sorted(nearest), expected, "{n_kept}");
            }
        }
    }

    #[test]
    fn what_is_not_a_number_comes_last() {
        let mut nearest = Nearest::new(2);
        nearest.offer(&[f32::NAN, -f32::NAN, 4.0, f32::INFINITY, -1.0], &[0, 1, 2, 3, 4], None);
        assert_eq!(sorted(nearest), [2, 4]);
        let mut few = Nearest::new(3);
        few.offer(&[f32::NAN, f32::INFINITY], &[7, 8], None);
        assert_eq!(sorted(few), [7, 8]);
    }
}

//! Which cell receives what: pairs, conditions, cell types, batches.

use rand::Rng;
use rand::seq::{SliceRandom, index};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::design::ScreenDesign;

/// The share of control cells.
const CONTROL_SHARE: f64 = 0.12;
/// The spread of the number of cells between perturbed conditions, on the natural logarithm.
const SPREAD: f64 = 0.08;

/// What one cell is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assigned {
    /// 0 = control, then singles, then pairs.
    pub condition: usize,
    /// Position of its cell type.
    pub cell_type: usize,
    /// Position of its batch.
    pub batch: usize,
}

/// Chooses the pairs: all of them, or a random part, in the order of their names.
pub fn choose_pairs(n_singles: usize, n_pairs: usize, rng: &mut ChaCha8Rng) -> Vec<(usize, usize)> {
    // The number of pairs whose first part stands before `first`.
    let before = |first: usize| first * n_singles - first * (first + 1) / 2;
    let starts: Vec<usize> = (0..n_singles).map(before).collect();
    let mut chosen = index::sample(rng, before(n_singles.saturating_sub(1)), n_pairs).into_vec();
    chosen.sort_unstable();
    let pair = |position: usize| {
        let first = starts.partition_point(|&start| start <= position) - 1;
        (first, first + 1 + position - starts[first])
    };
    chosen.into_iter().map(pair).collect()
}

/// The share of each cell type, falling from the first to the last.
pub fn cell_type_shares(n_cell_types: usize) -> Vec<f64> {
    let weights: Vec<f64> = (0..n_cell_types).map(|position| 1.0 / (1.0 + 0.15 * position as f64)).collect();
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / total).collect()
}

/// Assigns every cell, in random order. Every condition holds the cell types in the same shares.
pub fn assign(design: &ScreenDesign, rng: &mut ChaCha8Rng) -> Vec<Assigned> {
    let n_perturbed = design.n_conditions() - 1;
    let n_control = ((design.cells as f64 * CONTROL_SHARE).round() as usize).clamp(1, design.cells - n_perturbed);
    let weights: Vec<f64> = (0..n_perturbed)
        .map(|_| {
            let normal: f64 = StandardNormal.sample(rng);
            (SPREAD * normal).exp()
        })
        .collect();
    let more = divide(design.cells - n_control - n_perturbed, &weights);
    let shares = cell_type_shares(design.cell_types);
    let mut assigned = Vec::with_capacity(design.cells);
    for (condition, n) in std::iter::once(n_control).chain(more.iter().map(|more| 1 + more)).enumerate() {
        for (cell_type, n) in divide(n, &shares).into_iter().enumerate() {
            for _ in 0..n {
                let batch = rng.random_range(0..design.batches);
                assigned.push(Assigned { condition, cell_type, batch });
            }
        }
    }
    assigned.shuffle(rng);
    assigned
}

/// Divides a number into whole parts in proportion to weights; the largest remainders are rounded up.
fn divide(total: usize, weights: &[f64]) -> Vec<usize> {
    let sum: f64 = weights.iter().sum();
    let exact: Vec<f64> = weights.iter().map(|weight| total as f64 * weight / sum).collect();
    let mut parts: Vec<usize> = exact.iter().map(|part| part.floor() as usize).collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|&a, &b| (exact[b] - exact[b].floor()).total_cmp(&(exact[a] - exact[a].floor())));
    let missing = total - parts.iter().sum::<usize>();
    order.into_iter().take(missing).for_each(|position| parts[position] += 1);
    parts
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn all_pairs_are_distinct_and_in_order() {
        let pairs = choose_pairs(4, 6, &mut ChaCha8Rng::seed_from_u64(0));
        assert_eq!(pairs, [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]);
        assert!(choose_pairs(1, 0, &mut ChaCha8Rng::seed_from_u64(0)).is_empty());
        let some = choose_pairs(50, 40, &mut ChaCha8Rng::seed_from_u64(0));
        assert!(some.windows(2).all(|pair| pair[0] < pair[1]) && some.iter().all(|&(a, b)| a < b && b < 50));
    }

    #[test]
    fn every_condition_has_cells_and_controls_have_their_share() {
        let assigned = assign(&ScreenDesign::default(), &mut ChaCha8Rng::seed_from_u64(0));
        let count = |condition: usize| assigned.iter().filter(|cell| cell.condition == condition).count();
        assert_eq!((assigned.len(), count(0)), (8000, 960));
        assert!((1..37).all(|condition| (140..260).contains(&count(condition))));
        let few = assign(&ScreenDesign { cells: 37, ..Default::default() }, &mut ChaCha8Rng::seed_from_u64(0));
        assert!((0..37).all(|condition| few.iter().any(|cell| cell.condition == condition)));
    }

    #[test]
    fn parts_sum_to_the_total() {
        assert_eq!(divide(10, &[1.0, 1.0, 1.0]), [4, 3, 3]);
        assert_eq!(divide(0, &[1.0, 2.0]), [0, 0]);
    }
}

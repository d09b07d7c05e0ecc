//! Exact optimal transport between clouds of equal size: an assignment.

use ndarray::ArrayView2;

use super::auction::{prices, two_least};
use crate::{Error, Result};

/// Passes over the free rows before paths are searched for them, and steps of a pass per row.
const PASSES: usize = 2;
const STEPS_PER_ROW: usize = 2;

/// Finds the one-to-one assignment of rows to columns of least total cost: the column of each row.
///
/// With equal sizes and uniform weights the optimal plan is a permutation (Birkhoff). An auction gives prices of the
/// columns near the optimal ones; from there the reductions and shortest augmenting paths of Jonker & Volgenant 1987,
/// Computing 38:325, whose result is exact whatever the prices, have little left to do. Memory is that of the costs and a
/// few rows.
///
/// **Shapes** `costs`: (n, n), finite.
///
/// # Errors
/// [`Error::ShapeMismatch`] if the matrix is not square; [`Error::BadValues`] if a cost is not finite.
pub fn assignment(costs: ArrayView2<f64>) -> Result<Vec<usize>> {
    super::check(costs, "costs of an assignment")?;
    let n = costs.nrows();
    // A single row has no second best column.
    if n < 2 {
        return Ok((0..n).collect());
    }
    let costs = costs.as_standard_layout();
    let costs = costs.as_slice().ok_or_else(|| Error::backend("optimal assignment", "rows are not contiguous"))?;
    let rows: Vec<&[f64]> = costs.chunks_exact(n).collect();
    let mut matching = Matching { prices: prices(&rows), row_of: vec![None; n], column_of: vec![0; n], rows };
    let mut free = matching.take_least();
    for _ in 0..PASSES {
        free = matching.reduce(&free);
    }
    let mut search = Search { distances: vec![0.0; n], before: vec![0; n], columns: (0..n).collect() };
    for row in free {
        matching.augment(row, &mut search);
    }
    Ok(matching.column_of)
}

/// Rows and their columns so far. Every matched pair has the least reduced cost, cost − price, of its row.
struct Matching<'a> {
    rows: Vec<&'a [f64]>,
    prices: Vec<f64>,
    row_of: Vec<Option<usize>>,
    /// Meaningless for free rows.
    column_of: Vec<usize>,
}

/// What the search for one path needs; reused by the next.
struct Search {
    /// Length of the shortest path to each column.
    distances: Vec<f64>,
    /// The row before each column on that path.
    before: Vec<usize>,
    /// Columns: first those that are done, then those at the present distance, then the others.
    columns: Vec<usize>,
}

impl Matching<'_> {
    /// Gives every row its least column if no earlier row has it; the rows that stay free.
    fn take_least(&mut self) -> Vec<usize> {
        let mut free = Vec::new();
        for row in 0..self.rows.len() {
            let column = two_least(self.rows[row], &self.prices).column;
            if self.row_of[column].is_none() {
                self.set(row, column);
            } else {
                free.push(row);
            }
        }
        free
    }

    /// Augmenting row reduction: each free row takes its least column at the highest price that keeps it the least, and
    /// who had that column looks for another; the rows that stay free.
    fn reduce(&mut self, free: &[usize]) -> Vec<usize> {
        let mut waiting: Vec<usize> = free.iter().rev().copied().collect();
        let mut left = Vec::new();
        let mut n_steps = 0;
        while let Some(row) = waiting.pop() {
            n_steps += 1;
            let found = two_least(self.rows[row], &self.prices);
            let price = self.prices[found.column] - (found.second - found.least);
            let is_lower = price < self.prices[found.column];
            let owner = self.row_of[found.column];
            // Two equal columns, or steps without an end: a path will tell.
            if owner.is_some() && (!is_lower || n_steps > STEPS_PER_ROW * self.rows.len()) {
                left.push(row);
                continue;
            }
            if is_lower {
                self.prices[found.column] = price;
            }
            self.set(row, found.column);
            waiting.extend(owner);
        }
        left
    }

    /// Matches a free row along the shortest path to a free column (Dijkstra's algorithm on reduced costs), and sets the
    /// prices by its lengths.
    fn augment(&mut self, start: usize, search: &mut Search) {
        let Search { distances, before, columns } = search;
        let n = columns.len();
        for column in 0..n {
            distances[column] = self.rows[start][column] - self.prices[column];
            before[column] = start;
        }
        let (mut n_done, mut n_reached, mut n_closer, mut reach) = (0, 0, 0, f64::INFINITY);
        let end = 'search: loop {
            if n_done == n_reached {
                n_closer = n_done;
                reach = f64::INFINITY;
                for place in n_done..n {
                    let distance = distances[columns[place]];
                    if distance <= reach {
                        if distance < reach {
                            n_reached = n_done;
                            reach = distance;
                        }
                        columns.swap(place, n_reached);
                        n_reached += 1;
                    }
                }
                let free = columns[n_done..n_reached].iter().find(|&&column| self.row_of[column].is_none());
                if let Some(&column) = free {
                    break column;
                }
            }
            let column = columns[n_done];
            n_done += 1;
            let Some(row) = self.row_of[column] else { break column };
            let costs = self.rows[row];
            let base = costs[column] - self.prices[column] - reach;
            let unreached = n_reached..n;
            for place in unreached {
                let other = columns[place];
                let distance = costs[other] - self.prices[other] - base;
                if distance < distances[other] {
                    distances[other] = distance;
                    before[other] = row;
                    if distance <= reach {
                        if self.row_of[other].is_none() {
                            break 'search other;
                        }
                        columns.swap(place, n_reached);
                        n_reached += 1;
                    }
                }
            }
        };
        for &column in &columns[..n_closer] {
            self.prices[column] += distances[column] - reach;
        }
        let mut column = end;
        loop {
            let row = before[column];
            let next = self.column_of[row];
            self.set(row, column);
            if row == start {
                break;
            }
            column = next;
        }
    }

    fn set(&mut self, row: usize, column: usize) {
        self.row_of[column] = Some(row);
        self.column_of[row] = column;
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// The least total over all permutations, row by row.
    fn least(costs: &Array2<f64>, row: usize, taken: u32) -> f64 {
        let free = (0..costs.ncols()).filter(|column| (taken >> column) & 1 == 0);
        let totals = free.map(|column| costs[[row, column]] + least_after(costs, row + 1, taken | (1 << column)));
        totals.fold(f64::INFINITY, f64::min)
    }

    fn least_after(costs: &Array2<f64>, row: usize, taken: u32) -> f64 {
        if row == costs.nrows() { 0.0 } else { least(costs, row, taken) }
    }

    #[track_caller]
    fn total(costs: &Array2<f64>) -> f64 {
        let columns = assignment(costs.view()).unwrap();
        let mut sorted = columns.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..costs.nrows()).collect::<Vec<_>>());
        columns.iter().enumerate().map(|(row, &column)| costs[[row, column]]).sum()
    }

    #[test]
    fn the_cheapest_assignment_is_found_though_no_row_takes_its_cheapest_column() {
        let costs = array![[1.0, 2.0, 9.0], [1.0, 4.0, 9.0], [2.0, 9.0, 3.0]];
        assert_eq!(assignment(costs.view()).unwrap(), [1, 0, 2]);
    }

    #[test]
    fn no_permutation_is_cheaper_also_with_ties_negative_costs_and_great_offsets() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for n in 1..=7 {
            for kind in 0..40 {
                let costs = Array2::from_shape_simple_fn((n, n), || match kind % 4 {
                    0 => rng.random_range(-1.0..1.0),
                    1 => f64::from(rng.random_range(0..3)),
                    2 => 1e9 + rng.random_range(0.0..1.0),
                    _ => rng.random_range(0.0..1.0_f64).powi(9),
                });
                let rounding = 1e-12 + 1e-15 * costs.sum().abs();
                assert!((total(&costs) - least(&costs, 0, 0)).abs() <= rounding, "{costs}");
            }
        }
        assert_eq!(total(&Array2::zeros((20, 20))), 0.0);
    }

    #[test]
    fn points_on_a_line_are_paired_in_their_order() {
        let n = 300;
        let place = |i: usize, step: f64| ((i + 1) as f64 * step).fract();
        let costs = Array2::from_shape_fn((n, n), |(i, j)| (place(i, 0.618) - place(j, 0.414) - 2.0).powi(2));
        let sorted = |step: f64| {
            let mut places: Vec<f64> = (0..n).map(|i| place(i, step)).collect();
            places.sort_unstable_by(f64::total_cmp);
            places
        };
        let expected: f64 = sorted(0.618).iter().zip(sorted(0.414)).map(|(x, y)| (x - y - 2.0).powi(2)).sum();
        assert!((total(&costs) / expected - 1.0).abs() < 1e-12);
        // The other order of memory.
        let turned = costs.t().to_owned();
        assert_eq!(assignment(turned.t()).unwrap(), assignment(costs.view()).unwrap());
    }

    #[test]
    fn unequal_sizes_and_infinite_costs_are_refused() {
        assert!(assignment(array![[1.0, 2.0]].view()).is_err());
        assert!(assignment(array![[f64::NAN]].view()).is_err());
    }
}

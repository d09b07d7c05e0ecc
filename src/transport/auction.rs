//! Prices of columns by auction.

/// Bids raise prices by this part of the costs' mean height at first, and by a fifth of it in each further round.
const FIRST: f64 = 0.25;
const FALL: f64 = 5.0;
/// No round is below this part: about where the search for exact pairs takes least time.
const LAST: f64 = 5e-5;
/// Steps below this part of the greatest cost would be lost in its last digits.
const DIGITS: f64 = 1e-12;

/// The least reduced cost, cost − price, of a row, its column, and the second least.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Least {
    pub(super) least: f64,
    pub(super) column: usize,
    pub(super) second: f64,
}

/// Prices at which every row can have nearly its least reduced cost (Bertsekas 1988, Ann. Oper. Res. 14:105, with rounds
/// of ever smaller steps). A column's price is what its owner is paid: bids lower it.
///
/// **Shapes** `rows`: n rows of n finite costs, n > 1; the result: (n).
pub(super) fn prices(rows: &[&[f64]]) -> Vec<f64> {
    let n = rows.len();
    let mut prices = vec![f64::INFINITY; n];
    let (mut sum, mut greatest) = (0.0, 0.0_f64);
    for costs in rows {
        for (price, &cost) in prices.iter_mut().zip(*costs) {
            *price = price.min(cost);
            sum += cost;
            greatest = greatest.max(cost.abs());
        }
    }
    let lowest = prices.iter().copied().fold(f64::INFINITY, f64::min);
    let height = sum / (n * n) as f64 - lowest;
    let last = (LAST * height).max(DIGITS * greatest);
    let mut step = FIRST * height;
    // Costs that differ by rounding alone need no auction.
    while step > last {
        auction(rows, &mut prices, step);
        step /= FALL;
    }
    prices
}

/// One round: rows bid for their least column until each has one. A bid makes the column as dear as the second least, and
/// dearer by the step.
fn auction(rows: &[&[f64]], prices: &mut [f64], step: f64) {
    let mut owners: Vec<Option<usize>> = vec![None; rows.len()];
    let mut waiting: Vec<usize> = (0..rows.len()).rev().collect();
    while let Some(row) = waiting.pop() {
        let found = two_least(rows[row], prices);
        prices[found.column] -= found.second - found.least + step;
        waiting.extend(owners[found.column].replace(row));
    }
}

/// Looks at a row of costs.
///
/// Eight lanes keep their own least and second least, so that the processor takes eight columns at once.
pub(super) fn two_least(costs: &[f64], prices: &[f64]) -> Least {
    const LANES: usize = 8;
    let (mut first, mut second, mut block_of) = ([f64::INFINITY; LANES], [f64::INFINITY; LANES], [0_u64; LANES]);
    let (costs, costs_left) = costs.as_chunks::<LANES>();
    let (prices, prices_left) = prices.as_chunks::<LANES>();
    for (block, (costs, prices)) in costs.iter().zip(prices).enumerate() {
        for lane in 0..LANES {
            let value = costs[lane] - prices[lane];
            let is_less = value < first[lane];
            let larger = if is_less { first[lane] } else { value };
            second[lane] = if larger < second[lane] { larger } else { second[lane] };
            block_of[lane] = if is_less { block as u64 } else { block_of[lane] };
            first[lane] = if is_less { value } else { first[lane] };
        }
    }
    let mut found = Least { least: f64::INFINITY, column: 0, second: f64::INFINITY };
    let mut take = |value: f64, column: usize| {
        if value < found.least {
            found = Least { least: value, column, second: found.least };
        } else {
            found.second = found.second.min(value);
        }
    };
    for lane in 0..LANES {
        take(first[lane], block_of[lane] as usize * LANES + lane);
    }
    for (place, (cost, price)) in costs_left.iter().zip(prices_left).enumerate() {
        take(cost - price, costs.len() * LANES + place);
    }
    found.second = second.iter().copied().fold(found.second, f64::min);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_least_are_found_wherever_they_stand() {
        for n in [2, 7, 8, 9, 16, 37] {
            let prices: Vec<f64> = (0..n).map(|column| f64::from(column as u32 % 3)).collect();
            for least in 0..n {
                for second in (0..n).filter(|&second| second != least) {
                    let mut costs: Vec<f64> = prices.iter().map(|price| price + 5.0).collect();
                    costs[least] -= 4.0;
                    costs[second] -= 3.0;
                    assert_eq!(two_least(&costs, &prices), Least { least: 1.0, column: least, second: 2.0 });
                }
            }
            let equal = two_least(&prices, &prices);
            assert_eq!((equal.least, equal.second), (0.0, 0.0));
        }
    }

    #[test]
    fn at_the_prices_every_row_can_have_nearly_its_least_column() {
        let n = 50;
        let place = |i: usize, step: f64| ((i + 1) as f64 * step).fract();
        let costs: Vec<f64> = (0..n * n).map(|at| (place(at / n, 0.618) - place(at % n, 0.414)).powi(2)).collect();
        let rows: Vec<&[f64]> = costs.chunks_exact(n).collect();
        let prices = prices(&rows);
        let sorted = |step: f64| {
            let mut places: Vec<f64> = (0..n).map(|i| place(i, step)).collect();
            places.sort_unstable_by(f64::total_cmp);
            places
        };
        let best: f64 = sorted(0.618).iter().zip(sorted(0.414)).map(|(x, y)| (x - y).powi(2)).sum();
        // The dual value is below the optimum, by no more than a step for each row.
        let dual: f64 =
            rows.iter().map(|costs| two_least(costs, &prices).least).sum::<f64>() + prices.iter().sum::<f64>();
        let step = FALL * LAST * costs.iter().sum::<f64>() / (n * n) as f64;
        assert!(dual <= best + 1e-12 && best - dual <= n as f64 * step, "{dual} {best}");
    }
}

//! Which values are equal: sums over other blocks of cells, or over cells in another order, differ in their last digits, and
//! that must not choose genes.

/// Values that differ by less than this share are equal. Sums differ by some 10⁻¹⁵, which small differences between
/// dispersions can make larger; values of genes that differ lie 10⁻⁴ apart as a rule.
const ROUNDING: f64 = 1e-10;

/// Whether a value that is not larger than another equals it.
fn is_equal(larger: f64, smaller: f64) -> bool {
    larger == smaller || (larger.is_finite() && larger - smaller <= ROUNDING * larger.abs())
}

/// The positions of the values, the largest first, equal ones in their order; NaN is left out.
pub(super) fn falling(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).filter(|&place| !values[place].is_nan()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    let mut start = 0;
    for end in 1..=order.len() {
        if end == order.len() || !is_equal(values[order[end - 1]], values[order[end]]) {
            order[start..end].sort_unstable();
            start = end;
        }
    }
    order
}

/// Whether each value is among the `n_top` largest; those that equal the last of them are in, NaN is out.
pub(super) fn largest(values: &[f64], n_top: usize) -> Vec<bool> {
    let order = falling(values);
    match order.get(n_top.min(order.len()).wrapping_sub(1)) {
        Some(&last) => values.iter().map(|&value| value >= values[last] || is_equal(values[last], value)).collect(),
        None => vec![false; values.len()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_keep_their_order() {
        assert_eq!(falling(&[1.0, 3.0, 1.0 + 1e-13, 2.0, 1.0]), [1, 3, 0, 2, 4]);
        assert_eq!(falling(&[f64::NAN, f64::INFINITY, -1.0, f64::INFINITY]), [1, 3, 2]);
        assert!(falling(&[]).is_empty());
    }

    #[test]
    fn all_that_equal_the_last_are_in() {
        let values = [0.5, 1.0 - 1e-13, f64::NAN, 1.0, 2.0, f64::INFINITY];
        assert_eq!(largest(&values, 3), [false, true, false, true, true, true]);
        assert_eq!(largest(&values, 2), [false, false, false, false, true, true]);
        assert_eq!(largest(&values, 99), [true, true, false, true, true, true]);
        assert_eq!(largest(&[f64::NAN], 1), [false]);
    }
}

//! What a matrix holds, and on which scale its values seem to be.

use serde::Serialize;

use crate::cells::SparseMatrix;

/// The scale that the values of a matrix speak for. Nothing acts on it: it is told together with its evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// No value but zero.
    Empty,
    /// Whole numbers from 0.
    Counts,
    /// log1p of values that have one sum in every cell, or that are multiples of one value in each cell.
    LogNormalized,
    /// Fractional values, small enough for logarithms.
    Logarithmic,
    /// Fractional values with one sum in every cell, or that are multiples of one value in each cell.
    Normalized,
    /// Values below zero.
    Centered,
    /// None of these.
    Unclear,
}

impl Scale {
    /// The scale in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Empty => "nothing",
            Self::Counts => "counts",
            Self::LogNormalized => "log1p of normalised counts",
            Self::Logarithmic => "log-transformed values, perhaps",
            Self::Normalized => "normalised counts, not log-transformed",
            Self::Centered => "centred or scaled values",
            Self::Unclear => "unclear",
        }
    }
}

/// The facts about a matrix.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MatrixSummary {
    /// `X` or `layers["counts"]`.
    pub name: String,
    /// Number of stored values.
    pub n_stored: usize,
    /// Number of stored values other than 0.
    pub n_nonzero: usize,
    /// Non-zero values as a share of all entries.
    pub share_nonzero: f64,
    /// Number of values that are not a number.
    pub n_nan: usize,
    /// Number of infinite values.
    pub n_infinite: usize,
    /// Number of negative values.
    pub n_negative: usize,
    /// Number of finite values that are not whole.
    pub n_fractional: usize,
    /// The smallest finite value, zeros that are not stored included.
    pub min: f64,
    /// The largest finite value.
    pub max: f64,
    /// The median over cells of the sum of a cell's values.
    pub median_sum: f64,
    /// The scale that the values speak for,
    pub looks_like: Scale,
    /// and why.
    pub evidence: String,
}

/// log1p of 10⁶ is 13.8: logarithms of normalised counts stay below this.
const LARGEST_LOGARITHM: f64 = 15.0;
/// Sums that differ by less than this share are equal; rounding to 32 bits stays far below.
const EQUAL_SUMS: f64 = 1e-3;
/// Equal sums of fewer cells prove nothing.
const MIN_CELLS: usize = 5;

impl MatrixSummary {
    /// Looks at every value.
    pub fn new(name: &str, matrix: &SparseMatrix) -> Self {
        let values = matrix.values();
        let count = |of: &dyn Fn(f32) -> bool| values.iter().filter(|&&value| of(value)).count();
        let n_entries = matrix.n_rows() * matrix.n_columns();
        // Entries that are not stored are zeros.
        let unstored = (values.len() < n_entries).then_some(0.0_f64);
        let finite = values.iter().filter(|value| value.is_finite()).map(|&value| f64::from(value)).chain(unstored);
        let (min, max) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let n_nonzero = count(&|value| value != 0.0);
        let mut summary = Self {
            name: name.to_owned(),
            n_stored: values.len(),
            n_nonzero,
            share_nonzero: n_nonzero as f64 / n_entries.max(1) as f64,
            n_nan: count(&f32::is_nan),
            n_infinite: count(&f32::is_infinite),
            n_negative: count(&|value| value < 0.0),
            n_fractional: count(&|value| value.is_finite() && value.fract() != 0.0),
            min: if min.is_finite() { min } else { 0.0 },
            max: if max.is_finite() { max } else { 0.0 },
            median_sum: median(&mut sums(matrix, f64::from)),
            looks_like: Scale::Unclear,
            evidence: String::new(),
        };
        (summary.looks_like, summary.evidence) = summary.judge(matrix);
        summary
    }

    fn judge(&self, matrix: &SparseMatrix) -> (Scale, String) {
        if self.n_nonzero == 0 {
            return (Scale::Empty, "every value is 0".into());
        }
        if self.n_negative > 0 {
            let share = 100.0 * self.n_negative as f64 / self.n_stored as f64;
            return (Scale::Centered, format!("{share:.1} % of the stored values are negative"));
        }
        if self.n_fractional == 0 {
            let only = if self.max <= 1.0 { ", none above 1" } else { "" };
            return (Scale::Counts, format!("all values are whole and not negative{only}"));
        }
        let fractional = format!("{:.0} % are fractional", 100.0 * self.n_fractional as f64 / self.n_nonzero as f64);
        if self.max < LARGEST_LOGARITHM {
            let undo = |value: f32| f64::from(value).exp_m1();
            if let Some(sum) = equal_sum(sums(matrix, undo)) {
                return (Scale::LogNormalized, format!("exp(x) − 1 sums to {sum:.0} in every cell"));
            }
            if are_multiples(matrix, undo) {
                let evidence = "within each cell, exp(x) − 1 is a multiple of its smallest value";
                return (Scale::LogNormalized, evidence.into());
            }
            return (Scale::Logarithmic, format!("{fractional}, the largest is {:.1}", self.max));
        }
        if let Some(sum) = equal_sum(sums(matrix, f64::from)) {
            return (Scale::Normalized, format!("{fractional}, every cell sums to {sum:.0}"));
        }
        if are_multiples(matrix, f64::from) {
            return (Scale::Normalized, "within each cell, values are multiples of the smallest one".into());
        }
        (Scale::Unclear, format!("{fractional}, up to {:.1}, and cells differ in their sums", self.max))
    }
}

fn sums(matrix: &SparseMatrix, transform: impl Fn(f32) -> f64) -> Vec<f64> {
    (0..matrix.n_rows()).map(|row| matrix.row(row).1.iter().map(|&value| transform(value)).sum()).collect()
}

/// The common sum of the cells that are not empty, if they have one.
fn equal_sum(mut sums: Vec<f64>) -> Option<f64> {
    sums.retain(|&sum| sum != 0.0);
    let middle = median(&mut sums);
    let equal = sums.iter().all(|sum| (sum - middle).abs() <= EQUAL_SUMS * middle.abs());
    (equal && sums.len() >= MIN_CELLS).then_some(middle)
}

/// At most this many cells are asked for multiples,
const N_ASKED: usize = 500;
/// each with this many values or more,
const MIN_VALUES: usize = 5;
/// and this share must agree: the smallest count of a cell need not be 1.
const AGREEING: f64 = 0.8;

/// True if the values of most cells are whole multiples of the smallest one, as counts divided by a size factor are.
fn are_multiples(matrix: &SparseMatrix, undo: impl Fn(f32) -> f64) -> bool {
    let step = matrix.n_rows().div_ceil(N_ASKED).max(1);
    let (mut n_asked, mut n_agreeing) = (0, 0);
    for row in (0..matrix.n_rows()).step_by(step) {
        let values: Vec<f64> = matrix.row(row).1.iter().filter(|value| **value > 0.0).map(|&v| undo(v)).collect();
        if values.len() < MIN_VALUES {
            continue;
        }
        let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
        // Rounding to 32 bits grows with the value.
        let is_multiple = |value: &f64| {
            let ratio = value / smallest;
            (ratio - ratio.round()).abs() < 0.02 + 1e-5 * ratio
        };
        n_asked += 1;
        n_agreeing += usize::from(values.iter().all(is_multiple));
    }
    n_asked >= MIN_CELLS && f64::from(n_agreeing as u32) >= AGREEING * f64::from(n_asked as u32)
}

/// The median; 0 of nothing.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks_like(rows: &[&[f32]]) -> (Scale, String) {
        let sparse = rows.iter().map(|row| row.iter().enumerate().map(|(gene, &v)| (gene as u32, v)).collect());
        let summary = MatrixSummary::new("X", &SparseMatrix::from_rows(rows[0].len(), sparse));
        (summary.looks_like, summary.evidence)
    }

    #[test]
    fn the_scale_follows_from_the_values() {
        let counts: Vec<Vec<f32>> = (1..8).map(|i| vec![i as f32, 0.0, 2.0 * i as f32 + 1.0, 3.0]).collect();
        let map = |transform: &dyn Fn(f32, f32) -> f32| {
            let rows: Vec<Vec<f32>> = counts
                .iter()
                .map(|row| row.iter().map(|&value| transform(value, row.iter().sum())).collect())
                .collect();
            looks_like(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>()).0
        };
        assert_eq!(map(&|value, _| value), Scale::Counts);
        assert_eq!(map(&|value, sum| 1e4 * value / sum), Scale::Normalized);
        assert_eq!(map(&|value, sum| (1e4 * value / sum).ln_1p()), Scale::LogNormalized);
        assert_eq!(map(&|value, _| (0.1 + 0.1 * value * value).ln()), Scale::Centered);
        assert_eq!(map(&|value, _| value.sqrt()), Scale::Logarithmic);
        assert_eq!(map(&|value, _| value - 2.0), Scale::Centered);
        assert_eq!(map(&|value, _| 7.3 * value), Scale::Unclear);
        assert_eq!(map(&|_, _| 0.0), Scale::Empty);
    }

    #[test]
    fn a_part_of_the_genes_still_shows_that_counts_were_normalised() {
        let row = |cell: usize, transform: &dyn Fn(f32) -> f32| {
            let count = |gene: usize| 1.0 + ((cell * 7 + gene * gene) % 5) as f32;
            (0..8).map(|gene| (gene as u32, if gene == 0 { transform(1.0) } else { transform(count(gene)) })).collect()
        };
        let of = |transform: &dyn Fn(f32, f32) -> f32| {
            let rows = (0..9).map(|cell| row(cell, &|count| transform(count, 7.0 + cell as f32)));
            MatrixSummary::new("X", &SparseMatrix::from_rows(8, rows)).looks_like
        };
        assert_eq!(of(&|count, size| (count / size).ln_1p()), Scale::LogNormalized);
        assert_eq!(of(&|count, size| 100.0 * count / size), Scale::Normalized);
    }

    #[test]
    fn bad_values_are_counted_and_not_taken_for_extremes() {
        let rows = vec![vec![(0, f32::NAN), (1, 2.0)], vec![(0, f32::INFINITY), (2, 5.0)]];
        let summary = MatrixSummary::new("X", &SparseMatrix::from_rows(3, rows));
        assert_eq!((summary.n_nan, summary.n_infinite, summary.n_stored), (1, 1, 4));
        assert_eq!((summary.min, summary.max), (0.0, 5.0));
    }
}

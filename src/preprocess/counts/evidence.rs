//! What rows of a matrix say about its scale.

use crate::numbers::vectorized;

/// Fractional values no larger than this look like logarithms: log1p of 10⁶ is 13.8, and no cell has more counts in a
/// gene than it was normalised to. The limit is the one of cell-eval's check.
const LARGEST_LOGARITHM: f32 = 15.0;
/// Row sums that differ by less than this share count as equal; float32 rounding stays far below it.
const EQUAL_SUMS: f64 = 1e-3;
/// Equality of the sums of fewer rows proves nothing.
const MIN_ROWS_FOR_EQUAL_SUMS: usize = 5;

/// What one row says.
pub(super) struct Row {
    sum: f64,
    exponential_sum: f64,
    largest: f32,
    n_fractional: usize,
    pub(super) has_bad: bool,
}

impl Row {
    pub(super) fn of(values: &[f32], with_exponentials: bool) -> Self {
        let (sum, largest, n_fractional, n_bad) = look(values);
        let exponential = |&value: &f32| f64::from(value).exp_m1();
        let exponential_sum = if with_exponentials { values.iter().map(exponential).sum() } else { 0.0 };
        Self { sum, exponential_sum, largest, n_fractional, has_bad: n_bad > 0 }
    }
}

vectorized! {
    /// The sum of values, the largest, how many are fractional, and how many are negative or not finite.
    fn look(values: &[f32]) -> (f64, f32, usize, usize) {
        const LANES: usize = 16;
        let (mut sums, mut largest) = ([0.0_f64; LANES], [0.0_f32; LANES]);
        let (mut n_fractional, mut n_bad) = ([0_u32; LANES], [0_u32; LANES]);
        let mut add = |lane: usize, value: f32| {
            sums[lane] += f64::from(value);
            largest[lane] = if value > largest[lane] { value } else { largest[lane] };
            n_fractional[lane] += u32::from(value.trunc() != value);
            n_bad[lane] += u32::from(value < 0.0) + u32::from(!value.is_finite());
        };
        let chunks = values.chunks_exact(LANES);
        chunks.remainder().iter().enumerate().for_each(|(lane, &value)| add(lane, value));
        for chunk in chunks {
            chunk.iter().enumerate().for_each(|(lane, &value)| add(lane, value));
        }
        let total = |counts: [u32; LANES]| counts.iter().sum::<u32>() as usize;
        (sums.iter().sum(), largest.iter().copied().fold(0.0, f32::max), total(n_fractional), total(n_bad))
    }
}

/// The least and the largest sum of a row with values.
#[derive(Debug, Clone)]
struct Sums {
    n_rows: usize,
    least: f64,
    most: f64,
}

impl Default for Sums {
    fn default() -> Self {
        Self { n_rows: 0, least: f64::INFINITY, most: 0.0 }
    }
}

impl Sums {
    fn add(&mut self, sum: f64) {
        (self.least, self.most, self.n_rows) = (self.least.min(sum), self.most.max(sum), self.n_rows + 1);
    }

    /// Whether all sums so far are equal; once they are not, no further row changes that.
    fn are_equal(&self) -> bool {
        self.n_rows == 0 || (self.most.is_finite() && self.most - self.least <= EQUAL_SUMS * self.most)
    }

    /// The sum that all rows share, if they do and are enough to tell.
    fn shared(&self) -> Option<f64> {
        (self.n_rows >= MIN_ROWS_FOR_EQUAL_SUMS && self.are_equal()).then_some((self.least + self.most) / 2.0)
    }
}

/// What speaks against a matrix being counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Evidence {
    pub(super) n_stored: usize,
    pub(super) n_fractional: usize,
    example: f32,
    largest: f32,
    /// Of every row.
    sums: Sums,
    /// Of exp(x) − 1 of every row.
    exponential_sums: Sums,
    is_marked: bool,
}

impl Evidence {
    /// Nothing yet; `is_marked` tells that `uns["log1p"]` says something of the matrix.
    pub(super) fn new(is_marked: bool) -> Self {
        Self { is_marked, ..Self::default() }
    }

    /// Whether sums of exponentials can still tell something.
    pub(super) fn wants_exponentials(&self) -> bool {
        self.exponential_sums.are_equal()
    }

    /// The sum that all rows share, if they do and are enough to tell.
    pub(super) fn shared_sum(&self) -> Option<f64> {
        self.sums.shared()
    }

    /// Looks at the next row.
    pub(super) fn add(&mut self, row: &Row, values: &[f32]) {
        if values.is_empty() {
            return;
        }
        if self.n_fractional == 0 && row.n_fractional > 0 {
            self.example = values.iter().copied().find(|value| value.fract() != 0.0).unwrap_or_default();
        }
        self.n_stored += values.len();
        self.n_fractional += row.n_fractional;
        self.largest = self.largest.max(row.largest);
        self.sums.add(row.sum);
        if self.exponential_sums.are_equal() {
            self.exponential_sums.add(row.exponential_sum);
        }
    }

    /// Whether the fractional values are logarithms; if fractional counts are expected, small values alone prove nothing.
    pub(super) fn is_logarithmic(&self, fractional_is_expected: bool) -> bool {
        let is_small = self.largest < LARGEST_LOGARITHM && self.sums.shared().is_none();
        self.is_marked || self.exponential_sums.shared().is_some() || (is_small && !fractional_is_expected)
    }
}

impl std::fmt::Display for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { n_fractional, n_stored, example, largest, .. } = self;
        write!(f, "{n_fractional} of {n_stored} values are fractional, such as {example}; the largest is {largest}")?;
        if let Some(sum) = self.sums.shared() {
            write!(f, "; every row sums to {sum:.0}, so it was normalised")?;
        }
        if let Some(sum) = self.exponential_sums.shared() {
            write!(f, "; exp(x) - 1 of every row sums to {sum:.0}")?;
        }
        if self.is_marked {
            write!(f, "; uns[\"log1p\"] is present")?;
        }
        Ok(())
    }
}

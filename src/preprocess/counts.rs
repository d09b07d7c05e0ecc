//! Is a matrix made of counts? Every other scale is refused with the evidence.

use crate::cells::{Cells, SparseMatrix};
use crate::{Error, Result};

/// Fractional values no larger than this look like logarithms: log1p of 10⁶ is 13.8, and no cell has more counts in a
/// gene than it was normalised to. The limit is the one of cell-eval's check.
const LARGEST_LOGARITHM: f32 = 15.0;
/// Row sums that differ by less than this share count as equal; float32 rounding stays far below it.
const EQUAL_SUMS: f64 = 1e-3;
/// Equality of the sums of fewer rows proves nothing.
const MIN_ROWS_FOR_EQUAL_SUMS: usize = 5;

/// Finds the counts: the main matrix, or the layer that is named.
///
/// # Errors
/// [`Error::UnknownName`] if there is no such layer; [`Error::BadValues`] for NaN, infinite or negative values;
/// [`Error::WrongScale`] for normalised or log-transformed values, and for fractional ones unless `accept_fractional`.
pub fn find<'a>(cells: &'a Cells, layer: Option<&str>, accept_fractional: bool) -> Result<&'a SparseMatrix> {
    let matrix = match layer {
        None => &cells.x,
        Some(name) => cells.layers.get(name).ok_or_else(|| Error::UnknownName {
            what: "layer".into(),
            name: name.to_owned(),
            place: "the file".into(),
            nearest: cells.layers.keys().cloned().collect(),
        })?,
    };
    let place = layer.map_or_else(|| "X".to_owned(), |name| format!("layers[\"{name}\"]"));
    check_values(matrix, cells, &place)?;
    let evidence = Evidence::of(matrix, layer.is_none() && cells.uns.contains_key("log1p"));
    let other_counts = || {
        let looks_like_counts = |other: &SparseMatrix| {
            let sound = other.values().iter().all(|&value| value >= 0.0 && value.is_finite());
            sound && Evidence::of(other, false).n_fractional == 0 && other.n_stored() > 0
        };
        let mut names = cells.layers.iter().filter(|(_, other)| looks_like_counts(other)).map(|(name, _)| name.clone());
        match names.next() {
            Some(name) => format!("layers[\"{name}\"] looks like counts: add --counts-layer {name}"),
            None if layer.is_some() && looks_like_counts(&cells.x) => {
                "X looks like counts: leave --counts-layer out".into()
            }
            None => "give the raw counts in X or in a layer named by --counts-layer".into(),
        }
    };
    if evidence.n_fractional == 0 {
        return Ok(matrix);
    }
    if evidence.is_logarithmic(accept_fractional) {
        return Err(Error::WrongScale {
            what: place,
            expected: "counts".into(),
            found: format!("log-transformed values: {evidence}"),
            hint: other_counts(),
        });
    }
    if accept_fractional {
        return Ok(matrix);
    }
    Err(Error::WrongScale {
        what: place,
        expected: "counts, which are whole numbers".into(),
        found: evidence.to_string(),
        hint: format!(
            "{}; if these are counts that were corrected for ambient RNA or the like, add --accept-fractional-counts",
            other_counts()
        ),
    })
}

/// Tells whether a value cannot be used.
type IsBad = fn(f32) -> bool;

fn check_values(matrix: &SparseMatrix, cells: &Cells, place: &str) -> Result<()> {
    let problems: [(&str, IsBad); 3] =
        [("NaN", f32::is_nan), ("infinite", f32::is_infinite), ("negative", |value| value < 0.0)];
    for (problem, is_bad) in problems {
        let n_bad = matrix.values().iter().filter(|&&value| is_bad(value)).count();
        if n_bad == 0 {
            continue;
        }
        let mut examples = Vec::new();
        for row in 0..matrix.n_rows() {
            let (columns, values) = matrix.row(row);
            for (&column, &value) in columns.iter().zip(values).filter(|&(_, &value)| is_bad(value)) {
                let (cell, gene) = (&cells.obs.index[row], &cells.var.index[column as usize]);
                examples.push(format!("{value} in cell {cell}, gene {gene}"));
            }
            if examples.len() >= 3 {
                break;
            }
        }
        return Err(Error::BadValues {
            place: place.to_owned(),
            problem: problem.to_owned(),
            n_bad,
            n_total: matrix.n_stored(),
            examples,
            hint: "counts are finite and not negative; correct the matrix, or name another with --counts-layer".into(),
        });
    }
    Ok(())
}

/// What speaks against a matrix being counts.
struct Evidence {
    n_stored: usize,
    n_fractional: usize,
    example: f32,
    largest: f32,
    /// The sum of every row, if they are all equal.
    equal_sums: Option<f64>,
    /// The sum of exp(x) − 1 of every row, if they are all equal.
    equal_exponential_sums: Option<f64>,
    is_marked: bool,
}

impl Evidence {
    fn of(matrix: &SparseMatrix, is_marked: bool) -> Self {
        let mut fractional = matrix.values().iter().copied().filter(|value| value.fract() != 0.0);
        let example = fractional.next();
        Self {
            n_stored: matrix.n_stored(),
            n_fractional: example.map_or(0, |_| 1 + fractional.count()),
            example: example.unwrap_or(0.0),
            largest: matrix.values().iter().copied().fold(0.0, f32::max),
            equal_sums: equal_sum(matrix, |value| value),
            equal_exponential_sums: equal_sum(matrix, f64::exp_m1),
            is_marked,
        }
    }

    /// Whether the fractional values are logarithms; if fractional counts are expected, small values alone prove nothing.
    fn is_logarithmic(&self, fractional_is_expected: bool) -> bool {
        let is_small = self.largest < LARGEST_LOGARITHM && self.equal_sums.is_none();
        self.is_marked || self.equal_exponential_sums.is_some() || (is_small && !fractional_is_expected)
    }
}

impl std::fmt::Display for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { n_fractional, n_stored, example, largest, .. } = self;
        write!(f, "{n_fractional} of {n_stored} values are fractional, such as {example}; the largest is {largest}")?;
        if let Some(sum) = self.equal_sums {
            write!(f, "; every row sums to {sum:.0}, so it was normalised")?;
        }
        if let Some(sum) = self.equal_exponential_sums {
            write!(f, "; exp(x) - 1 of every row sums to {sum:.0}")?;
        }
        if self.is_marked {
            write!(f, "; uns[\"log1p\"] is present")?;
        }
        Ok(())
    }
}

/// The sum that all rows with values share, if they do.
fn equal_sum(matrix: &SparseMatrix, of: impl Fn(f64) -> f64) -> Option<f64> {
    let (mut least, mut most, mut n_rows) = (f64::INFINITY, 0.0_f64, 0);
    for row in 0..matrix.n_rows() {
        let values = matrix.row(row).1;
        if !values.is_empty() {
            let sum: f64 = values.iter().map(|&value| of(f64::from(value))).sum();
            (least, most, n_rows) = (least.min(sum), most.max(sum), n_rows + 1);
        }
    }
    (n_rows >= MIN_ROWS_FOR_EQUAL_SUMS && most - least <= EQUAL_SUMS * most).then_some((least + most) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::{Annotations, Value};

    const COUNTS: [[f32; 3]; 6] =
        [[1.0, 0.0, 4.0], [0.0, 2.0, 20.0], [3.0, 1.0, 0.0], [9.0, 0.0, 1.0], [1.0, 1.0, 1.0], [0.0, 7.0, 2.0]];

    fn matrix(of: impl Fn(f32, f32) -> f32) -> SparseMatrix {
        let row = |values: &[f32; 3]| {
            let sum: f32 = values.iter().sum();
            (0..3).map(|gene| (gene as u32, of(values[gene], sum))).collect()
        };
        SparseMatrix::from_rows(3, COUNTS.iter().map(row))
    }

    fn cells(x: SparseMatrix) -> Cells {
        let names = |what: &str, n: usize| Annotations::new((0..n).map(|i| format!("{what}{i}")).collect());
        Cells { obs: names("c", x.n_rows()), var: names("g", 3), x, ..Cells::default() }
    }

    fn refusal(cells: &Cells, layer: Option<&str>, accept: bool) -> (String, String) {
        let error = find(cells, layer, accept).unwrap_err();
        (error.to_string(), error.hint().unwrap_or_default().to_owned())
    }

    #[test]
    fn counts_are_accepted_even_if_another_matrix_left_its_mark() {
        let mut cells = cells(matrix(|count, _| count));
        assert_eq!(find(&cells, None, false).unwrap(), &cells.x);
        cells.uns.insert("log1p".into(), Value::Map(Default::default()));
        assert!(find(&cells, None, false).is_ok());
    }

    #[test]
    fn logarithms_are_refused_and_the_counts_layer_is_named() {
        let mut cells = cells(matrix(|count, sum| (count / sum * 1e4).ln_1p()));
        cells.layers.insert("raw".into(), matrix(|count, _| count));
        for accept in [false, true] {
            let (message, hint) = refusal(&cells, None, accept);
            assert!(message.contains("log-transformed") && message.contains("sums to 10000"), "{message}");
            assert!(hint.contains("--counts-layer raw"), "{hint}");
        }
        assert!(find(&cells, Some("raw"), false).is_ok());
        assert!(refusal(&cells, Some("rwa"), false).0.contains("`raw`"));
    }

    #[test]
    fn a_mark_of_log1p_counts_as_evidence_for_fractional_values() {
        let mut cells = cells(matrix(|count, _| count * 1.5));
        assert!(refusal(&cells, None, false).1.contains("--accept-fractional-counts"));
        assert!(find(&cells, None, true).is_ok());
        cells.uns.insert("log1p".into(), Value::Map(Default::default()));
        assert!(refusal(&cells, None, true).0.contains("uns[\"log1p\"]"));
    }

    #[test]
    fn normalised_values_are_told_from_logarithms() {
        let (message, _) = refusal(&cells(matrix(|count, sum| count / sum * 10.0)), None, false);
        assert!(message.contains("every row sums to 10, so it was normalised"), "{message}");
    }

    #[test]
    fn values_that_no_count_has_are_refused_with_their_place() {
        for (bad, problem) in [(f32::NAN, "NaN"), (f32::INFINITY, "infinite"), (-1.0, "negative")] {
            let cells = cells(matrix(|count, _| if count == 20.0 { bad } else { count }));
            let (message, _) = refusal(&cells, None, true);
            assert!(message.contains(problem) && message.contains("cell c1, gene g2"), "{message}");
            assert!(message.contains("1 of 13"), "{message}");
        }
    }
}

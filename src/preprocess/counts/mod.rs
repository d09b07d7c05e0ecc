//! Is a matrix made of counts? Every other scale is refused with the evidence.

mod evidence;

use rayon::prelude::*;

use self::evidence::{Evidence, Row};
use crate::cells::SparseMatrix;
use crate::{Error, Result};

/// So many rows of a block are looked at first: they tell as a rule that sums of exponentials, which take time, differ.
const HEAD: usize = 16;

/// Looks at a matrix block by block, and says in the end whether it is made of counts.
///
/// Holds a few numbers only, whatever the size of the matrix.
#[derive(Debug, Clone)]
pub struct Check<'a> {
    layer: Option<String>,
    cells: &'a [String],
    genes: &'a [String],
    n_rows: usize,
    bad: [Bad; 3],
    evidence: Evidence,
}

/// Tells whether a value cannot be used.
type IsBad = fn(f32) -> bool;

/// What no count is, in the order in which it is told.
const BAD: [(&str, IsBad); 3] =
    [("NaN", f32::is_nan), ("infinite", f32::is_infinite), ("negative", |value| value < 0.0)];

/// Values that no count has.
#[derive(Debug, Clone, Default)]
struct Bad {
    n: usize,
    examples: Vec<String>,
}

impl<'a> Check<'a> {
    /// Nothing seen yet of X or a layer; `is_marked` tells that `uns["log1p"]` says something of it, as of X only.
    ///
    /// **Shapes** `cells`: the names of all rows; `genes`: those of all columns
    pub fn new(layer: Option<&str>, is_marked: bool, cells: &'a [String], genes: &'a [String]) -> Self {
        let evidence = Evidence::new(is_marked);
        Self { layer: layer.map(str::to_owned), cells, genes, n_rows: 0, bad: Default::default(), evidence }
    }

    /// Looks at the next rows.
    pub fn add(&mut self, block: &SparseMatrix) {
        let head = block.n_rows().min(HEAD);
        for range in [0..head, head..block.n_rows()] {
            let with_exponentials = self.evidence.wants_exponentials();
            let look = |row: usize| Row::of(block.row(row).1, with_exponentials);
            let rows: Vec<Row> = range.clone().into_par_iter().map(look).collect();
            for (row, seen) in range.zip(&rows) {
                if seen.has_bad {
                    self.note_bad(block, row);
                }
                self.evidence.add(seen, block.row(row).1);
            }
        }
        self.n_rows += block.n_rows();
    }

    fn note_bad(&mut self, block: &SparseMatrix, row: usize) {
        let (genes, values) = block.row(row);
        for (bad, (_, is_bad)) in self.bad.iter_mut().zip(BAD) {
            for (&gene, &value) in genes.iter().zip(values).filter(|&(_, &value)| is_bad(value)) {
                bad.n += 1;
                if bad.examples.len() < 3 {
                    let (cell, gene) = (&self.cells[self.n_rows + row], &self.genes[gene as usize]);
                    bad.examples.push(format!("{value} in cell {cell}, gene {gene}"));
                }
            }
        }
    }

    /// Whether all values seen could be counts, and there are some.
    pub fn looks_like_counts(&self) -> bool {
        self.bad.iter().all(|bad| bad.n == 0) && self.evidence.n_fractional == 0 && self.evidence.n_stored > 0
    }

    /// Refuses what is not made of counts, or returns what should be told of it, if anything. Only before a refusal the other matrices are looked at: `layers` names those of the file, and
    /// `looks_like_counts` is asked of some (X if none is named).
    ///
    /// # Errors
    /// [`Error::BadValues`] for NaN, infinite or negative values; [`Error::WrongScale`] for normalised or log-transformed
    /// values, and for fractional ones unless `accept_fractional`; those of `looks_like_counts`.
    pub fn finish(
        self,
        accept_fractional: bool,
        layers: &[String],
        looks_like_counts: impl Fn(Option<&str>) -> Result<bool>,
    ) -> Result<Option<String>> {
        let place = self.layer.as_ref().map_or_else(|| "X".to_owned(), |name| format!("layers[\"{name}\"]"));
        let evidence = self.evidence;
        if let Some((bad, (problem, _))) = self.bad.into_iter().zip(BAD).find(|(bad, _)| bad.n > 0) {
            return Err(Error::BadValues {
                place,
                problem: problem.to_owned(),
                n_bad: bad.n,
                n_total: evidence.n_stored,
                examples: bad.examples,
                hint: "counts are finite and not negative; correct the matrix, or name another with --counts-layer"
                    .into(),
            });
        }
        let is_logarithmic = evidence.is_logarithmic(accept_fractional);
        if evidence.n_fractional == 0 || (accept_fractional && !is_logarithmic) {
            return Ok(evidence.shared_sum().map(|sum| {
                format!(
                    "{place}: every cell has {sum:.0} counts; if they were normalised, and not drawn down to one depth, name \
                     the raw counts with --counts-layer"
                )
            }));
        }
        let other = other_counts(self.layer.as_deref(), layers, looks_like_counts)?;
        let (expected, found, hint) = if is_logarithmic {
            ("counts", format!("log-transformed values: {evidence}"), other)
        } else {
            let accept = "if these are counts that were corrected for ambient RNA or the like, add \
                          --accept-fractional-counts";
            ("counts, which are whole numbers", evidence.to_string(), format!("{other}; {accept}"))
        };
        Err(Error::WrongScale { what: place, expected: expected.into(), found, hint })
    }
}

/// Where counts are instead.
fn other_counts(
    layer: Option<&str>,
    layers: &[String],
    looks_like_counts: impl Fn(Option<&str>) -> Result<bool>,
) -> Result<String> {
    for name in layers.iter().filter(|name| layer != Some(name)) {
        if looks_like_counts(Some(name))? {
            return Ok(format!("layers[\"{name}\"] looks like counts: add --counts-layer {name}"));
        }
    }
    if layer.is_some() && looks_like_counts(None)? {
        return Ok("X looks like counts: leave --counts-layer out".into());
    }
    Ok("give the raw counts in X or in a layer named by --counts-layer".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::{Annotations, Cells, Value};

    /// Checks the counts in memory, the main matrix or the layer that is named.
    fn find<'a>(
        cells: &'a Cells,
        layer: Option<&str>,
        accept_fractional: bool,
    ) -> Result<(&'a SparseMatrix, Option<String>)> {
        let matrix = |layer: Option<&str>| match layer {
            None => Ok(&cells.x),
            Some(name) => cells.layers.get(name).ok_or_else(|| Error::UnknownName {
                what: "layer".into(),
                name: name.to_owned(),
                place: "the file".into(),
                nearest: cells.layers.keys().cloned().collect(),
            }),
        };
        let check = |layer: Option<&str>| -> Result<Check> {
            let is_marked = layer.is_none() && cells.uns.contains_key("log1p");
            let mut check = Check::new(layer, is_marked, &cells.obs.index, &cells.var.index);
            check.add(matrix(layer)?);
            Ok(check)
        };
        let others: Vec<String> = cells.layers.keys().cloned().collect();
        let note = check(layer)?.finish(accept_fractional, &others, |other| Ok(check(other)?.looks_like_counts()))?;
        Ok((matrix(layer)?, note))
    }

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
        assert_eq!(find(&cells, None, false).unwrap(), (&cells.x, None));
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
    fn counts_in_floats_of_one_depth_are_told() {
        let cells = cells(matrix(|count, sum| if count == 0.0 { 0.0 } else { (count / sum * 10.0).ceil() }));
        let note = |cells: &Cells, accept| find(cells, None, accept).unwrap().1;
        assert_eq!(note(&cells, false), None, "sums differ");
        let mut drawn = cells.clone();
        drawn.x = SparseMatrix::from_rows(3, (0..6).map(|row| vec![(0, row as f32), (1, 9.0 - row as f32)]));
        assert!(note(&drawn, false).unwrap().starts_with("X: every cell has 9 counts"));
        drawn.x = matrix(|count, sum| count / sum * 100.0);
        assert!(note(&drawn, true).unwrap().contains("every cell has 100 counts"), "normalised values are told");
    }

    #[test]
    fn a_layer_of_logarithms_is_refused_wherever_the_mark_is() {
        let mut cells = cells(matrix(|count, _| count));
        cells.layers.insert("log1p".into(), matrix(|count, sum| (count / sum * 1e4).ln_1p()));
        cells.uns.insert("log1p".into(), Value::Map(Default::default()));
        for accept in [false, true] {
            let (message, hint) = refusal(&cells, Some("log1p"), accept);
            assert!(message.contains("log-transformed") && !message.contains("uns"), "{message}");
            assert!(hint.contains("X looks like counts: leave --counts-layer out"), "{hint}");
        }
    }

    #[test]
    fn blocks_do_not_matter() {
        let x = matrix(|count, sum| if sum == 3.0 { (count / sum * 1e4).ln_1p() } else { count });
        let cells = cells(x);
        let whole = refusal(&cells, None, false).0;
        for size in 1..6 {
            let mut check = Check::new(None, false, &cells.obs.index, &cells.var.index);
            for first in (0..6).step_by(size) {
                let rows: Vec<usize> = (first..(first + size).min(6)).collect();
                check.add(&cells.x.select_rows(&rows));
            }
            assert_eq!(check.finish(false, &[], |_| Ok(false)).unwrap_err().to_string(), whole);
        }
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

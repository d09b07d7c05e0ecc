//! What a column of a table holds.

use std::collections::HashMap;

use serde::Serialize;

use super::matrices::median;
use crate::cells::{Annotations, Column};

/// The facts about a column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnSummary {
    /// Its name.
    pub name: String,
    /// `text`, `categorical`, `float`, `integer` or `boolean`.
    pub kind: &'static str,
    /// Number of distinct values.
    pub n_distinct: usize,
    /// Number of rows without a value.
    pub n_missing: usize,
    /// The most frequent values with their numbers, most frequent first; empty for numbers that vary freely.
    pub top: Vec<(String, usize)>,
    /// The smallest value, the median and the largest one, for numbers.
    pub range: Option<[f64; 3]>,
}

/// Whole numbers with more distinct values than this are measurements, not labels.
const MAX_INTEGER_LABELS: usize = 12;
/// How many frequent values are kept.
const N_TOP: usize = 20;

impl ColumnSummary {
    /// Looks at every row.
    pub fn new(name: &str, column: &Column) -> Self {
        let counts = count(column.texts().into_iter().flatten());
        let n_distinct = counts.len();
        let n_missing = column.len() - counts.iter().map(|(_, n)| n).sum::<usize>();
        let (kind, numbers) = match column {
            Column::Text(_) => ("text", None),
            Column::Categorical { .. } => ("categorical", None),
            Column::Boolean(_) | Column::NullableBoolean(_) => ("boolean", None),
            Column::Float(values) => ("float", Some(values.iter().copied().filter(|v| !v.is_nan()).collect())),
            Column::Integer(values) => ("integer", Some(values.iter().map(|&value| value as f64).collect())),
            Column::NullableInteger(values) => {
                ("integer", Some(values.iter().flatten().map(|&value| value as f64).collect()))
            }
        };
        let range = numbers.filter(|numbers: &Vec<f64>| !numbers.is_empty()).map(|mut numbers| {
            let middle = median(&mut numbers);
            [numbers[0], middle, numbers[numbers.len() - 1]]
        });
        let are_labels = range.is_none() || (kind == "integer" && n_distinct <= MAX_INTEGER_LABELS);
        let top = if are_labels { counts.into_iter().take(N_TOP).collect() } else { Vec::new() };
        Self { name: name.to_owned(), kind, n_distinct, n_missing, top, range }
    }
}

/// Summarises every column of a table.
pub fn summarize(table: &Annotations) -> Vec<ColumnSummary> {
    table.columns.iter().map(|(name, column)| ColumnSummary::new(name, column)).collect()
}

/// Each text with its number, most frequent first, then bytewise.
pub fn count(texts: impl Iterator<Item = String>) -> Vec<(String, usize)> {
    let mut counts = HashMap::<String, usize>::new();
    texts.for_each(|text| *counts.entry(text).or_default() += 1);
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts
}

/// The names that occur more than once.
pub fn duplicated(names: &[String]) -> Vec<(String, usize)> {
    count(names.iter().cloned()).into_iter().take_while(|&(_, n)| n > 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_counted_and_measurements_ranged() {
        let summary = ColumnSummary::new(
            "drug",
            &Column::Categorical {
                codes: vec![1, 0, 1, -1],
                categories: vec!["A".into(), "B".into(), "unused".into()],
                ordered: false,
            },
        );
        assert_eq!((summary.n_distinct, summary.n_missing), (2, 1));
        assert_eq!(summary.top, [("B".to_owned(), 2), ("A".to_owned(), 1)]);
        let summary = ColumnSummary::new("n", &Column::Float(vec![3.0, f64::NAN, 1.0]));
        assert_eq!((summary.range, summary.n_missing, summary.top.len()), (Some([1.0, 2.0, 3.0]), 1, 0));
        assert_eq!(ColumnSummary::new("leiden", &Column::Integer(vec![0, 0, 1])).top.len(), 2);
    }

    #[test]
    fn only_repeated_names_are_duplicated() {
        let names = ["a", "b", "a", "c"].map(str::to_owned);
        assert_eq!(duplicated(&names), [("a".to_owned(), 2)]);
    }
}

//! Scores as comma-separated values.

use std::collections::BTreeMap;
use std::path::Path;

use super::table::{self, Series};
use crate::Result;
use crate::metrics::intervals::{Estimate, Interval};
use crate::metrics::{ScoreRow, definitions};

/// Writes one row per method and condition.
///
/// # Errors
/// Those of [`table::write`].
pub fn write_scores(path: &Path, rows: &[ScoreRow]) -> Result<()> {
    table::write(path, score_columns(rows))
}

/// The columns of a table with one row per method and condition.
pub fn score_columns(rows: &[ScoreRow]) -> Vec<(String, Series)> {
    let texts = |of: &dyn Fn(&ScoreRow) -> String| Series::Texts(rows.iter().map(of).collect());
    let mut columns = vec![
        ("method".to_owned(), texts(&|row| row.method.clone())),
        ("perturbation".to_owned(), texts(&|row| row.perturbation.clone())),
    ];
    let mut covariates: Vec<&String> = rows.iter().flat_map(|row| row.covariates.keys()).collect();
    covariates.sort();
    covariates.dedup();
    for covariate in covariates {
        let value = |row: &ScoreRow| row.covariates.get(covariate).cloned().unwrap_or_default();
        columns.push((covariate.clone(), texts(&value)));
    }
    columns.push(("status".to_owned(), texts(&|row| row.status.clone())));
    columns.push(("stratum".to_owned(), texts(&|row| row.stratum.clone())));
    columns.push(("n_real".to_owned(), Series::Counts(rows.iter().map(|row| row.n_real as u64).collect())));
    columns.push(("n_generated".to_owned(), Series::Counts(rows.iter().map(|row| row.n_generated as u64).collect())));
    columns.push(("n_compared".to_owned(), Series::Counts(rows.iter().map(|row| row.n_compared as u64).collect())));
    for metric in definitions() {
        let values = rows.iter().map(|row| row.values.get(metric.name).copied()).collect();
        columns.push((metric.name.to_owned(), Series::Numbers(values)));
    }
    let told = |reasons: &BTreeMap<String, String>| {
        let reasons: Vec<String> = reasons.iter().map(|(metric, reason)| format!("{metric}: {reason}")).collect();
        reasons.join("; ").replace('\n', " ")
    };
    columns.push(("missing".to_owned(), texts(&|row| told(&row.missing))));
    columns.push(("undefined".to_owned(), texts(&|row| told(&row.undefined))));
    columns
}

/// Writes one row per stratum, method and metric.
///
/// # Errors
/// Those of [`table::write`].
pub fn write_intervals(path: &Path, intervals: &[Interval]) -> Result<()> {
    let texts =
        |of: &dyn Fn(&Interval) -> &String| Series::Texts(intervals.iter().map(|row| of(row).clone()).collect());
    let mut columns = vec![
        ("stratum".to_owned(), texts(&|row| &row.stratum)),
        ("method".to_owned(), texts(&|row| &row.method)),
        ("metric".to_owned(), texts(&|row| &row.metric)),
    ];
    type Of = fn(&Interval) -> Option<Estimate>;
    for (name, of) in [("mean", (|row| Some(row.mean)) as Of), ("less_additive", |row| row.less_additive)] {
        let numbers = |number: &dyn Fn(Estimate) -> Option<f64>| {
            Series::Numbers(intervals.iter().map(|row| of(row).and_then(number)).collect())
        };
        columns.extend([
            (name.to_owned(), numbers(&|estimate| Some(estimate.mean))),
            (format!("{name}_low"), numbers(&|estimate| Some(estimate.interval?[0]))),
            (format!("{name}_high"), numbers(&|estimate| Some(estimate.interval?[1]))),
            (format!("{name}_n_conditions"), numbers(&|estimate| Some(estimate.n as f64))),
        ]);
    }
    table::write(path, columns)
}

/// Writes the mean of every metric per method.
///
/// # Errors
/// Those of [`table::write`].
pub fn write_summary(path: &Path, summary: &[(String, usize, BTreeMap<String, f64>)]) -> Result<()> {
    let mut columns = vec![
        ("method".to_owned(), Series::Texts(summary.iter().map(|(method, ..)| method.clone()).collect())),
        ("n_conditions".to_owned(), Series::Counts(summary.iter().map(|(_, n, _)| *n as u64).collect())),
    ];
    for metric in definitions() {
        let values = summary.iter().map(|(.., values)| values.get(metric.name).copied()).collect();
        columns.push((metric.name.to_owned(), Series::Numbers(values)));
    }
    table::write(path, columns)
}

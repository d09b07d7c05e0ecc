//! Scores and small tables of numbers as comma-separated values.

use std::collections::BTreeMap;
use std::path::Path;

use polars::prelude::{Column, CsvReader, CsvWriter, DataFrame, DataType, SerReader, SerWriter};

use crate::metrics::intervals::{Estimate, Interval};
use crate::metrics::{ScoreRow, definitions};
use crate::{Error, Result};

/// One named column of a table.
pub enum Series {
    /// Texts.
    Texts(Vec<String>),
    /// Numbers; `None` and NaN become an empty field.
    Numbers(Vec<Option<f64>>),
    /// Whole numbers.
    Counts(Vec<u64>),
}

/// Writes columns of equal length.
///
/// # Errors
/// [`Error::Backend`] if the lengths differ; [`Error::Io`].
pub fn write(path: &Path, columns: Vec<(String, Series)>) -> Result<()> {
    let failed = |source: polars::prelude::PolarsError| Error::backend(format!("writing `{}`", path.display()), source);
    let n_rows = columns.first().map_or(0, |(_, series)| match series {
        Series::Texts(values) => values.len(),
        Series::Numbers(values) => values.len(),
        Series::Counts(values) => values.len(),
    });
    let columns = columns
        .into_iter()
        .map(|(name, series)| match series {
            Series::Texts(values) => Column::new(name.into(), values),
            Series::Numbers(values) => {
                let finite: Vec<Option<f64>> = values.into_iter().map(|v| v.filter(|v| v.is_finite())).collect();
                Column::new(name.into(), finite)
            }
            Series::Counts(values) => Column::new(name.into(), values),
        })
        .collect();
    let mut frame = DataFrame::new(n_rows, columns).map_err(failed)?;
    let file = std::fs::File::create(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    CsvWriter::new(file).finish(&mut frame).map_err(failed)
}

/// Reads a table of numbers: column → values; empty fields become NaN.
///
/// # Errors
/// [`Error::Io`] if the file is absent; [`Error::InvalidFile`] if it is no table of numbers.
pub fn read_numbers(path: &Path) -> Result<BTreeMap<String, Vec<f64>>> {
    let file = std::fs::File::open(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let failed = |source: polars::prelude::PolarsError| Error::InvalidFile {
        path: path.to_owned(),
        reason: source.to_string(),
        hint: "the table must hold numbers under a header".into(),
    };
    let frame = CsvReader::new(file).finish().map_err(failed)?;
    let mut columns = BTreeMap::new();
    for column in frame.columns() {
        let numbers = column.strict_cast(&DataType::Float64).map_err(failed)?;
        let numbers = numbers.f64().map_err(failed)?;
        columns.insert(column.name().to_string(), numbers.iter().map(|value| value.unwrap_or(f64::NAN)).collect());
    }
    Ok(columns)
}

/// Writes one row per method and condition.
///
/// # Errors
/// Those of [`write()`].
pub fn write_scores(path: &Path, rows: &[ScoreRow]) -> Result<()> {
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
    write(path, columns)
}

/// Writes one row per stratum, method and metric.
///
/// # Errors
/// Those of [`write()`].
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
    write(path, columns)
}

/// Writes the mean of every metric per method.
///
/// # Errors
/// Those of [`write()`].
pub fn write_summary(path: &Path, summary: &[(String, usize, BTreeMap<String, f64>)]) -> Result<()> {
    let mut columns = vec![
        ("method".to_owned(), Series::Texts(summary.iter().map(|(method, ..)| method.clone()).collect())),
        ("n_conditions".to_owned(), Series::Counts(summary.iter().map(|(_, n, _)| *n as u64).collect())),
    ];
    for metric in definitions() {
        let values = summary.iter().map(|(.., values)| values.get(metric.name).copied()).collect();
        columns.push((metric.name.to_owned(), Series::Numbers(values)));
    }
    write(path, columns)
}

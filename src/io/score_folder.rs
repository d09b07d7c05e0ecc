//! Reads a folder of scores, as `scflow evaluate` writes it.

use std::path::{Path, PathBuf};

use polars::prelude::{CsvReadOptions, SerReader};
use serde::de::DeserializeOwned;

use crate::metrics::Scores;
use crate::report::{Contents, Kind, MapCell, MethodMeans, Metric};
use crate::{Error, Result};

const HINT: &str = "make this folder with `scflow evaluate`, and leave its files as they are";

/// Reads `scores.json`, `scores.csv`, `summary.csv`, `umap.csv`, `history.csv` and `provenance.json`.
///
/// # Errors
/// [`Error::MissingKey`] if the folder or one of its files is absent; [`Error::InvalidFile`] or [`Error::MissingColumn`] if
/// a file is not what `evaluate` writes.
pub fn read(folder: &Path) -> Result<Contents> {
    let place = folder.display().to_string();
    if !folder.is_dir() {
        let key = "a folder of scores".into();
        return Err(Error::MissingKey { place, key, hint: HINT.into() });
    }
    for name in ["scores.json", "scores.csv", "summary.csv", "umap.csv", "history.csv", "provenance.json"] {
        if !folder.join(name).is_file() {
            return Err(Error::MissingKey { place, key: name.into(), hint: HINT.into() });
        }
    }
    let path = folder.join("scores.json");
    let scores: Scores = read_json(&path)?;
    let metrics: Vec<Metric> = serde_json::from_value(scores.settings["metrics"].clone())
        .map_err(|error| invalid(&path, format!("settings.metrics: {error}")))?;
    let rows = Table::read(&folder.join("scores.csv"))?;
    if rows.n_rows() != scores.rows.len() {
        let reason = format!("{} rows, but scores.json has {}", rows.n_rows(), scores.rows.len());
        return Err(invalid(&rows.path, reason));
    }
    Ok(Contents {
        summary: read_summary(&Table::read(&folder.join("summary.csv"))?, &metrics)?,
        cells: read_map(&Table::read(&folder.join("umap.csv"))?)?,
        history: read_history(&Table::read(&folder.join("history.csv"))?)?,
        provenance: read_json(&folder.join("provenance.json"))?,
        scores,
        metrics,
    })
}

fn read_summary(table: &Table, metrics: &[Metric]) -> Result<Vec<MethodMeans>> {
    let methods = table.texts("method")?;
    let n_conditions = table.numbers("n_conditions")?;
    let mut summary: Vec<MethodMeans> = methods
        .into_iter()
        .zip(n_conditions)
        .map(|(method, n)| MethodMeans { method, n_conditions: n.unwrap_or(0.0) as usize, values: Default::default() })
        .collect();
    for metric in metrics {
        for (own, value) in summary.iter_mut().zip(table.numbers(&metric.name)?) {
            if let Some(value) = value {
                own.values.insert(metric.name.clone(), value);
            }
        }
    }
    Ok(summary)
}

fn read_map(table: &Table) -> Result<Vec<MapCell>> {
    let kinds = table.texts("kind")?.into_iter().enumerate().map(|(row, kind)| {
        Kind::parse(&kind).ok_or_else(|| table.wrong("kind", row, &kind, "real, generated or control"))
    });
    let kinds = kinds.collect::<Result<Vec<Kind>>>()?;
    let (perturbations, covariates) = (table.texts("perturbation")?, table.texts("covariate")?);
    let [x, y, labels] = [table.all_numbers("umap_1")?, table.all_numbers("umap_2")?, table.all_numbers("leiden")?];
    let texts = kinds.into_iter().zip(perturbations.into_iter().zip(covariates));
    let cells = texts.enumerate().map(|(row, (kind, (perturbation, covariate)))| MapCell {
        kind,
        perturbation,
        covariate,
        position: [x[row], y[row]],
        leiden: labels[row] as usize,
    });
    Ok(cells.collect())
}

fn read_history(table: &Table) -> Result<Vec<(String, Vec<Option<f64>>)>> {
    table.columns.iter().map(|(name, _)| Ok((name.clone(), table.numbers(name)?))).collect()
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    serde_json::from_slice(&bytes).map_err(|error| invalid(path, error.to_string()))
}

fn invalid(path: &Path, reason: String) -> Error {
    Error::InvalidFile { path: path.to_owned(), reason, hint: HINT.into() }
}

/// A table of texts; an empty field has none.
struct Table {
    path: PathBuf,
    columns: Vec<(String, Vec<Option<String>>)>,
}

impl Table {
    fn read(path: &Path) -> Result<Self> {
        let failed = |error: polars::prelude::PolarsError| invalid(path, error.to_string());
        let file = std::fs::File::open(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        // Without a look at the values every column is text; what should be a number is read as one by name.
        let options = CsvReadOptions::default().with_infer_schema_length(Some(0));
        let frame = options.into_reader_with_file_handle(file).finish().map_err(failed)?;
        let mut columns = Vec::new();
        for column in frame.columns() {
            let texts = column.str().map_err(failed)?;
            columns.push((column.name().to_string(), texts.iter().map(|text| text.map(str::to_owned)).collect()));
        }
        Ok(Self { path: path.to_owned(), columns })
    }

    fn n_rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, values)| values.len())
    }

    fn column(&self, name: &str) -> Result<&[Option<String>]> {
        let column = self.columns.iter().find(|(other, _)| other == name);
        column.map(|(_, values)| values.as_slice()).ok_or_else(|| Error::MissingColumn {
            table: self.path.display().to_string(),
            column: name.into(),
            available: self.columns.iter().map(|(name, _)| name.clone()).collect(),
        })
    }

    fn texts(&self, name: &str) -> Result<Vec<String>> {
        Ok(self.column(name)?.iter().map(|text| text.clone().unwrap_or_default()).collect())
    }

    fn numbers(&self, name: &str) -> Result<Vec<Option<f64>>> {
        let number = |(row, text): (usize, &Option<String>)| {
            let Some(text) = text else { return Ok(None) };
            let value = text.trim().parse::<f64>().ok().filter(|value| value.is_finite());
            value.map(Some).ok_or_else(|| self.wrong(name, row, text, "a finite number"))
        };
        self.column(name)?.iter().enumerate().map(number).collect()
    }

    fn all_numbers(&self, name: &str) -> Result<Vec<f64>> {
        let values = self.numbers(name)?.into_iter().enumerate();
        values.map(|(row, value)| value.ok_or_else(|| self.wrong(name, row, "", "a finite number"))).collect()
    }

    fn wrong(&self, column: &str, row: usize, found: &str, expected: &str) -> Error {
        // Line 1 is the header.
        invalid(&self.path, format!("line {}, column `{column}`: expected {expected}, found `{found}`", row + 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<Table> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        std::fs::write(&path, text).unwrap();
        Table::read(&path)
    }

    #[test]
    fn empty_fields_quotes_and_headers_alone_are_read() {
        let table = table("step,loss,note\n1.0,,\"a, b\"\n2.0,0.5,\n").unwrap();
        assert_eq!(table.numbers("loss").unwrap(), [None, Some(0.5)]);
        assert_eq!(table.texts("note").unwrap(), ["a, b", ""]);
        let empty = self::table("step,loss\n").unwrap();
        assert_eq!((empty.n_rows(), empty.columns.len()), (0, 2));
    }

    #[test]
    fn a_wrong_value_is_named_with_its_line_and_column() {
        let table = table("umap_1\n1.0\nfar\n").unwrap();
        let error = table.all_numbers("umap_1").unwrap_err().to_string();
        assert!(error.ends_with("line 3, column `umap_1`: expected a finite number, found `far`"), "{error}");
        assert!(matches!(table.numbers("leiden"), Err(Error::MissingColumn { .. })));
    }
}

//! Reads a folder of scores, as `scflow evaluate` writes it.

use std::path::Path;

use super::json;
use super::table::Table;
use crate::metrics::Scores;
use crate::metrics::effects::GeneChange;
use crate::report::{Contents, Kind, MapCell, MethodMeans, Metric};
use crate::{Error, Result};

const HINT: &str = "make this folder with `scflow evaluate`, and leave its files as they are";

/// Reads `scores.json`, `scores.csv`, `summary.csv`, `umap.csv`, `changes.csv`, `history.csv` and `provenance.json`.
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
    for name in
        ["scores.json", "scores.csv", "summary.csv", "umap.csv", "changes.csv", "history.csv", "provenance.json"]
    {
        if !folder.join(name).is_file() {
            return Err(Error::MissingKey { place, key: name.into(), hint: HINT.into() });
        }
    }
    let path = folder.join("scores.json");
    let scores: Scores = json::read(&path, HINT)?;
    let metrics: Vec<Metric> = serde_json::from_value(scores.settings["metrics"].clone()).map_err(|error| {
        Error::InvalidFile { path, reason: format!("settings.metrics: {error}"), hint: HINT.into() }
    })?;
    let read_table = |name: &str| Table::read(&folder.join(name), HINT);
    let rows = read_table("scores.csv")?;
    if rows.n_rows() != scores.rows.len() {
        let reason = format!("{} rows, but scores.json has {}", rows.n_rows(), scores.rows.len());
        return Err(rows.invalid(reason));
    }
    Ok(Contents {
        summary: read_summary(&read_table("summary.csv")?, &metrics)?,
        cells: read_map(&read_table("umap.csv")?)?,
        changes: read_changes(&read_table("changes.csv")?)?,
        history: read_history(&read_table("history.csv")?)?,
        provenance: json::read(&folder.join("provenance.json"), HINT)?,
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

fn read_changes(table: &Table) -> Result<Vec<GeneChange>> {
    let [perturbations, covariates, genes] =
        [table.texts("perturbation")?, table.texts("covariate")?, table.texts("gene")?];
    let (real, generated) = (table.all_numbers("real")?, table.all_numbers("generated")?);
    let additive = table.numbers("additive")?;
    let texts = perturbations.into_iter().zip(covariates.into_iter().zip(genes));
    let changes = texts.enumerate().map(|(row, (perturbation, (covariate, gene)))| GeneChange {
        perturbation,
        covariate,
        gene,
        real: real[row],
        generated: generated[row],
        additive: additive[row],
    });
    Ok(changes.collect())
}

fn read_history(table: &Table) -> Result<Vec<(String, Vec<Option<f64>>)>> {
    table.columns().iter().map(|(name, _)| Ok((name.clone(), table.numbers(name)?))).collect()
}

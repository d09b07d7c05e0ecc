//! Compares generated cells with real ones.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::io::score_tables::{self, Series};
use crate::io::{atomic, h5ad};
use crate::metrics::evaluation::{Choices, evaluate as compare};
use crate::metrics::map::{CellMap, draw};
use crate::metrics::predicted::Predicted;
use crate::metrics::{Scores, summary};
use crate::prepared::Prepared;
use crate::{Error, Result};

/// What to compare, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluateParams {
    /// The generated cells.
    pub prediction: PathBuf,
    /// The prepared screen.
    pub truth: PathBuf,
    /// The folder of scores.
    pub output: PathBuf,
    /// Conditions with fewer real or generated cells get no scores.
    pub min_cells: usize,
    /// Resolution of the Leiden clustering of real cells.
    pub resolution: f64,
    /// Seed of everything drawn.
    pub seed: u64,
    /// Accept conditions or metrics of the model without a value.
    pub allow_missing: bool,
    /// Replace the output if it exists.
    pub force: bool,
}

impl Default for EvaluateParams {
    fn default() -> Self {
        Self {
            prediction: "predicted.h5ad".into(),
            truth: "prepared.h5ad".into(),
            output: "scores".into(),
            min_cells: 20,
            resolution: 1.0,
            seed: 0,
            allow_missing: false,
            force: false,
        }
    }
}

/// Writes the folder of scores and returns them; `say` tells of progress and of what was left out.
///
/// # Errors
/// Those of reading and writing; those of the checks of [`Prepared::new`] and [`Predicted::new`]. The folder is written
/// even if scores of the model are missing: [`require_complete`] tells.
pub fn evaluate(params: &EvaluateParams, say: &dyn Fn(&str)) -> Result<Scores> {
    atomic::check(&params.output, params.force)?;
    let truth = Prepared::new(h5ad::read(&params.truth)?)?;
    let predicted = Predicted::new(h5ad::read(&params.prediction)?, &truth)?;
    say(&format!("comparing {} generated cells with {} real ones", predicted.conditions.len(), truth.conditions.len()));
    let choices = Choices { min_cells: params.min_cells, resolution: params.resolution, seed: params.seed };
    let evaluation = compare(&truth, &predicted, choices)?;
    say("drawing the map");
    let map = draw(&truth, &predicted, &evaluation, params.seed)?;
    let provenance = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "stage": "evaluate",
        "parameters": params,
        "prediction_sha256": digest(&params.prediction)?,
        "truth_sha256": digest(&params.truth)?,
    });
    let scores = evaluation.scores;
    atomic::folder(&params.output, |folder| {
        score_tables::write_scores(&folder.join("scores.csv"), &scores.rows)?;
        score_tables::write_summary(&folder.join("summary.csv"), &summary::by_method(&scores.rows))?;
        score_tables::write(&folder.join("umap.csv"), map_columns(&map))?;
        let history = predicted
            .history
            .iter()
            .map(|(name, values)| (name.clone(), Series::Numbers(values.iter().copied().map(Some).collect())));
        score_tables::write(&folder.join("history.csv"), steps_first(history.collect()))?;
        write_json(&folder.join("scores.json"), &scores)?;
        write_json(&folder.join("provenance.json"), &provenance)
    })?;
    Ok(scores)
}

/// Fails if the model has conditions or metrics without a value.
///
/// # Errors
/// [`Error::Backend`] with the number and the first reason.
pub fn require_complete(scores: &Scores) -> Result<()> {
    let reasons: Vec<String> = scores
        .rows
        .iter()
        .filter(|row| row.method == "model")
        .filter_map(|row| {
            let (metric, reason) = row.missing.iter().next()?;
            Some(format!("{} {:?} {metric}: {reason}", row.perturbation, row.covariates))
        })
        .collect();
    let Some(first) = reasons.first() else { return Ok(()) };
    let n = reasons.len();
    Err(Error::backend(
        format!("scores are missing for {n} conditions of the model; add --allow-missing to accept that"),
        format!("for example {first}"),
    ))
}

fn map_columns(map: &CellMap) -> Vec<(String, Series)> {
    let covariates = |condition: &crate::conditions::Condition| {
        condition.covariates.values().cloned().collect::<Vec<_>>().join(" | ")
    };
    let axis = |axis: usize| Series::Numbers(map.positions.column(axis).iter().map(|&v| Some(f64::from(v))).collect());
    vec![
        ("kind".into(), Series::Texts(map.kinds.iter().map(ToString::to_string).collect())),
        ("perturbation".into(), Series::Texts(map.conditions.iter().map(|c| c.perturbation.to_string()).collect())),
        ("covariate".into(), Series::Texts(map.conditions.iter().map(covariates).collect())),
        ("umap_1".into(), axis(0)),
        ("umap_2".into(), axis(1)),
        ("leiden".into(), Series::Texts(map.labels.iter().map(ToString::to_string).collect())),
    ]
}

/// Puts `step` and `loss` before the other columns; a table without columns still gets its header.
fn steps_first(mut columns: Vec<(String, Series)>) -> Vec<(String, Series)> {
    for name in ["step", "loss"] {
        if !columns.iter().any(|(column, _)| column == name) && columns.is_empty() {
            columns.push(("step".into(), Series::Numbers(Vec::new())));
            columns.push(("loss".into(), Series::Numbers(Vec::new())));
        }
    }
    columns.sort_by_key(|(name, _)| match name.as_str() {
        "step" => 0,
        "loss" => 1,
        _ => 2,
    });
    columns
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value).map_err(|source| Error::backend("writing JSON", source))?;
    text.push('\n');
    std::fs::write(path, text).map_err(|source| Error::Io { path: path.to_owned(), source })
}

fn digest(path: &Path) -> Result<String> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let mut hasher = Sha256::new();
    std::io::copy(&mut std::fs::File::open(path).map_err(io)?, &mut hasher).map_err(io)?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

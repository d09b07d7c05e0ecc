//! Compares generated cells with real ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cells::{Cells, Value};
use crate::io::table::{self, Series};
use crate::io::{atomic, digest, h5ad, history, json, multiqc, score_tables};
use crate::metrics::effects::GeneChange;
use crate::metrics::evaluation::{Choices, evaluate as compare};
use crate::metrics::map::{CellMap, draw};
use crate::metrics::predicted::Predicted;
use crate::metrics::{Scores, summary};
use crate::prepared::Prepared;
use crate::{Error, Result};

/// What to compare, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
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

impl EvaluateParams {
    /// The command line that does the same.
    pub fn command(&self) -> String {
        let mut command = format!(
            "scflow evaluate {} --truth {} --output {} --min-cells {} --resolution {} --seed {}",
            self.prediction.display(),
            self.truth.display(),
            self.output.display(),
            self.min_cells,
            self.resolution,
            self.seed
        );
        if self.allow_missing {
            command.push_str(" --allow-missing");
        }
        command
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
    let prediction = h5ad::read(&params.prediction)?;
    let story = story(&prediction);
    let predicted = Predicted::new(prediction, &truth)?;
    say(&format!("comparing {} generated cells with {} real ones", predicted.conditions.len(), truth.conditions.len()));
    let choices = Choices { min_cells: params.min_cells, resolution: params.resolution, seed: params.seed };
    let evaluation = compare(&truth, &predicted, choices)?;
    say("drawing the map");
    let map = draw(&truth, &predicted, &evaluation, params.seed)?;
    // Where files lie does not belong to the content: the same cells give the same bytes in any folder.
    let name = |path: &Path| PathBuf::from(path.file_name().unwrap_or_default());
    let recorded = EvaluateParams {
        prediction: name(&params.prediction),
        truth: name(&params.truth),
        output: name(&params.output),
        force: false,
        ..params.clone()
    };
    let provenance = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "stage": "evaluate",
        "command": recorded.command(),
        "parameters": recorded,
        "prediction_sha256": digest::sha256(&params.prediction)?,
        "truth_sha256": digest::sha256(&params.truth)?,
        "prediction": story,
    });
    let (scores, changes) = (evaluation.scores, evaluation.changes);
    write_folder(&params.output, &scores, &changes, &map, &predicted.history, &provenance)?;
    Ok(scores)
}

/// Writes the folder of scores, as `scflow report` reads it.
///
/// # Errors
/// Those of writing.
pub fn write_folder(
    folder: &Path,
    scores: &Scores,
    changes: &[GeneChange],
    map: &CellMap,
    history: &BTreeMap<String, Vec<f64>>,
    provenance: &serde_json::Value,
) -> Result<()> {
    let summary = summary::by_method(&scores.rows);
    let means: Vec<_> = summary.iter().map(|(method, _, means)| (method.clone(), means.clone())).collect();
    let run = multiqc::run_of(folder);
    atomic::folder(folder, |folder| {
        score_tables::write_scores(&folder.join("scores.csv"), &scores.rows)?;
        score_tables::write_summary(&folder.join("summary.csv"), &summary)?;
        multiqc::write(&folder.join(multiqc::NAME), &run, &means)?;
        score_tables::write_intervals(&folder.join("intervals.csv"), &scores.intervals)?;
        table::write(&folder.join("umap.csv"), map_columns(map))?;
        table::write(&folder.join("changes.csv"), change_columns(changes))?;
        history::write(&folder.join("history.csv"), history)?;
        json::write_pretty(&folder.join("scores.json"), scores)?;
        json::write_pretty(&folder.join("provenance.json"), provenance)
    })
}

/// What earlier stages wrote about themselves into the prediction: stage → its JSON.
fn story(prediction: &Cells) -> serde_json::Value {
    let Some(Value::Map(entries)) = prediction.uns.get("scflow") else { return serde_json::Value::Null };
    let told = entries.iter().filter_map(|(stage, value)| {
        let text = value.as_text()?;
        Some((stage.clone(), serde_json::from_str(text).unwrap_or_else(|_| serde_json::Value::from(text))))
    });
    told.collect()
}

/// Fails if the model has conditions or metrics that could not be computed. What the data do not ask, such as an order
/// among the effects of a single condition, is no failure.
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

fn change_columns(changes: &[GeneChange]) -> Vec<(String, Series)> {
    let texts =
        |of: fn(&GeneChange) -> &String| Series::Texts(changes.iter().map(|change| of(change).clone()).collect());
    let numbers = |of: fn(&GeneChange) -> Option<f64>| Series::Numbers(changes.iter().map(of).collect());
    vec![
        ("perturbation".into(), texts(|change| &change.perturbation)),
        ("covariate".into(), texts(|change| &change.covariate)),
        ("gene".into(), texts(|change| &change.gene)),
        ("real".into(), numbers(|change| Some(change.real))),
        ("generated".into(), numbers(|change| Some(change.generated))),
        ("additive".into(), numbers(|change| change.additive)),
    ]
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

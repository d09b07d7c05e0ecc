//! What the finished jobs of a benchmark found: scores, costs, and whether anything leaked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::jobs::Job;
use super::params::REFERENCE;
use super::process;
use super::splits::Split;
use crate::Result;
use crate::io::h5ad::Partial;
use crate::io::{digest, json, model_folder};
use crate::metrics::benchmark::{Audit, AuditedCondition, AuditedSplit, Cost, Failure, SeedRow};
use crate::metrics::leaderboard::CEILING;
use crate::metrics::{ScoreRow, Scores, definitions};
use crate::prepared::{EMBEDDING, Prepared};

const HINT: &str = "add --force to make it again";

/// The scores of all jobs: of each its own method, and of the reference the ceiling too. A job that failed has a row without
/// values for every held-out condition of its split, which tells why.
///
/// # Errors
/// Those of reading.
pub(super) fn rows(jobs: &[Job], failures: &[Failure]) -> Result<Vec<SeedRow>> {
    let mut found = BTreeMap::<usize, Vec<ScoreRow>>::new();
    for (place, job) in jobs.iter().enumerate().filter(|(_, job)| job.failure(failures).is_none()) {
        let scores: Scores = json::read(&job.scores().join("scores.json"), HINT)?;
        found.insert(place, scores.rows);
    }
    // What each split holds out, as those tell that did not fail.
    let mut known = BTreeMap::<&str, BTreeMap<(String, BTreeMap<String, String>), ScoreRow>>::new();
    for (&place, rows) in &found {
        let of_split = known.entry(&jobs[place].split).or_default();
        for row in rows.iter().filter(|row| row.method == "model") {
            of_split.entry((row.perturbation.clone(), row.covariates.clone())).or_insert_with(|| row.clone());
        }
    }
    let mut rows = Vec::new();
    for (place, job) in jobs.iter().enumerate() {
        let name = job.method.name();
        let own = match found.remove(&place) {
            Some(all) => all
                .into_iter()
                .filter_map(|row| match row.method.as_str() {
                    "model" => Some(ScoreRow { method: name.into(), ..row }),
                    CEILING if job.method == REFERENCE => Some(row),
                    _ => None,
                })
                .collect(),
            None => {
                let held_out = known.get(job.split.as_str()).into_iter().flat_map(BTreeMap::values);
                without_values(name, job.failure(failures), held_out)
            }
        };
        rows.extend(own.into_iter().map(|row| SeedRow { split: job.split.clone(), seed: job.seed, row }));
    }
    Ok(rows)
}

fn without_values<'a>(
    method: &str,
    failure: Option<&Failure>,
    held_out: impl Iterator<Item = &'a ScoreRow>,
) -> Vec<ScoreRow> {
    let reason = failure.map_or_else(String::new, |failure| format!("{} failed: {}", failure.stage, failure.reason));
    let missing: BTreeMap<String, String> =
        definitions().iter().map(|metric| (metric.name.to_owned(), reason.clone())).collect();
    let of = |row: &ScoreRow| ScoreRow {
        method: method.into(),
        n_generated: 0,
        n_compared: 0,
        values: BTreeMap::new(),
        missing: missing.clone(),
        undefined: BTreeMap::new(),
        ..row.clone()
    };
    held_out.map(of).collect()
}

/// What the jobs took that did not fail.
///
/// # Errors
/// Those of reading.
pub(super) fn costs(jobs: &[Job], failures: &[Failure]) -> Result<Vec<Cost>> {
    let finished = |job: &&Job| job.failure(failures).is_none();
    let cost = |job: &Job| {
        let provenance = model_folder::read_story(&job.model())?.provenance;
        Ok(Cost {
            split: job.split.clone(),
            method: job.method.name().into(),
            seed: job.seed,
            n_steps: provenance["training"]["n_steps"].as_u64().map(|n| n as usize),
            fit: process::usage(&job.folder, "fit")?,
            predict: process::usage(&job.folder, "predict")?,
        })
    };
    jobs.iter().filter(finished).map(cost).collect()
}

/// Looks for held-out conditions among training cells: in the prepared screen of every split, and in what every model says of
/// itself.
///
/// # Errors
/// Those of reading.
pub(super) fn audit(jobs: &[Job], failures: &[Failure], screen: &Path, splits: &[Split]) -> Result<Audit> {
    let mut audit = Audit {
        splits: splits.iter().map(audit_of).collect::<Result<_>>()?,
        screen_sha256: digest::sha256(screen)?,
        ..Audit::default()
    };
    // A fit that failed has no model, or one that was there before.
    let is_fitted = |job: &&Job| job.failure(failures).is_none_or(|failure| failure.stage != "fit");
    for job in jobs.iter().filter(is_fitted) {
        let story = model_folder::read_story(&job.model())?;
        let split = audit.splits.iter().find(|split| split.name == job.split);
        let seen = |condition: &AuditedCondition| {
            story.known.training.iter().any(|(seen, _)| seen.to_string() == condition.condition)
        };
        let leaks = split.is_none_or(|split| {
            let is_another = story.provenance["input_sha256"].as_str() != Some(split.prepared_sha256.as_str());
            is_another || split.held_out.iter().any(seen)
        });
        audit.n_models += 1;
        if leaks {
            audit.leaking_models.push(format!("{} {} seed {}", job.split, job.method.name(), job.seed));
        }
    }
    Ok(audit)
}

/// What the prepared screen of a split says.
fn audit_of(split: &Split) -> Result<AuditedSplit> {
    let (_, cells) = Partial::open(split.prepared(), &["X_pca", EMBEDDING])?;
    let cells = Prepared::without_genes(cells)?;
    let training = cells.rows_by_condition(true);
    let named: BTreeSet<String> = cells.settings.held_out.iter().cloned().collect();
    let mut held_out = Vec::new();
    for (condition, rows) in &cells.rows_by_condition(false) {
        let n_training = training.get(condition).map_or(0, Vec::len);
        // Cells left out of a training condition hold no condition out.
        if named.contains(&condition.to_string()) || n_training == 0 {
            let condition = condition.to_string();
            held_out.push(AuditedCondition { condition, n_held_out: rows.len(), n_training });
        }
    }
    Ok(AuditedSplit {
        name: split.name.clone(),
        held_out,
        n_training_cells: cells.is_training.iter().filter(|&&training| training).count(),
        prepared_sha256: digest::sha256(split.prepared())?,
    })
}

//! What the finished jobs of a benchmark found: scores, costs, and whether anything leaked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::jobs::Job;
use super::params::REFERENCE;
use super::process;
use crate::Result;
use crate::io::h5ad::Partial;
use crate::io::{digest, json, model_folder};
use crate::metrics::benchmark::{Audit, AuditedCondition, Cost, Failure, SeedRow};
use crate::metrics::leaderboard::CEILING;
use crate::metrics::{ScoreRow, Scores, definitions};
use crate::prepared::{EMBEDDING, Prepared};

const HINT: &str = "add --force to make it again";

/// The scores of all jobs: of each its own method, and of the reference the ceiling too. A job that failed has a row without
/// values for every held-out condition, which tells why.
///
/// # Errors
/// Those of reading.
pub(super) fn rows(jobs: &[Job], failures: &[Failure]) -> Result<Vec<SeedRow>> {
    let failure = |job: &Job| failures.iter().find(|one| one.method == job.method.name() && one.seed == job.seed);
    let mut found = BTreeMap::<usize, Vec<ScoreRow>>::new();
    for (place, job) in jobs.iter().enumerate().filter(|(_, job)| failure(job).is_none()) {
        let scores: Scores = json::read(&job.scores().join("scores.json"), HINT)?;
        found.insert(place, scores.rows);
    }
    let mut known = BTreeMap::<(String, BTreeMap<String, String>), ScoreRow>::new();
    for row in found.values().flatten().filter(|row| row.method == "model") {
        known.entry((row.perturbation.clone(), row.covariates.clone())).or_insert_with(|| row.clone());
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
            None => without_values(name, failure(job), &known),
        };
        rows.extend(own.into_iter().map(|row| SeedRow { seed: job.seed, row }));
    }
    Ok(rows)
}

fn without_values<K>(method: &str, failure: Option<&Failure>, known: &BTreeMap<K, ScoreRow>) -> Vec<ScoreRow> {
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
    known.values().map(of).collect()
}

/// What the jobs took that did not fail.
///
/// # Errors
/// Those of reading.
pub(super) fn costs(jobs: &[Job], failures: &[Failure]) -> Result<Vec<Cost>> {
    let finished = |job: &&Job| !failures.iter().any(|one| one.method == job.method.name() && one.seed == job.seed);
    let cost = |job: &Job| {
        let provenance = model_folder::read_story(&job.model())?.provenance;
        Ok(Cost {
            method: job.method.name().into(),
            seed: job.seed,
            n_steps: provenance["training"]["n_steps"].as_u64().map(|n| n as usize),
            fit: process::usage(&job.folder, "fit")?,
            predict: process::usage(&job.folder, "predict")?,
        })
    };
    jobs.iter().filter(finished).map(cost).collect()
}

/// Looks for held-out conditions among training cells: in the prepared screen, and in what every model says of itself.
///
/// # Errors
/// Those of reading.
pub(super) fn audit(jobs: &[Job], failures: &[Failure], screen: &Path, prepared: &Path) -> Result<Audit> {
    let (_, cells) = Partial::open(prepared, &["X_pca", EMBEDDING])?;
    let cells = Prepared::without_genes(cells)?;
    let training = cells.rows_by_condition(true);
    let others = cells.rows_by_condition(false);
    let named: BTreeSet<String> = cells.settings.held_out.iter().cloned().collect();
    let is_held_out = |name: &String| named.contains(name);
    let mut held_out = Vec::new();
    for (condition, rows) in &others {
        let n_training = training.get(condition).map_or(0, Vec::len);
        // Cells left out of a training condition hold no condition out.
        if is_held_out(&condition.to_string()) || n_training == 0 {
            let condition = condition.to_string();
            held_out.push(AuditedCondition { condition, n_held_out: rows.len(), n_training });
        }
    }
    let digest_of_prepared = digest::sha256(prepared)?;
    let mut audit = Audit {
        n_training_cells: cells.is_training.iter().filter(|&&training| training).count(),
        digests: BTreeMap::from([
            ("screen".to_owned(), digest::sha256(screen)?),
            ("prepared screen".to_owned(), digest_of_prepared.clone()),
        ]),
        held_out,
        ..Audit::default()
    };
    // A fit that failed has no model, or one that was there before.
    let is_fitted = |job: &&Job| {
        !failures.iter().any(|one| one.stage == "fit" && one.method == job.method.name() && one.seed == job.seed)
    };
    for job in jobs.iter().filter(is_fitted) {
        let story = model_folder::read_story(&job.model())?;
        let seen = |condition: &AuditedCondition| {
            story.known.training.iter().any(|(seen, _)| seen.to_string() == condition.condition)
        };
        let is_another = story.provenance["input_sha256"].as_str() != Some(digest_of_prepared.as_str());
        audit.n_models += 1;
        if is_another || audit.held_out.iter().any(seen) {
            audit.leaking_models.push(format!("{} seed {}", job.method.name(), job.seed));
        }
    }
    Ok(audit)
}

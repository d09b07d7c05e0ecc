//! A whole benchmark: the scores of many methods with many seeds on the same held-out conditions, and what they cost.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::leaderboard::Standing;
use super::scores::ScoreRow;

/// Everything that a benchmark found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Benchmark {
    /// The method that the others are held against.
    pub reference: String,
    /// One entry per split, method, held-out condition and seed.
    pub rows: Vec<SeedRow>,
    /// One entry per method, best first by the first metric.
    pub standings: Vec<Standing>,
    /// What each fit took, by split, method and seed.
    pub costs: Vec<Cost>,
    /// Work that failed.
    pub failures: Vec<Failure>,
    /// That no held-out cell was trained on, as far as files tell.
    pub audit: Audit,
    /// What was asked for.
    pub settings: serde_json::Value,
}

/// The scores of one method on one condition of one split with one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedRow {
    /// The split that the condition was held out by.
    pub split: String,
    /// The seed of fit, prediction and evaluation.
    pub seed: u64,
    /// The scores; the method under the name by which it is asked for.
    pub row: ScoreRow,
}

/// What one method took with one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// The split.
    pub split: String,
    /// The method.
    pub method: String,
    /// The seed.
    pub seed: u64,
    /// Training steps; none if nothing was trained.
    pub n_steps: Option<usize>,
    /// The fit, measured from outside.
    pub fit: Usage,
    /// Making the cells.
    pub predict: Usage,
}

/// What a process took, as the system counted it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Seconds of computing over all threads, in the program and in the system for it.
    pub cpu_seconds: f64,
    /// Seconds on the clock.
    pub wall_seconds: f64,
    /// The most memory that was resident at once, in bytes.
    pub peak_memory_bytes: u64,
    /// True if it went on from a checkpoint: what it took before is not counted.
    pub went_on: bool,
}

/// A stage that failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The split.
    pub split: String,
    /// The method.
    pub method: String,
    /// The seed.
    pub seed: u64,
    /// `fit`, `predict` or `evaluate`.
    pub stage: String,
    /// What the stage said.
    pub reason: String,
}

/// What files tell of leakage.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// Every split.
    pub splits: Vec<AuditedSplit>,
    /// SHA-256 of the screen.
    pub screen_sha256: String,
    /// Models that were looked at.
    pub n_models: usize,
    /// Models that name a held-out condition among their training conditions, or were fitted to another file.
    pub leaking_models: Vec<String>,
}

/// A split, as its prepared screen holds it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditedSplit {
    /// Its name.
    pub name: String,
    /// The held-out conditions.
    pub held_out: Vec<AuditedCondition>,
    /// Training cells in all.
    pub n_training_cells: usize,
    /// SHA-256 of the prepared screen.
    pub prepared_sha256: String,
}

/// A held-out condition and its cells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditedCondition {
    /// Its name.
    pub condition: String,
    /// Cells that were held out.
    pub n_held_out: usize,
    /// Cells that are marked for training: none, or there is a leak.
    pub n_training: usize,
}

impl Audit {
    /// True if nothing that was looked at speaks of a leak.
    pub fn is_clean(&self) -> bool {
        self.leaking_models.is_empty() && self.all_held_out().all(|condition| condition.n_training == 0)
    }

    /// What the splits hold out; a condition comes once for each of them that does.
    pub fn all_held_out(&self) -> impl Iterator<Item = &AuditedCondition> {
        self.splits.iter().flat_map(|split| &split.held_out)
    }

    /// Different conditions that are held out, in whatever split.
    pub fn n_conditions(&self) -> usize {
        self.all_held_out().map(|one| &one.condition).collect::<BTreeSet<_>>().len()
    }
}

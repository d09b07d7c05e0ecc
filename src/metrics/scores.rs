//! The table of scores.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use super::definitions::{Definition, definitions};
use super::intervals::Interval;

/// All scores of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// One row per method and condition.
    pub rows: Vec<ScoreRow>,
    /// Means over conditions with their intervals.
    #[serde(default)]
    pub intervals: Vec<Interval>,
    /// What was compared, and how.
    pub settings: serde_json::Value,
}

/// The scores of one method on one condition.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ScoreRow {
    /// `model`, `control_mean`, `perturbed_mean`, `additive`, or `split_half` (half of the real cells against the other).
    pub method: String,
    /// The perturbation, as `A+B`.
    pub perturbation: String,
    /// The covariates: column → value.
    pub covariates: BTreeMap<String, String>,
    /// How far the condition is from training: `seen`, `unseen_combination`, `1_of_2_seen`, …
    /// ([`Status`](crate::conditions::status::Status)).
    pub status: String,
    /// Its stratum: `train`, `combo_seen2`, `unseen_single`, … ([`crate::conditions::status::Status::stratum`]).
    #[serde(default)]
    pub stratum: String,
    /// Number of real cells.
    pub n_real: usize,
    /// Number of cells that the method offered.
    pub n_generated: usize,
    /// Number of cells on each side of tests of genes and distances between whole expression profiles; those that have a
    /// greatest number may have fewer.
    #[serde(default)]
    pub n_compared: usize,
    /// Metric → value.
    pub values: BTreeMap<String, f64>,
    /// Metric → why it could not be computed.
    pub missing: BTreeMap<String, String>,
    /// Metric → why the data ask no such question: one condition has no order among others. It is no failure.
    #[serde(default)]
    pub undefined: BTreeMap<String, String>,
}

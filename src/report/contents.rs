//! What a report is made of: the parts of a folder of scores, in memory.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::metrics::effects::GeneChange;
use crate::metrics::{Definition, ScoreRow, Scores};

/// The parts of a folder of scores.
#[derive(Debug, Clone)]
pub struct Contents {
    /// One row per method and condition, with the settings of the evaluation.
    pub scores: Scores,
    /// The metrics, in the order of the tables.
    pub metrics: Vec<Metric>,
    /// The means over conditions, one entry per method.
    pub summary: Vec<MethodMeans>,
    /// The cells of the map.
    pub cells: Vec<MapCell>,
    /// The genes that change most in each condition.
    pub changes: Vec<GeneChange>,
    /// The history of the fit: column → one value per row, none where the file has an empty field.
    pub history: Vec<(String, Vec<Option<f64>>)>,
    /// Versions, parameters, digests.
    pub provenance: serde_json::Value,
}

/// What a metric means, as the evaluation wrote it down.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Metric {
    /// Its name in the tables.
    pub name: String,
    /// `lower`, `higher`, or `one` (the closer to one, the better).
    pub better: String,
    /// How it was computed.
    pub meaning: String,
    /// True for the few that stand in the first table.
    #[serde(default = "yes")]
    pub main: bool,
}

impl From<&Definition> for Metric {
    fn from(own: &Definition) -> Self {
        Self { name: own.name.into(), better: own.better.into(), meaning: own.meaning.into(), main: own.main }
    }
}

/// Scores that do not tell have few metrics, all for the first table.
fn yes() -> bool {
    true
}

/// The means of one method over conditions.
#[derive(Debug, Clone, PartialEq)]
pub struct MethodMeans {
    /// The method.
    pub method: String,
    /// Number of conditions with at least one value.
    pub n_conditions: usize,
    /// Metric → mean.
    pub values: BTreeMap<String, f64>,
}

/// What kind of cell stands on the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A training control cell.
    Control,
    /// A real cell of a predicted condition.
    Real,
    /// A generated cell.
    Generated,
}

impl Kind {
    /// Reads the name that the table of the map uses.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "control" => Some(Self::Control),
            "real" => Some(Self::Real),
            "generated" => Some(Self::Generated),
            _ => None,
        }
    }

    /// The name that the table of the map uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Real => "real",
            Self::Generated => "generated",
        }
    }
}

/// A cell on the map.
#[derive(Debug, Clone, PartialEq)]
pub struct MapCell {
    /// Its kind.
    pub kind: Kind,
    /// The perturbation.
    pub perturbation: String,
    /// The values of the covariates.
    pub covariate: String,
    /// Position, without a unit.
    pub position: [f64; 2],
    /// Leiden label.
    pub leiden: usize,
}

/// A condition in words: `A+B`, or `A+B in B cell, acute`.
pub(super) fn condition(row: &ScoreRow) -> String {
    let covariates: Vec<&str> = row.covariates.values().map(String::as_str).collect();
    if covariates.is_empty() {
        row.perturbation.clone()
    } else {
        format!("{} in {}", row.perturbation, covariates.join(", "))
    }
}

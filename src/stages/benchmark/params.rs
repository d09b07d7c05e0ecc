//! What `benchmark` is told.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::refuse;
use crate::language::device::DeviceChoice;
use crate::models::described::Pooling;
use crate::models::registry::{Has, Method};
use crate::stages::evaluate::EvaluateParams;
use crate::stages::fit::FitParams;
use crate::stages::predict::PredictParams;
use crate::stages::preprocess::PreprocessParams;
use crate::{Error, Result};

/// The method that the others are held against.
pub const REFERENCE: Method = Method::AdditiveShift;

/// What to compare, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BenchmarkParams {
    /// The raw screen and how it is prepared; where the prepared screen lies is decided here. What is held out is said here, as
    /// one split, or by `splits`, or by `folds`.
    pub preprocess: PreprocessParams,
    /// Name → table that says which cells or conditions are `train`, `val` and `test`: one split each.
    pub splits: BTreeMap<String, PathBuf>,
    /// As many splits, which hold out every combination once: [`crate::preprocess::folds::Folds::divide`]; the first seed decides how.
    pub folds: Option<usize>,
    /// The folder of results.
    pub output: PathBuf,
    /// The methods; [`REFERENCE`] always takes part.
    pub methods: Vec<Method>,
    /// A table with the columns `name` and `text` that says what components are, for the methods that read it; held-out components
    /// that training does not have are then predicted from it.
    pub descriptions: Option<PathBuf>,
    /// The folder of a network that reads them; their words are counted if absent.
    pub text_encoder: Option<PathBuf>,
    /// How its hidden states become one vector: as its folder says, or their mean, if absent.
    pub text_pooling: Option<Pooling>,
    /// How many seeds each method has.
    pub seeds: u64,
    /// The first of them; the others follow it.
    pub first_seed: u64,
    /// Training steps of every method that is trained.
    pub steps: Option<usize>,
    /// Seconds of training of every method that is trained.
    pub budget_seconds: Option<f64>,
    /// Cells that every method generates for each held-out condition: fewer where there are fewer control cells to make them
    /// from, or fewer real ones ([`crate::models::known::Known::n_comparable`]).
    pub cells: usize,
    /// Conditions with fewer real cells get no scores.
    pub min_cells: usize,
    /// Resolution of the Leiden clustering of real cells.
    pub resolution: f64,
    /// Fits that run at the same time.
    pub jobs: usize,
    /// Threads of each of them.
    pub threads: usize,
    /// Where networks are computed.
    pub device: DeviceChoice,
    /// Accept conditions or metrics without a value.
    pub allow_missing: bool,
    /// Repeat everything.
    pub force: bool,
    /// This program: every stage is a process of its own, so that its time and memory can be told.
    pub program: PathBuf,
}

impl Default for BenchmarkParams {
    fn default() -> Self {
        let (predict, evaluate) = (PredictParams::default(), EvaluateParams::default());
        Self {
            preprocess: PreprocessParams::default(),
            splits: BTreeMap::new(),
            folds: None,
            output: "benchmark".into(),
            methods: Method::ALL.to_vec(),
            descriptions: None,
            text_encoder: None,
            text_pooling: None,
            seeds: 3,
            first_seed: 0,
            steps: None,
            budget_seconds: None,
            cells: predict.cells,
            min_cells: evaluate.min_cells,
            resolution: evaluate.resolution,
            jobs: 1,
            threads: 1,
            device: DeviceChoice::default(),
            allow_missing: false,
            force: false,
            program: "scflow".into(),
        }
    }
}

impl BenchmarkParams {
    /// # Errors
    /// [`crate::Error::InvalidParameter`] for a choice that cannot work; those of the stages' own checks.
    pub fn check(&self) -> Result<()> {
        self.check_splits()?;
        if self.methods.is_empty() {
            return refuse("methods", "none", "name some, such as calmflow,cfm,additive");
        }
        if self.text_encoder.is_some() && self.descriptions.is_none() {
            return refuse("text-encoder", "given", "it reads descriptions; give --descriptions FILE.csv");
        }
        if self.text_pooling.is_some() && self.text_encoder.is_none() {
            return refuse("text-pooling", "given", "it says something of --text-encoder, which is not given");
        }
        for (place, method) in self.methods.iter().enumerate() {
            if self.methods[..place].contains(method) {
                return refuse("methods", method.name(), "it is named twice");
            }
            self.fit(*method, self.first_seed).check()?;
        }
        for (name, n) in [("seeds", self.seeds as usize), ("jobs", self.jobs), ("threads", self.threads)] {
            if n == 0 {
                return refuse(name, "0", "at least one is needed");
            }
        }
        self.predict(REFERENCE, self.first_seed).check()
    }

    /// Fails unless there is exactly one way of holding out, and splits have names that can be those of folders.
    fn check_splits(&self) -> Result<()> {
        let own = &self.preprocess;
        if own.no_holdout {
            return refuse("no-holdout", "given", "methods are compared on conditions that are held out");
        }
        let patterns = !own.holdout.is_empty() || own.split.is_some();
        let ways = [patterns, !self.splits.is_empty(), self.folds.is_some()];
        match ways.into_iter().filter(|&way| way).count() {
            0 => {
                return Err(Error::MissingKey {
                    place: "benchmark".into(),
                    key: "--holdout".into(),
                    hint: "hold out conditions with --holdout \"A + B\", give tables as --split NAME=FILE.csv, or say --folds 5"
                        .into(),
                });
            }
            1 => {}
            _ => {
                let given = if self.splits.is_empty() { "--folds" } else { "--split" };
                return refuse(given, "given", "only one of --holdout, --split and --folds can be");
            }
        }
        if let Some(name) = self.splits.keys().find(|name| !is_name(name)) {
            let reason =
                "a split is named by letters, digits, `-`, `_` and `.`, and its name begins with none of the last";
            return refuse("split", name, reason);
        }
        match patterns {
            true => own.check(),
            false => PreprocessParams { split: Some("split.csv".into()), ..own.clone() }.check(),
        }
    }

    /// The methods that take part, in the order of the registry.
    pub fn all_methods(&self) -> Vec<Method> {
        let takes_part = |method: &Method| *method == REFERENCE || self.methods.contains(method);
        Method::ALL.into_iter().filter(takes_part).collect()
    }

    /// The choices of a fit: the method's own, and the same budget for all that are trained.
    pub(super) fn fit(&self, method: Method, seed: u64) -> FitParams {
        let descriptions = self.descriptions.clone().filter(|_| method.has(Has::Descriptions));
        let reads = descriptions.is_some();
        let own = FitParams {
            method,
            seed,
            descriptions,
            text_encoder: self.text_encoder.clone().filter(|_| reads),
            text_pooling: self.text_pooling.filter(|_| reads),
            device: self.device,
            ..FitParams::default()
        };
        match method.has(Has::Training) {
            true => FitParams { steps: self.steps, budget_seconds: self.budget_seconds, ..own },
            false => own,
        }
    }

    /// The choices of a prediction.
    pub(super) fn predict(&self, method: Method, seed: u64) -> PredictParams {
        // Means need no component's effect, and so no description of it when they are fitted.
        let is_mean = matches!(method, Method::ControlMean | Method::PerturbedMean);
        PredictParams {
            held_out: true,
            allow_unseen: self.descriptions.is_some(),
            descriptions: self.descriptions.clone().filter(|_| is_mean),
            cells: self.cells,
            at_most_comparable: true,
            seed,
            device: self.device,
            ..PredictParams::default()
        }
    }

    /// The choices of an evaluation; what is missing is told in the benchmark's own table.
    pub(super) fn evaluate(&self, seed: u64) -> EvaluateParams {
        EvaluateParams {
            min_cells: self.min_cells,
            resolution: self.resolution,
            seed,
            allow_missing: true,
            ..EvaluateParams::default()
        }
    }
}

/// True for what can name a folder anywhere.
fn is_name(text: &str) -> bool {
    let fits = |letter: char| letter.is_alphanumeric() || "-_.".contains(letter);
    !text.is_empty() && !text.starts_with('.') && text.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> BenchmarkParams {
        let preprocess = PreprocessParams { holdout: vec!["A+B".into()], ..PreprocessParams::default() };
        BenchmarkParams { preprocess, ..BenchmarkParams::default() }
    }

    #[test]
    fn only_what_is_trained_has_a_budget_and_the_reference_takes_part() {
        let params = BenchmarkParams { methods: vec![Method::Cfm], budget_seconds: Some(9.0), ..params() };
        params.check().unwrap();
        assert_eq!(params.all_methods(), [Method::Cfm, REFERENCE]);
        assert_eq!(params.fit(Method::Cfm, 3).budget_seconds, Some(9.0));
        assert_eq!(params.fit(REFERENCE, 3).budget_seconds, None);
        BenchmarkParams { methods: Method::ALL.to_vec(), ..params }.check().unwrap();
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let refused = |params: BenchmarkParams| assert!(params.check().unwrap_err().is_mistake());
        refused(BenchmarkParams { methods: vec![], ..params() });
        refused(BenchmarkParams { methods: vec![Method::Cfm, Method::Cfm], ..params() });
        refused(BenchmarkParams { seeds: 0, ..params() });
        refused(BenchmarkParams { steps: Some(3), budget_seconds: Some(3.0), ..params() });
        let preprocess = PreprocessParams { no_holdout: true, ..PreprocessParams::default() };
        refused(BenchmarkParams { preprocess, ..params() });
        let undivided = || BenchmarkParams { preprocess: PreprocessParams::default(), ..params() };
        refused(undivided());
        BenchmarkParams { folds: Some(3), ..undivided() }.check().unwrap();
        refused(BenchmarkParams { folds: Some(3), ..params() });
        let splits = |names: &[&str]| names.iter().map(|&name| (name.to_owned(), "a.csv".into())).collect();
        BenchmarkParams { splits: splits(&["a", "b-2.x"]), ..undivided() }.check().unwrap();
        for name in ["", ".a", "a/b", "a b"] {
            refused(BenchmarkParams { splits: splits(&[name]), ..undivided() });
        }
        refused(BenchmarkParams { splits: splits(&["a"]), folds: Some(2), ..undivided() });
    }
}

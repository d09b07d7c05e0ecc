//! The stages of a run in their order, with what each reads and writes.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Config;
use super::sections::{read, settings};
use crate::Result;
use crate::stages::evaluate::{EvaluateParams, evaluate};
use crate::stages::preprocess::{PreprocessParams, preprocess};
use crate::stages::report::{ReportParams, report};
use crate::stages::simulate::{SimulateParams, simulate};

/// The sections that a configuration may have.
pub const SECTIONS: [&str; 4] = ["simulate", "preprocess", "evaluate", "report"];

/// The settings that are paths: section and key. Each is an input of its stage.
pub const PATH_KEYS: [(&str, &str); 1] = [("preprocess", "split")];

/// Where the results of a run lie.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    /// The simulated screen.
    pub screen: PathBuf,
    /// The prepared screen.
    pub prepared: PathBuf,
    /// The model.
    pub model: PathBuf,
    /// The generated cells.
    pub predicted: PathBuf,
    /// The scores.
    pub scores: PathBuf,
    /// The page.
    pub report: PathBuf,
}

impl Layout {
    /// The layout of the folder `output`.
    pub fn new(output: &Path) -> Self {
        Self {
            screen: output.join("0-screen.h5ad"),
            prepared: output.join("1-prepared.h5ad"),
            model: output.join("2-model"),
            predicted: output.join("3-predicted.h5ad"),
            scores: output.join("4-scores"),
            report: output.join("report.html"),
        }
    }
}

type Work = dyn Fn(&dyn Fn(&str)) -> Result<()>;

/// One stage of a run, ready to go.
pub struct Step {
    /// The verb, which is the name of its section.
    pub name: &'static str,
    /// What it reads: role and path.
    pub inputs: Vec<(&'static str, PathBuf)>,
    /// What it writes.
    pub output: PathBuf,
    /// Its resolved parameters, without what the run decides.
    pub settings: Value,
    /// Runs it; it replaces its output.
    pub run: Box<Work>,
}

/// The steps of the configuration, and whether scores may be missing.
///
/// # Errors
/// Those of reading the sections.
pub fn plan(config: &Config, layout: &Layout) -> Result<(Vec<Step>, bool)> {
    let mut steps = Vec::new();
    let screen = config.input.clone().unwrap_or_else(|| layout.screen.clone());
    if config.input.is_none() {
        let decided = ["output", "force"];
        let mut params: SimulateParams = read("simulate", &config.section("simulate"), &decided)?;
        (params.output, params.force) = (layout.screen.clone(), true);
        let output = layout.screen.clone();
        steps.push(step("simulate", params, &decided, vec![], output, |params, say| simulate(params, say).map(drop))?);
    }

    let decided = ["input", "output", "force"];
    let mut params: PreprocessParams = read("preprocess", &config.section("preprocess"), &decided)?;
    (params.input, params.output, params.force) = (screen.clone(), layout.prepared.clone(), true);
    params.check()?;
    let mut inputs = vec![("screen", screen)];
    inputs.extend(params.split.clone().map(|path| ("split", path)));
    let output = layout.prepared.clone();
    steps.push(step("preprocess", params, &decided, inputs, output, |params, say| preprocess(params, say).map(drop))?);

    let decided = ["prediction", "truth", "output", "force"];
    let mut params: EvaluateParams = read("evaluate", &config.section("evaluate"), &decided)?;
    (params.prediction, params.truth) = (layout.predicted.clone(), layout.prepared.clone());
    (params.output, params.force) = (layout.scores.clone(), true);
    let allow_missing = params.allow_missing;
    let inputs = vec![("prediction", layout.predicted.clone()), ("truth", layout.prepared.clone())];
    let output = layout.scores.clone();
    steps.push(step("evaluate", params, &decided, inputs, output, |params, say| evaluate(params, say).map(drop))?);

    let decided = ["scores", "output", "force"];
    let mut params: ReportParams = read("report", &config.section("report"), &decided)?;
    (params.scores, params.output, params.force) = (layout.scores.clone(), layout.report.clone(), true);
    let (inputs, output) = (vec![("scores", layout.scores.clone())], layout.report.clone());
    steps.push(step("report", params, &decided, inputs, output, |params, say| {
        say(&report(params)?.headline);
        Ok(())
    })?);
    Ok((steps, allow_missing))
}

fn step<P: Serialize + DeserializeOwned + Default + 'static>(
    name: &'static str,
    params: P,
    decided: &[&str],
    inputs: Vec<(&'static str, PathBuf)>,
    output: PathBuf,
    work: impl Fn(&P, &dyn Fn(&str)) -> Result<()> + 'static,
) -> Result<Step> {
    let settings = settings(&params, decided)?;
    Ok(Step { name, inputs, output, settings, run: Box::new(move |say| work(&params, say)) })
}

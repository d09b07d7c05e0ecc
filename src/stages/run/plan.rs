//! The stages of a run in their order, with what each reads and writes.

use std::path::{Path, PathBuf};

use super::Config;
use super::sections::read;
use crate::Result;
use crate::io::checkpoint;
use crate::stages::evaluate::{EvaluateParams, evaluate};
use crate::stages::fit::{FitParams, fit};
use crate::stages::predict::{PredictParams, predict};
use crate::stages::preprocess::{PreprocessParams, preprocess};
use crate::stages::report::{ReportParams, report};
use crate::stages::simulate::{SimulateParams, simulate};
use crate::stages::steps::Step;

/// The sections that a configuration may have.
pub const SECTIONS: [&str; 6] = ["simulate", "preprocess", "fit", "predict", "evaluate", "report"];

/// The settings that are paths: section and key. Each is an input of its stage.
pub const PATH_KEYS: [(&str, &str); 2] = [("preprocess", "split"), ("fit", "pretrained")];

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

/// The steps of the configuration, and whether scores may be missing.
///
/// # Errors
/// Those of reading the sections, and of the parameters' own checks.
pub fn plan(config: &Config, layout: &Layout) -> Result<(Vec<Step>, bool)> {
    let mut steps = Vec::new();
    let screen = config.input.clone().unwrap_or_else(|| layout.screen.clone());
    if config.input.is_none() {
        let decided = ["output", "force"];
        let mut params: SimulateParams = read("simulate", &config.section("simulate"), &decided)?;
        (params.output, params.force) = (screen.clone(), true);
        params.check()?;
        steps.push(Step::new("simulate", params, &decided, vec![], &screen, |params, watcher, _| {
            simulate(params, &|message| watcher.say(message)).map(drop)
        })?);
    }

    let decided = ["input", "output", "force"];
    let mut params: PreprocessParams = read("preprocess", &config.section("preprocess"), &decided)?;
    (params.input, params.output, params.force) = (screen.clone(), layout.prepared.clone(), true);
    params.check()?;
    let mut inputs = vec![("screen", screen)];
    inputs.extend(params.split.clone().map(|path| ("split", path)));
    steps.push(Step::new("preprocess", params, &decided, inputs, &layout.prepared, |params, watcher, _| {
        preprocess(params, &|message| watcher.say(message)).map(drop)
    })?);

    let decided = ["input", "output", "force", "resume"];
    let mut params: FitParams = read("fit", &config.section("fit"), &decided)?;
    (params.input, params.output, params.force) = (layout.prepared.clone(), layout.model.clone(), true);
    params.check()?;
    let mut inputs = vec![("prepared screen", layout.prepared.clone())];
    inputs.extend(params.pretrained.clone().map(|path| ("pretrained", path)));
    steps.push(Step::new("fit", params, &decided, inputs, &layout.model, |params, watcher, begun| {
        let resume = begun && checkpoint::path_of(&params.output).exists();
        fit(&FitParams { resume, ..params.clone() }, watcher)
    })?);

    let decided = ["model", "output", "force"];
    let mut params: PredictParams = read("predict", &config.section("predict"), &decided)?;
    (params.model, params.output, params.force) = (layout.model.clone(), layout.predicted.clone(), true);
    // Whoever asks for nothing else wants what was held out.
    params.held_out |= params.perturbations.is_empty();
    params.check()?;
    let inputs = vec![("model", layout.model.clone())];
    steps.push(Step::new("predict", params, &decided, inputs, &layout.predicted, |params, watcher, _| {
        predict(params, &|message| watcher.say(message)).map(drop)
    })?);

    let decided = ["prediction", "truth", "output", "force"];
    let mut params: EvaluateParams = read("evaluate", &config.section("evaluate"), &decided)?;
    (params.prediction, params.truth) = (layout.predicted.clone(), layout.prepared.clone());
    (params.output, params.force) = (layout.scores.clone(), true);
    let allow_missing = params.allow_missing;
    let inputs = vec![("prediction", layout.predicted.clone()), ("truth", layout.prepared.clone())];
    steps.push(Step::new("evaluate", params, &decided, inputs, &layout.scores, |params, watcher, _| {
        evaluate(params, &|message| watcher.say(message)).map(drop)
    })?);

    let decided = ["scores", "output", "force"];
    let mut params: ReportParams = read("report", &config.section("report"), &decided)?;
    (params.scores, params.output, params.force) = (layout.scores.clone(), layout.report.clone(), true);
    let inputs = vec![("scores", layout.scores.clone())];
    steps.push(Step::new("report", params, &decided, inputs, &layout.report, |params, watcher, _| {
        watcher.say(&report(params)?.headline);
        Ok(())
    })?);
    Ok((steps, allow_missing))
}

//! The stages of a run in their order, with what each reads and writes.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Config;
use super::sections::read;
use crate::Result;
use crate::error::refuse;
use crate::io::checkpoint;
use crate::models::registry::Has;
use crate::preprocess::labels::LabelColumns;
use crate::stages::benchmark::BenchmarkParams;
use crate::stages::evaluate::{EvaluateParams, evaluate};
use crate::stages::fit::{FitParams, fit};
use crate::stages::predict::{PredictParams, predict};
use crate::stages::preprocess::{PreprocessParams, preprocess};
use crate::stages::report::{ReportParams, report};
use crate::stages::simulate::{SimulateParams, simulate};
use crate::stages::split::{SchemeName, SplitParams, describe, split};
use crate::stages::steps::Step;

/// The sections that a configuration may have.
pub const SECTIONS: [&str; 8] =
    ["simulate", "split", "preprocess", "benchmark", "fit", "predict", "evaluate", "report"];

/// The stages that a benchmark takes the place of: it fits, predicts and scores every method itself.
const REPLACED: [&str; 4] = ["fit", "predict", "evaluate", "report"];

/// The settings that are paths, or tables of paths: section and key. Each is an input of its stage.
pub const PATH_KEYS: [(&str, &str); 10] = [
    ("benchmark", "descriptions"),
    ("benchmark", "text_encoder"),
    ("fit", "descriptions"),
    ("fit", "text_encoder"),
    ("predict", "descriptions"),
    ("split", "conditions"),
    ("preprocess", "split"),
    ("fit", "pretrained"),
    ("fit", "language_model"),
    ("benchmark", "splits"),
];

/// Where the results of a run lie.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    /// The simulated screen.
    pub screen: PathBuf,
    /// What its components are, in words.
    pub descriptions: PathBuf,
    /// What is held out of it.
    pub split: PathBuf,
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
    /// All that a benchmark makes, in the place of the last five.
    pub benchmark: PathBuf,
}

impl Layout {
    /// The layout of the folder `output`.
    pub fn new(output: &Path) -> Self {
        Self {
            screen: output.join("0-screen.h5ad"),
            descriptions: output.join("0-descriptions.csv"),
            split: output.join("0-split.csv"),
            prepared: output.join("1-prepared.h5ad"),
            model: output.join("2-model"),
            predicted: output.join("3-predicted.h5ad"),
            scores: output.join("4-scores"),
            report: output.join("report.html"),
            benchmark: output.join("benchmark"),
        }
    }
}

/// The screen that a run begins with.
struct Screen {
    path: PathBuf,
    /// What its components are, in words, where the step writes a table of it.
    descriptions: Option<PathBuf>,
    /// Simulates it; none if a file is given.
    step: Option<Step>,
}

/// The screen, and the step that simulates it if no file is given. Of descriptions the section says whether there shall be any,
/// true or false; where the table lies follows from the layout.
fn simulated(config: &Config, layout: &Layout) -> Result<Screen> {
    if let Some(input) = &config.input {
        return Ok(Screen { path: input.clone(), descriptions: None, step: None });
    }
    let decided = ["output", "descriptions", "force"];
    let mut section = config.section("simulate");
    let is_described = match section.remove("descriptions") {
        None => false,
        Some(Value::Bool(is_described)) => is_described,
        Some(other) => {
            let reason = "say true or false; the table is `0-descriptions.csv` in the folder of results";
            return refuse("simulate.descriptions", other, reason);
        }
    };
    let mut params: SimulateParams = read("simulate", &section, &decided)?;
    (params.output, params.force) = (layout.screen.clone(), true);
    params.descriptions = is_described.then(|| layout.descriptions.clone());
    params.check()?;
    let descriptions = params.descriptions.clone();
    let mut step = Step::new("simulate", params, &decided, vec![], &layout.screen, |params, watcher, _| {
        simulate(params, &|message| watcher.say(message)).map(drop)
    })?;
    if let (true, Value::Object(settings)) = (is_described, &mut step.settings) {
        settings.insert("descriptions".into(), true.into());
    }
    Ok(Screen { path: layout.screen.clone(), descriptions, step: Some(step) })
}

/// The step that writes the table of a section `[split]`, which the preparation then reads; none without such a section.
fn held_out(
    config: &Config,
    layout: &Layout,
    screen: &Path,
    preprocess: &mut PreprocessParams,
) -> Result<Option<Step>> {
    if !config.sections.contains_key("split") {
        return Ok(None);
    }
    if preprocess.split.is_some() || !preprocess.holdout.is_empty() || preprocess.no_holdout {
        let reason = "[preprocess] says too what is held out; give one of them";
        return refuse("[split]", "beside holdout, split or no_holdout", reason);
    }
    let decided = ["input", "output", "force"];
    let mut params: SplitParams = read("split", &config.section("split"), &decided)?;
    if params.scheme == SchemeName::Folds {
        return refuse(
            "split.scheme",
            "folds",
            "a run prepares one split; use [benchmark] with folds, or `scflow split`",
        );
    }
    (params.input, params.output, params.force) = (screen.to_owned(), layout.split.clone(), true);
    // What the section does not say is as in the preparation.
    let columns = preprocess.labels();
    let plain = LabelColumns::plain(&columns.perturbation[0], &columns.control, &columns.covariates);
    if columns != plain {
        let reason = "[preprocess] reads doses, times, slots or labels of another form, which a split of the raw screen does not; \
                      split a prepared screen with `scflow split`, and give the table as preprocess.split";
        return refuse("[split]", "beside a schema or such columns", reason);
    }
    params.perturbation_column.get_or_insert_with(|| columns.perturbation[0].clone());
    params.control.get_or_insert_with(|| columns.control.clone());
    if params.covariates.is_empty() {
        params.covariates = columns.covariates;
    }
    params.check()?;
    preprocess.split = Some(layout.split.clone());
    let mut inputs = vec![("screen", screen.to_owned())];
    inputs.extend(params.conditions.clone().map(|path| ("conditions", path)));
    Step::new("split", params, &decided, inputs, &layout.split, |params, watcher, _| {
        split(params, &|message| watcher.say(message))
            .map(|strata| watcher.say(&format!("held out: {}", describe(&strata))))
    })
    .map(Some)
}

/// What a benchmark takes of `[preprocess]` and `[benchmark]`, and which keys of the two the run decides.
pub const DECIDED_OF_BENCHMARK: [&[&str]; 2] =
    [&["input", "output", "force"], &["preprocess", "output", "threads", "program", "force"]];

/// The benchmark of a configuration with a section `[benchmark]`: the screen, the step that simulates it if no file is given,
/// and what to compare. `threads` are shared by the fits that run at the same time.
///
/// # Errors
/// Those of reading the sections; those of [`BenchmarkParams::check`]; [`crate::Error::InvalidParameter`] beside a section of a
/// stage that the benchmark takes the place of.
pub fn plan_benchmark(
    config: &Config,
    layout: &Layout,
    threads: usize,
    program: &Path,
    force: bool,
) -> Result<(Option<Step>, BenchmarkParams)> {
    if let Some(other) = REPLACED.iter().find(|name| config.sections.contains_key(**name)) {
        let reason =
            "a benchmark fits, predicts and scores every method itself; write this section into a file of its own";
        return refuse("[benchmark]", format!("beside [{other}]"), reason);
    }
    if config.sections.contains_key("split") {
        let reason = "a benchmark has splits of its own: write folds or splits into [benchmark]";
        return refuse("[benchmark]", "beside [split]", reason);
    }
    let screen = simulated(config, layout)?;
    let [of_preprocess, of_benchmark] = DECIDED_OF_BENCHMARK;
    let mut preprocess: PreprocessParams = read("preprocess", &config.section("preprocess"), of_preprocess)?;
    preprocess.input = screen.path;
    let mut params: BenchmarkParams = read("benchmark", &config.section("benchmark"), of_benchmark)?;
    params.descriptions = params.descriptions.or(screen.descriptions);
    params.threads = (threads / params.jobs.max(1)).max(1);
    (params.preprocess, params.output) = (preprocess, layout.benchmark.clone());
    (params.program, params.force) = (program.to_owned(), force);
    params.check()?;
    Ok((screen.step, params))
}

/// The steps of the configuration, and whether scores may be missing.
///
/// # Errors
/// Those of reading the sections, and of the parameters' own checks.
pub fn plan(config: &Config, layout: &Layout) -> Result<(Vec<Step>, bool)> {
    let Screen { path: screen, descriptions, step } = simulated(config, layout)?;
    let mut steps: Vec<Step> = step.into_iter().collect();

    let decided = ["input", "output", "force"];
    let mut params: PreprocessParams = read("preprocess", &config.section("preprocess"), &decided)?;
    (params.input, params.output, params.force) = (screen.clone(), layout.prepared.clone(), true);
    let split = held_out(config, layout, &screen, &mut params)?;
    // With such a step the table is no choice of the preparation, but what the step before it wrote.
    let kept = if split.is_some() { &["input", "output", "force", "split"][..] } else { &decided };
    steps.extend(split);
    params.check()?;
    let mut inputs = vec![("screen", screen)];
    inputs.extend(params.split.clone().map(|path| ("split", path)));
    steps.push(Step::new("preprocess", params, kept, inputs, &layout.prepared, |params, watcher, _| {
        preprocess(params, &|message| watcher.say(message)).map(drop)
    })?);

    let decided = ["input", "output", "force", "resume"];
    let mut params: FitParams = read("fit", &config.section("fit"), &decided)?;
    (params.input, params.output, params.force) = (layout.prepared.clone(), layout.model.clone(), true);
    // The table of the step before is no choice of the fit either.
    let takes = descriptions.filter(|_| params.descriptions.is_none() && params.method.has(Has::Descriptions));
    let kept = if takes.is_some() { &["input", "output", "force", "resume", "descriptions"][..] } else { &decided };
    params.descriptions = takes.or(params.descriptions);
    params.check()?;
    let mut inputs = vec![("prepared screen", layout.prepared.clone())];
    inputs.extend(params.pretrained.clone().map(|path| ("pretrained", path)));
    inputs.extend(params.language_model.clone().map(|path| ("language model", path)));
    inputs.extend(params.text_encoder.clone().map(|path| ("text encoder", path)));
    inputs.extend(params.descriptions.clone().map(|path| ("descriptions", path)));
    steps.push(Step::new("fit", params, kept, inputs, &layout.model, |params, watcher, begun| {
        let resume = begun && checkpoint::path_of(&params.output).exists();
        fit(&FitParams { resume, ..params.clone() }, watcher)
    })?);

    let decided = ["model", "output", "force"];
    let mut params: PredictParams = read("predict", &config.section("predict"), &decided)?;
    (params.model, params.output, params.force) = (layout.model.clone(), layout.predicted.clone(), true);
    // Whoever asks for nothing else wants what was held out.
    params.held_out |= params.perturbations.is_empty();
    params.check()?;
    let mut inputs = vec![("model", layout.model.clone())];
    inputs.extend(params.descriptions.clone().map(|path| ("descriptions", path)));
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

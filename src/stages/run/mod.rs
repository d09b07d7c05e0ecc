//! Runs all stages from one configuration file, each only if something that it depends on has changed.

mod config;
mod plan;
mod sections;

use std::path::PathBuf;

use anyhow::Context;

pub use config::Config;

use self::plan::{DECIDED_OF_BENCHMARK, Layout, plan, plan_benchmark};
use super::benchmark::{benchmark, require_complete};
use super::steps::{Digests, Step, advance, settings};
use crate::Error;
use crate::io::{atomic, score_folder};
use crate::stages::fit::Watcher;
use crate::training::Progress;

/// What to run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunParams {
    /// The configuration file.
    pub config: PathBuf,
    /// Settings that take the place of the file's, as `section.key=value`.
    pub set: Vec<String>,
    /// The folder of results; the file's own if absent.
    pub output: Option<PathBuf>,
    /// Threads, which the fits of a benchmark that run at the same time share.
    pub threads: usize,
    /// This program, which a benchmark starts for every stage.
    pub program: PathBuf,
    /// Repeat every stage.
    pub force: bool,
}

/// Runs the stages that are not up to date and returns the path of the report; the watcher is told which run, and why. With a
/// section `[benchmark]`, the stages after the screen are those of a benchmark.
///
/// # Errors
/// Those of the configuration and of the stages, each with its stage's name; scores that the model lacks, unless
/// `evaluate.allow_missing` (`benchmark.allow_missing`) is set.
pub fn run(params: &RunParams, watcher: &dyn Watcher) -> anyhow::Result<PathBuf> {
    let config = Config::read(params)?;
    let layout = Layout::new(&config.output);
    if config.sections.contains_key("benchmark") {
        return run_benchmark(params, &config, &layout, watcher);
    }
    let (steps, allow_missing) = plan(&config, &layout)?;
    let sections: Vec<_> = steps.iter().map(|step| (step.name, step.settings.clone())).collect();
    keep(&config, &sections)?;
    run_steps(&steps, params.force, &config, watcher)?;
    if !allow_missing {
        let scores = score_folder::read(&layout.scores)?.scores;
        super::evaluate::require_complete(&scores).context("stage `evaluate`")?;
    }
    Ok(layout.report)
}

/// Makes the screen if it is to be simulated, and compares methods on it; what is up to date is not made again.
fn run_benchmark(
    params: &RunParams,
    config: &Config,
    layout: &Layout,
    watcher: &dyn Watcher,
) -> anyhow::Result<PathBuf> {
    let (simulated, own) = plan_benchmark(config, layout, params.threads, &params.program, params.force)?;
    let [of_preprocess, of_benchmark] = DECIDED_OF_BENCHMARK;
    let mut sections: Vec<_> = simulated.iter().map(|step| (step.name, step.settings.clone())).collect();
    // A table that the screen comes with is written anew elsewhere.
    let is_own = own.descriptions.as_ref() == Some(&layout.descriptions);
    let of_benchmark: Vec<&str> = of_benchmark.iter().copied().chain(is_own.then_some("descriptions")).collect();
    sections.push(("preprocess", settings(&own.preprocess, of_preprocess)?));
    sections.push(("benchmark", settings(&own, &of_benchmark)?));
    keep(config, &sections)?;
    run_steps(simulated.as_slice(), params.force, config, watcher)?;
    let outcome = benchmark(&own, &|message| watcher.say(message)).context("stage `benchmark`")?;
    watcher.say(&outcome.verdict.headline);
    require_complete(&outcome.benchmark, own.allow_missing).context("stage `benchmark`")?;
    Ok(outcome.report)
}

/// The folder of stamps.
fn stamps(config: &Config) -> PathBuf {
    config.output.join(".scflow")
}

/// Makes the folder of results, with every setting of the run in it.
fn keep(config: &Config, sections: &[(&str, serde_json::Value)]) -> crate::Result<()> {
    let stamps = stamps(config);
    std::fs::create_dir_all(&stamps).map_err(|source| Error::Io { path: stamps.clone(), source })?;
    atomic::bytes(&config.output.join("config.toml"), config::resolved(config, sections)?.as_bytes())
}

fn run_steps(steps: &[Step], force: bool, config: &Config, watcher: &dyn Watcher) -> anyhow::Result<()> {
    let mut digests = Digests::default();
    for (place, step) in steps.iter().enumerate() {
        let stage = Stage { watcher, prefix: format!("[{}/{} {}]", place + 1, steps.len(), step.name) };
        let done = advance(step, &stamps(config), force, &mut digests, &stage);
        done.with_context(|| format!("stage `{}`", step.name))?;
    }
    Ok(())
}

/// Puts the stage's name before what it says.
struct Stage<'a> {
    watcher: &'a dyn Watcher,
    prefix: String,
}

impl Watcher for Stage<'_> {
    fn say(&self, message: &str) {
        self.watcher.say(&format!("{} {message}", self.prefix));
    }

    fn progress(&self, progress: Progress) {
        self.watcher.progress(progress);
    }

    fn signal(&self) -> Option<u8> {
        self.watcher.signal()
    }
}

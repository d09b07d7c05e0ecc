//! Runs all stages from one configuration file, each only if something that it depends on has changed.

mod config;
mod plan;
mod sections;

use std::path::PathBuf;

use anyhow::Context;

pub use config::Config;

use self::plan::{Layout, plan};
use super::steps::{Digests, advance};
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
    /// Repeat every stage.
    pub force: bool,
}

/// Runs the stages that are not up to date and returns the path of the report; the watcher is told which run, and why.
///
/// # Errors
/// Those of the configuration and of the stages, each with its stage's name; scores that the model lacks, unless
/// `evaluate.allow_missing` is set.
pub fn run(params: &RunParams, watcher: &dyn Watcher) -> anyhow::Result<PathBuf> {
    let config = Config::read(params)?;
    let layout = Layout::new(&config.output);
    let (steps, allow_missing) = plan(&config, &layout)?;
    let stamps = config.output.join(".scflow");
    std::fs::create_dir_all(&stamps).map_err(|source| Error::Io { path: stamps.clone(), source })?;
    atomic::bytes(&config.output.join("config.toml"), config::resolved(&config, &steps)?.as_bytes())?;
    let mut digests = Digests::default();
    for (place, step) in steps.iter().enumerate() {
        let stage = Stage { watcher, prefix: format!("[{}/{} {}]", place + 1, steps.len(), step.name) };
        advance(step, &stamps, params.force, &mut digests, &stage).with_context(|| format!("stage `{}`", step.name))?;
    }
    if !allow_missing {
        let scores = score_folder::read(&layout.scores)?.scores;
        super::evaluate::require_complete(&scores).context("stage `evaluate`")?;
    }
    Ok(layout.report)
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

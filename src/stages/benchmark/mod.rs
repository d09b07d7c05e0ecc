//! Compares methods on one screen: the same splits, the same seeds, the same budget for all, through the stages that the
//! commands use. What is finished and still made from the same things is not made again.

mod collect;
mod jobs;
mod params;
mod process;
mod splits;

use std::path::{Path, PathBuf};

pub use params::{BenchmarkParams, REFERENCE};
pub use splits::name_of;

use self::jobs::{Job, STAMPS, run_all};
use self::process::Runner;
use self::splits::Split;
use crate::io::{benchmark_folder, digest};
use crate::metrics::benchmark::Benchmark;
use crate::metrics::leaderboard::standings;
use crate::report::{Verdict, benchmark as benchmark_report};
use crate::stages::fit::Watcher;
use crate::stages::preprocess::PreprocessParams;
use crate::stages::report::{ReportParams, report};
use crate::stages::steps::{Digests, Step, advance, settings};
use crate::training::Progress;
use crate::{Error, Result};

/// Where the page lies in the folder.
pub const PAGE: &str = "report.html";

/// What a benchmark came to.
pub struct Outcome {
    /// All that was found.
    pub benchmark: Benchmark,
    /// What it says in words.
    pub verdict: Verdict,
    /// The page.
    pub report: PathBuf,
}

/// Runs what is not up to date, and writes the tables and the page; `say` tells of progress. Tables are written even if a
/// method failed: [`require_complete`] tells.
///
/// # Errors
/// Those of [`BenchmarkParams::check`], of preparing the screen, of reading and writing; [`Error::OutputExists`] if the folder
/// holds something else; [`Error::Interrupted`] if a stage was asked to stop.
pub fn benchmark(params: &BenchmarkParams, say: &dyn Fn(&str)) -> Result<Outcome> {
    params.check()?;
    let params = &absolute(params)?;
    let stamps = params.output.join(STAMPS);
    let is_foreign = |path: &Path| std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
    if !params.force && !stamps.exists() && (params.output.is_file() || is_foreign(&params.output)) {
        return Err(Error::OutputExists { path: params.output.clone() });
    }
    if !params.methods.contains(&REFERENCE) {
        say(&format!("`{}` takes part too: the others are held against it", REFERENCE.name()));
    }
    // The mark of a folder that this stage made.
    std::fs::create_dir_all(&stamps).map_err(|source| Error::Io { path: stamps.clone(), source })?;
    let splits = Split::all(params, say)?;
    let mut digests = Digests::default();
    for split in &splits {
        prepare(params, split, &mut digests, say)?;
    }
    let jobs = Job::all(params, &splits);
    let failures = run_all(&jobs, params, &digests, say)?;

    let (rows, costs) = (collect::rows(&jobs, &failures)?, collect::costs(&jobs, &failures)?);
    let (standings, intervals) = standings(&rows, &costs, REFERENCE.name(), params.first_seed);
    let benchmark = Benchmark {
        reference: REFERENCE.name().into(),
        audit: collect::audit(&jobs, &failures, &params.preprocess.input, &splits)?,
        settings: told(params)?,
        rows,
        standings,
        costs,
        failures,
    };
    benchmark_folder::write(&params.output, &benchmark, &intervals)?;
    let page = params.output.join(PAGE);
    let page_params =
        ReportParams { scores: params.output.clone(), output: page.clone(), force: true, ..ReportParams::default() };
    report(&page_params)?;
    let verdict = benchmark_report::verdict(&benchmark);
    Ok(Outcome { benchmark, verdict, report: page })
}

/// Fails if a method failed or, unless that is allowed, has conditions or metrics without a value.
///
/// # Errors
/// [`Error::Backend`] with the numbers and the first reason.
pub fn require_complete(benchmark: &Benchmark, allow_missing: bool) -> Result<()> {
    if let Some(first) = benchmark.failures.first() {
        return Err(Error::backend(
            format!("{} of the fits have no scores", benchmark.failures.len()),
            format!(
                "for example {} on split {} with seed {}: {}: {}",
                first.method, first.split, first.seed, first.stage, first.reason
            ),
        ));
    }
    let missing = benchmark.rows.iter().filter(|one| !allow_missing && !one.row.missing.is_empty());
    let reasons: Vec<String> = missing
        .filter_map(|one| {
            let (metric, reason) = one.row.missing.iter().next()?;
            let (split, seed) = (&one.split, one.seed);
            Some(format!("{split} {} seed {seed} {} {metric}: {reason}", one.row.method, one.row.perturbation))
        })
        .collect();
    match reasons.first() {
        None => Ok(()),
        Some(first) => Err(Error::backend(
            format!("{} rows lack values; add --allow-missing to accept that", reasons.len()),
            format!("for example {first}"),
        )),
    }
}

/// Prepares the screen for a split, once for all methods and seeds.
fn prepare(params: &BenchmarkParams, split: &Split, digests: &mut Digests, say: &dyn Fn(&str)) -> Result<()> {
    let own = split.preprocess.clone();
    let mut inputs = vec![("screen", own.input.clone())];
    inputs.extend(own.split.clone().map(|path| ("split", path)));
    let runner = Runner { program: params.program.clone(), threads: params.threads * params.jobs };
    let folder = split.folder.clone();
    let decided = ["input", "output", "split", "force"];
    let step =
        Step::new("preprocess", own, &decided, inputs, split.prepared(), move |params: &PreprocessParams, _, _| {
            runner.run("preprocess", params, &folder, false)
        })?;
    let speaker = Speaker { say, prefix: format!("[{} preprocess]", split.name) };
    advance(&step, &split.folder.join(STAMPS), params.force, digests, &speaker)?;
    digests.know(split.prepared(), &digest::any(split.prepared())?);
    Ok(())
}

/// Every path as seen from anywhere, as stages run as processes of their own.
fn absolute(params: &BenchmarkParams) -> Result<BenchmarkParams> {
    let absolute =
        |path: &Path| std::path::absolute(path).map_err(|source| Error::Io { path: path.to_owned(), source });
    let mut params = params.clone();
    params.output = absolute(&params.output)?;
    params.preprocess.input = absolute(&params.preprocess.input)?;
    params.preprocess.split = params.preprocess.split.as_deref().map(absolute).transpose()?;
    for table in params.splits.values_mut() {
        *table = absolute(table)?;
    }
    Ok(params)
}

/// The settings as the page tells them: those that decide numbers, and how many ran at a time, which decides times.
fn told(params: &BenchmarkParams) -> Result<serde_json::Value> {
    let mut told = settings(params, &["preprocess", "splits", "output", "force", "program", "allow_missing"])?;
    // Where tables lie does not belong to the content; their digests are in the prepared screens.
    told["splits"] = params.splits.keys().cloned().collect();
    told["preprocess"] = settings(&params.preprocess, &["input", "output", "split", "force"])?;
    told["version"] = env!("CARGO_PKG_VERSION").into();
    Ok(told)
}

/// Says what a step says.
struct Speaker<'a> {
    say: &'a dyn Fn(&str),
    prefix: String,
}

impl Watcher for Speaker<'_> {
    fn say(&self, message: &str) {
        (self.say)(&format!("{} {message}", self.prefix));
    }

    fn progress(&self, _: Progress) {}

    fn signal(&self) -> Option<u8> {
        None
    }
}

//! Compares methods on one screen: the same split, the same seeds, the same budget for all, through the stages that the
//! commands use. What is finished and still made from the same things is not made again.

mod collect;
mod jobs;
mod params;
mod process;

use std::path::{Path, PathBuf};

pub use params::{BenchmarkParams, REFERENCE};

use self::jobs::{Job, STAMPS, run_all};
use self::process::Runner;
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
    let prepared = params.output.join("prepared.h5ad");
    let mut digests = Digests::default();
    prepare(params, &prepared, &stamps, &mut digests, say)?;
    let jobs = Job::all(params);
    let failures = run_all(&jobs, params, &prepared, &digests, say)?;

    let (rows, costs) = (collect::rows(&jobs, &failures)?, collect::costs(&jobs, &failures)?);
    let (standings, intervals) = standings(&rows, &costs, REFERENCE.name(), params.first_seed);
    let benchmark = Benchmark {
        reference: REFERENCE.name().into(),
        audit: collect::audit(&jobs, &failures, &params.preprocess.input, &prepared)?,
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

/// Fails if a method failed or has conditions or metrics without a value.
///
/// # Errors
/// [`Error::Backend`] with the numbers and the first reason.
pub fn require_complete(benchmark: &Benchmark) -> Result<()> {
    if let Some(first) = benchmark.failures.first() {
        return Err(Error::backend(
            format!("{} of the fits have no scores", benchmark.failures.len()),
            format!("for example {} with seed {}: {}: {}", first.method, first.seed, first.stage, first.reason),
        ));
    }
    let missing = benchmark.rows.iter().filter(|one| !one.row.missing.is_empty());
    let reasons: Vec<String> = missing
        .filter_map(|one| {
            let (metric, reason) = one.row.missing.iter().next()?;
            Some(format!("{} seed {} {} {metric}: {reason}", one.row.method, one.seed, one.row.perturbation))
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

/// Prepares the screen, once for all methods and seeds.
fn prepare(
    params: &BenchmarkParams,
    prepared: &Path,
    stamps: &Path,
    digests: &mut Digests,
    say: &dyn Fn(&str),
) -> Result<()> {
    let own = PreprocessParams { output: prepared.to_owned(), force: true, ..params.preprocess.clone() };
    let mut inputs = vec![("screen", own.input.clone())];
    inputs.extend(own.split.clone().map(|path| ("split", path)));
    let runner = Runner { program: params.program.clone(), threads: params.threads * params.jobs };
    let folder = params.output.clone();
    let decided = ["input", "output", "split", "force"];
    let step = Step::new("preprocess", own, &decided, inputs, prepared, move |params: &PreprocessParams, _, _| {
        runner.run("preprocess", params, &folder, false)
    })?;
    advance(&step, stamps, params.force, digests, &Speaker(say))?;
    digests.know(prepared, &digest::any(prepared)?);
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
    Ok(params)
}

/// The settings as the page tells them: those that decide numbers, and how many ran at a time, which decides times.
fn told(params: &BenchmarkParams) -> Result<serde_json::Value> {
    let mut told = settings(params, &["preprocess", "output", "force", "program", "allow_missing"])?;
    told["preprocess"] = settings(&params.preprocess, &["input", "output", "split", "force"])?;
    told["version"] = env!("CARGO_PKG_VERSION").into();
    Ok(told)
}

/// Says what a step says.
struct Speaker<'a>(&'a dyn Fn(&str));

impl Watcher for Speaker<'_> {
    fn say(&self, message: &str) {
        (self.0)(&format!("[preprocess] {message}"));
    }

    fn progress(&self, _: Progress) {}

    fn signal(&self) -> Option<u8> {
        None
    }
}

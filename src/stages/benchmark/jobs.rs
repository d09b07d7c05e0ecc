//! The jobs of a benchmark: one method on one split with one seed each, some at the same time.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};

use super::params::BenchmarkParams;
use super::process::Runner;
use super::splits::Split;
use crate::io::checkpoint;
use crate::metrics::benchmark::Failure;
use crate::models::registry::Method;
use crate::stages::evaluate::EvaluateParams;
use crate::stages::fit::{FitParams, Watcher};
use crate::stages::predict::PredictParams;
use crate::stages::steps::{Digests, Step, advance};
use crate::training::Progress;
use crate::{Error, Result};

/// The folder of what is remembered of finished steps.
pub(super) const STAMPS: &str = ".scflow";

/// One method on one split with one seed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Job {
    /// The name of the split.
    pub(super) split: String,
    /// Its prepared screen.
    pub(super) prepared: PathBuf,
    pub(super) method: Method,
    pub(super) seed: u64,
    /// Its folder.
    pub(super) folder: PathBuf,
}

impl Job {
    /// All jobs: on the first split every method with the first seed, then with the next; then on the next split.
    pub(super) fn all(params: &BenchmarkParams, splits: &[Split]) -> Vec<Self> {
        let seeds = params.first_seed..params.first_seed + params.seeds;
        let of = |split: &Split, seed: u64, method: Method| {
            let folder = split.folder.join(method.name()).join(format!("seed-{seed}"));
            Self { split: split.name.clone(), prepared: split.prepared().to_owned(), method, seed, folder }
        };
        let methods = params.all_methods();
        let mut jobs = Vec::new();
        for split in splits {
            for seed in seeds.clone() {
                jobs.extend(methods.iter().map(|&method| of(split, seed, method)));
            }
        }
        jobs
    }

    /// How it failed, if it did.
    pub(super) fn failure<'a>(&self, failures: &'a [Failure]) -> Option<&'a Failure> {
        let own = |one: &&Failure| one.split == self.split && one.method == self.method.name() && one.seed == self.seed;
        failures.iter().find(own)
    }

    /// The model.
    pub(super) fn model(&self) -> PathBuf {
        self.folder.join("model")
    }

    /// The scores.
    pub(super) fn scores(&self) -> PathBuf {
        self.folder.join("scores")
    }

    /// Fit, predict and evaluate.
    fn steps(&self, params: &BenchmarkParams, runner: &Runner) -> Result<Vec<Step>> {
        let predicted = self.folder.join("predicted.h5ad");
        let run = |stage: &'static str| {
            let (runner, folder) = (runner.clone(), self.folder.clone());
            (stage, runner, folder)
        };
        let fit = FitParams {
            input: self.prepared.clone(),
            output: self.model(),
            force: true,
            ..params.fit(self.method, self.seed)
        };
        let (stage, runner_of_fit, folder) = run("fit");
        let mut inputs = vec![("prepared screen", self.prepared.clone())];
        inputs.extend(fit.descriptions.clone().map(|path| ("descriptions", path)));
        inputs.extend(fit.text_encoder.clone().map(|path| ("text encoder", path)));
        let decided = ["input", "output", "force", "resume"];
        let fit = Step::new(stage, fit, &decided, inputs, &self.model(), move |params: &FitParams, _, begun| {
            let resume = begun && checkpoint::path_of(&params.output).exists();
            runner_of_fit.run(stage, &FitParams { resume, ..params.clone() }, &folder, resume)
        })?;
        let predict = PredictParams {
            model: self.model(),
            output: predicted.clone(),
            force: true,
            ..params.predict(self.method, self.seed)
        };
        let (stage, runner_of_predict, folder) = run("predict");
        let mut inputs = vec![("model", self.model())];
        inputs.extend(predict.descriptions.clone().map(|path| ("descriptions", path)));
        let decided = ["model", "output", "force"];
        let predict = Step::new(stage, predict, &decided, inputs, &predicted, move |params: &PredictParams, _, _| {
            runner_of_predict.run(stage, params, &folder, false)
        })?;
        let evaluate = EvaluateParams {
            prediction: predicted.clone(),
            truth: self.prepared.clone(),
            output: self.scores(),
            force: true,
            ..params.evaluate(self.seed)
        };
        let (stage, runner_of_evaluate, folder) = run("evaluate");
        let inputs = vec![("prediction", predicted), ("truth", self.prepared.clone())];
        let decided = ["prediction", "truth", "output", "force"];
        let evaluate =
            Step::new(stage, evaluate, &decided, inputs, &self.scores(), move |params: &EvaluateParams, _, _| {
                runner_of_evaluate.run(stage, params, &folder, false)
            })?;
        let mut steps = vec![fit, predict, evaluate];
        // The number of threads decides the last bits.
        for step in &mut steps {
            if let serde_json::Value::Object(settings) = &mut step.settings {
                settings.insert("threads".into(), params.threads.into());
            }
        }
        Ok(steps)
    }
}

/// What a job tells while it runs.
enum News {
    Line(String),
    Failed(Failure),
    Stopped(Error),
}

/// Sends what a step says to where it can be told in order.
struct Relay<'a> {
    news: &'a Sender<News>,
    prefix: String,
}

impl Watcher for Relay<'_> {
    fn say(&self, message: &str) {
        // Nobody listens any more where the benchmark was stopped.
        let _ = self.news.send(News::Line(format!("{} {message}", self.prefix)));
    }

    fn progress(&self, _: Progress) {}

    fn signal(&self) -> Option<u8> {
        None
    }
}

/// Runs what is not up to date of all jobs, as many at a time as wanted. A job that fails ends, and the others go on.
///
/// # Errors
/// [`Error::Interrupted`] if a stage was asked to stop.
pub(super) fn run_all(
    jobs: &[Job],
    params: &BenchmarkParams,
    digests: &Digests,
    say: &dyn Fn(&str),
) -> Result<Vec<Failure>> {
    let (next, stops) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (news, listener) = channel();
    let runner = Runner { program: params.program.clone(), threads: params.threads };
    std::thread::scope(|scope| {
        for _ in 0..params.jobs.min(jobs.len()) {
            let (news, next, stops, runner) = (news.clone(), &next, &stops, &runner);
            let digests = digests.clone();
            scope.spawn(move || {
                loop {
                    let place = next.fetch_add(1, Ordering::SeqCst);
                    let Some(job) = jobs.get(place) else { return };
                    if stops.load(Ordering::SeqCst) {
                        return;
                    }
                    let number = format!("{}/{}", place + 1, jobs.len());
                    match work(job, &number, params, runner, &mut digests.clone(), &news) {
                        None => {}
                        Some(failed @ News::Stopped(_)) => {
                            stops.store(true, Ordering::SeqCst);
                            let _ = news.send(failed);
                            return;
                        }
                        Some(failed) => {
                            let _ = news.send(failed);
                        }
                    }
                }
            });
        }
        drop(news);
        let (mut failures, mut stopped) = (Vec::new(), None);
        for news in listener {
            match news {
                News::Line(line) => say(&line),
                News::Failed(failure) => {
                    let Failure { split, method, seed, stage, reason } = &failure;
                    say(&format!("[{split} {method} seed {seed}] {stage} failed: {reason}"));
                    failures.push(failure);
                }
                News::Stopped(error) => stopped = Some(error),
            }
        }
        match stopped {
            Some(error) => Err(error),
            None => {
                failures.sort_by(|a, b| (&a.split, &a.method, a.seed).cmp(&(&b.split, &b.method, b.seed)));
                Ok(failures)
            }
        }
    })
}

/// Runs one job, and tells how it failed if it did.
fn work(
    job: &Job,
    number: &str,
    params: &BenchmarkParams,
    runner: &Runner,
    digests: &mut Digests,
    news: &Sender<News>,
) -> Option<News> {
    let failed = |stage: &str, error: Error| match error {
        Error::Interrupted { .. } => News::Stopped(error),
        Error::Stage { reason, .. } => News::Failed(failure(job, stage, reason)),
        other => News::Failed(failure(job, stage, other.to_string())),
    };
    let steps = match job.steps(params, runner) {
        Ok(steps) => steps,
        Err(error) => return Some(failed("fit", error)),
    };
    for step in steps {
        let name = format!("{} {} seed {}", job.split, job.method.name(), job.seed);
        let relay = Relay { news, prefix: format!("[{number} {name}] {}", step.name) };
        if let Err(error) = advance(&step, &job.folder.join(STAMPS), params.force, digests, &relay) {
            return Some(failed(step.name, error));
        }
    }
    None
}

fn failure(job: &Job, stage: &str, reason: String) -> Failure {
    Failure { split: job.split.clone(), method: job.method.name().into(), seed: job.seed, stage: stage.into(), reason }
}

//! The command line: verbs and flags, turned into the parameters of the stages.

use clap::{Parser, Subcommand};

mod shared;
mod interrupt;
mod simulate;
mod import;
mod inspect;
mod split;
mod preprocess;
mod fit;
mod fit_names;
mod predict;
mod evaluate;
mod report;
mod run;
mod benchmark;
mod language;
mod stage;

/// Predicts, cell by cell, what an unseen combination of perturbations does in a single-cell screen.
#[derive(Debug, Parser)]
#[command(name = "scflow", version, help_expected = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    shared: shared::Shared,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write a simulated perturbation screen.
    Simulate(simulate::Arguments),
    /// Make an .h5ad file of today of 10x Genomics' files, or of an old .h5ad file.
    Import(import::Arguments),
    /// Tell what is in a file and what to type next.
    Inspect(inspect::Arguments),
    /// Choose conditions to hold out: a table for `preprocess --split`.
    Split(split::Arguments),
    /// Filter, normalise, choose variable genes and embed, fitted on training cells only.
    Preprocess(preprocess::Arguments),
    /// Fit a model to the training cells of a prepared screen.
    Fit(fit::Arguments),
    /// Generate cells of any combination of known perturbations.
    Predict(predict::Arguments),
    /// Compare generated cells with real ones, next to baselines and the data's own ceiling.
    Evaluate(evaluate::Arguments),
    /// Write one page from scores.
    Report(report::Arguments),
    /// Run all stages from one configuration file.
    Run(run::Arguments),
    /// Compare methods on held-out conditions of a screen: leaderboard, intervals, times.
    Benchmark(benchmark::Arguments),
    /// Run a causal language model on a text, to check that its folder was read right.
    Language(language::Arguments),
    /// Run a stage with parameters from a file: what `benchmark` starts as processes.
    #[command(hide = true)]
    Stage(stage::Arguments),
}

impl Cli {
    /// Runs the verb that was asked for.
    pub fn run(self) -> anyhow::Result<()> {
        set_threads(self.shared.threads)?;
        let shared = &self.shared;
        match self.verb {
            Verb::Simulate(arguments) => arguments.run(shared),
            Verb::Import(arguments) => arguments.run(shared),
            Verb::Inspect(arguments) => arguments.run(shared),
            Verb::Split(arguments) => arguments.run(shared),
            Verb::Preprocess(arguments) => arguments.run(shared),
            Verb::Fit(arguments) => arguments.run(shared),
            Verb::Predict(arguments) => arguments.run(shared),
            Verb::Evaluate(arguments) => arguments.run(shared),
            Verb::Report(arguments) => arguments.run(shared),
            Verb::Run(arguments) => arguments.run(shared),
            Verb::Benchmark(arguments) => arguments.run(shared),
            Verb::Language(arguments) => arguments.run(shared),
            Verb::Stage(arguments) => arguments.run(shared),
        }
    }
}

/// Sets the number of threads of everything underneath; all cores if absent.
fn set_threads(n_threads: Option<usize>) -> anyhow::Result<()> {
    let n_threads = match n_threads {
        Some(0) => anyhow::bail!(crate::Error::InvalidParameter {
            name: "threads".into(),
            value: "0".into(),
            reason: "at least one is needed".into(),
        }),
        Some(n) => n,
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    // The tensor library reads these at every call and, without them, asks the system for the number of cores each time;
    // its own pool for sums and products of tensors waits in busy loops, which costs more than it gains here.
    // SAFETY: no other thread has been started yet.
    unsafe {
        std::env::set_var("RAYON_NUM_THREADS", n_threads.to_string());
        std::env::set_var("CANDLE_NUM_THREADS", "1");
    }
    rayon::ThreadPoolBuilder::new().num_threads(n_threads).build_global()?;
    Ok(())
}

//! The command line: verbs and flags, turned into the parameters of the stages.

use clap::{Parser, Subcommand};

mod shared;
mod simulate;
mod inspect;
mod preprocess;
mod fit;
mod predict;
mod evaluate;
mod report;
mod run;

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
    /// Tell what is in a file and what to type next.
    Inspect(inspect::Arguments),
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
}

impl Cli {
    /// Runs the verb that was asked for.
    pub fn run(self) -> anyhow::Result<()> {
        if let Some(n_threads) = self.shared.threads {
            rayon::ThreadPoolBuilder::new().num_threads(n_threads).build_global()?;
        }
        let shared = &self.shared;
        match self.verb {
            Verb::Simulate(arguments) => arguments.run(shared),
            Verb::Inspect(arguments) => arguments.run(shared),
            Verb::Preprocess(arguments) => arguments.run(shared),
            Verb::Fit(arguments) => arguments.run(shared),
            Verb::Predict(arguments) => arguments.run(shared),
            Verb::Evaluate(arguments) => arguments.run(shared),
            Verb::Report(arguments) => arguments.run(shared),
            Verb::Run(arguments) => arguments.run(shared),
        }
    }
}

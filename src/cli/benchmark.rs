//! The flags of `scflow benchmark`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::fit_names::{DeviceName, MethodName, PoolingBy};
use super::preprocess::Choices;
use crate::error::refuse;
use crate::stages::benchmark::{BenchmarkParams, benchmark, name_of, require_complete};
use crate::stages::fit::seconds;
use crate::stages::preprocess::PreprocessParams;

/// The flags of `scflow benchmark`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The raw screen: counts in X or in a layer.
    #[arg(value_name = "SCREEN.h5ad")]
    input: PathBuf,
    /// Folder for the results; the same command goes on where an earlier one ended.
    #[arg(long, short, value_name = "BENCH")]
    output: PathBuf,
    /// Condition to hold out, such as "A + B" or "A | cell_type=T cell"; may be repeated, and is one split together.
    #[arg(long, value_name = "CONDITION", help_heading = "What is held out: one of")]
    holdout: Vec<String>,
    /// Split as a table, with the columns obs_name,split or perturbation[,COVARIATE…],split and the values train, val, test;
    /// may be repeated, and every method is fitted to each.
    #[arg(long = "split", value_name = "NAME=FILE.csv", help_heading = "What is held out: one of")]
    splits: Vec<String>,
    /// As many splits as K, which hold out every combination once, or without combinations every perturbation in every stratum
    /// of covariates; --first-seed decides which together.
    #[arg(long, value_name = "K", help_heading = "What is held out: one of")]
    folds: Option<usize>,
    /// Methods, with commas between them [default: all].
    #[arg(long, value_enum, value_delimiter = ',', value_name = "METHOD,…")]
    methods: Vec<MethodName>,
    /// Table with the columns name and text that says what components are, for the methods that read it; components that training
    /// does not have are then predicted from it.
    #[arg(long, value_name = "FILE.csv")]
    descriptions: Option<PathBuf>,
    /// Let this network read descriptions in the place of counting their words; see `scflow fit --help`.
    #[arg(long, value_name = "FOLDER", requires = "descriptions")]
    text_encoder: Option<PathBuf>,
    /// How its last hidden states become the vector of a text [default: as its folder says (modules.json), or mean].
    #[arg(long, value_enum, requires = "text_encoder")]
    text_pooling: Option<PoolingBy>,
    /// Fits of each method, with seeds of their own.
    #[arg(long, value_name = "N", default_value_t = 3)]
    seeds: u64,
    /// The first of these seeds.
    #[arg(long, value_name = "N", default_value_t = 0)]
    first_seed: u64,
    /// Training steps of every method that is trained.
    #[arg(long, value_name = "N", conflicts_with = "budget")]
    steps: Option<usize>,
    /// Time to train for every method that is trained, such as 60s or 5m.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    budget: Option<f64>,
    /// Cells that every method generates for each held-out condition; fewer where there are fewer control or real cells.
    #[arg(long, value_name = "N", default_value_t = 500)]
    cells: usize,
    /// Leave conditions with fewer real cells without scores.
    #[arg(long, value_name = "N", default_value_t = 20)]
    min_cells_scored: usize,
    /// Fits that run at the same time; the threads are shared among them.
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: usize,
    /// Where networks are computed.
    #[arg(long, value_enum, default_value_t = DeviceName::Auto)]
    device: DeviceName,
    /// Exit with status 0 even if conditions or metrics have no value; a stage that failed never is accepted.
    #[arg(long)]
    allow_missing: bool,
    #[command(flatten, next_help_heading = "How the screen is prepared")]
    preprocess: Choices,
}

impl Arguments {
    /// Runs the stage.
    pub fn run(self, shared: &super::shared::Shared) -> anyhow::Result<()> {
        let own = BenchmarkParams::default();
        let methods: Vec<_> = self.methods.into_iter().map(Into::into).collect();
        let jobs = self.jobs;
        let params = BenchmarkParams {
            preprocess: PreprocessParams {
                holdout: self.holdout,
                ..self.preprocess.params(self.input, PathBuf::new(), false)
            },
            splits: splits(&self.splits)?,
            folds: self.folds,
            output: self.output,
            methods: if methods.is_empty() { own.methods } else { methods },
            descriptions: self.descriptions,
            text_encoder: self.text_encoder,
            text_pooling: self.text_pooling.map(Into::into),
            seeds: self.seeds,
            first_seed: self.first_seed,
            steps: self.steps,
            budget_seconds: self.budget,
            cells: self.cells,
            min_cells: self.min_cells_scored,
            resolution: own.resolution,
            jobs,
            threads: (rayon::current_num_threads() / jobs.max(1)).max(1),
            device: self.device.into(),
            allow_missing: self.allow_missing,
            force: shared.force,
            program: std::env::current_exe()?,
        };
        let outcome = benchmark(&params, &|message| shared.say(message))?;
        shared.say(&outcome.verdict.headline);
        writeln!(std::io::stdout(), "{}", outcome.report.display())?;
        Ok(require_complete(&outcome.benchmark, params.allow_missing)?)
    }
}

/// Names and tables of splits, written `NAME=FILE.csv`, or `FILE.csv` for one that is named like its file.
fn splits(texts: &[String]) -> crate::Result<BTreeMap<String, PathBuf>> {
    let mut splits = BTreeMap::new();
    for text in texts {
        let (name, table) = match text.split_once('=') {
            Some((name, table)) => (name.trim().to_owned(), PathBuf::from(table)),
            None => (name_of(Path::new(text)), PathBuf::from(text)),
        };
        if splits.insert(name.clone(), table).is_some() {
            return refuse("split", text, &format!("two splits are called `{name}`; name one of them otherwise"));
        }
    }
    Ok(splits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_have_the_name_that_is_given_or_that_of_their_file() {
        let read = |texts: &[&str]| splits(&texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
        let found = read(&["hard=a/b.csv", "c/easy.csv"]).unwrap();
        assert_eq!(found, BTreeMap::from([("easy".into(), "c/easy.csv".into()), ("hard".into(), "a/b.csv".into())]));
        assert!(read(&["a.csv", "b/a.csv"]).unwrap_err().is_mistake());
    }
}

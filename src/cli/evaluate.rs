//! The flags of `scflow evaluate`.

use std::io::Write;
use std::path::PathBuf;

use crate::metrics::summary;
use crate::stages::evaluate::{EvaluateParams, evaluate, require_complete};

/// The flags of `scflow evaluate`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Generated cells, as written by `scflow predict`.
    prediction: PathBuf,
    /// Real cells, as written by `scflow preprocess`.
    #[arg(long, value_name = "PREPARED.h5ad")]
    truth: PathBuf,
    /// Folder for the scores.
    #[arg(long, short, value_name = "SCORES")]
    output: PathBuf,
    /// Leave conditions with fewer real or generated cells without scores.
    #[arg(long, value_name = "N", default_value_t = 20)]
    min_cells: usize,
    /// Resolution of the Leiden clustering of real cells.
    #[arg(long, value_name = "R", default_value_t = 1.0)]
    resolution: f64,
    /// Seed of everything drawn.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Exit with status 0 even if the model has conditions or metrics without a value.
    #[arg(long)]
    allow_missing: bool,
}

impl Arguments {
    /// Runs the stage.
    pub fn run(self, shared: &super::shared::Shared) -> anyhow::Result<()> {
        let params = EvaluateParams {
            prediction: self.prediction,
            truth: self.truth,
            output: self.output,
            min_cells: self.min_cells,
            resolution: self.resolution,
            seed: self.seed,
            allow_missing: self.allow_missing,
            force: shared.force,
        };
        let scores = evaluate(&params, &|message| shared.say(message))?;
        for left in scores.settings["held_out_but_not_predicted"].as_array().into_iter().flatten() {
            shared.say(format!("held out but not predicted: {}", left.as_str().unwrap_or_default()));
        }
        writeln!(std::io::stdout(), "{}", summary::table(&scores.rows))?;
        let strata = summary::rows_by_stratum(&scores.rows);
        for (stratum, rows) in strata.iter().filter(|_| strata.len() > 1) {
            writeln!(std::io::stdout(), "\n{stratum}\n{}", summary::table(rows))?;
        }
        if !params.allow_missing {
            require_complete(&scores)?;
        }
        Ok(())
    }
}

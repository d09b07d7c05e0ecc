//! The flags of `scflow predict`.

use std::path::PathBuf;

use crate::stages::predict::{PredictParams, predict};

/// The flags of `scflow predict`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder of a model, as written by `scflow fit`.
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// The generated cells.
    #[arg(long, short, value_name = "PREDICTED.h5ad")]
    output: PathBuf,
    /// Perturbation such as "drug A + drug B", in any order; may be repeated.
    #[arg(long = "perturbation", short, value_name = "PERTURBATION")]
    perturbations: Vec<String>,
    /// Predict all held-out conditions of the model.
    #[arg(long = "holdout")]
    held_out: bool,
    /// Covariate such as cell_type="B cell"; without it, every value that the model knows.
    #[arg(long = "covariate", value_name = "COLUMN=VALUE")]
    covariates: Vec<String>,
    /// Cells per condition.
    #[arg(long, value_name = "N", default_value_t = 500)]
    cells: usize,
    /// Scales the spread of every draw; 1 is the fitted law.
    #[arg(long, value_name = "T", default_value_t = 1.0)]
    temperature: f32,
    /// Seed of everything drawn.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

impl Arguments {
    /// Runs the stage.
    pub fn run(self, shared: &super::shared::Shared) -> anyhow::Result<()> {
        let params = PredictParams {
            model: self.model,
            output: self.output,
            perturbations: self.perturbations,
            covariates: self.covariates,
            held_out: self.held_out,
            cells: self.cells,
            temperature: self.temperature,
            seed: self.seed,
            force: shared.force,
        };
        let conditions = predict(&params, &|message| shared.say(message))?;
        let n_cells: usize = conditions.iter().map(|(.., n)| n).sum();
        shared.say(format!("wrote {n_cells} cells of {} conditions to {}", conditions.len(), params.output.display()));
        Ok(())
    }
}

//! The flags of `scflow inspect`.

use std::io::Write;
use std::path::PathBuf;

use crate::stages::inspect::{InspectParams, inspect};

/// The flags of `scflow inspect`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// File of cells.
    #[arg(value_name = "FILE.h5ad")]
    input: PathBuf,
    /// Column of obs that names the perturbation; suggested if absent.
    #[arg(long, value_name = "COLUMN")]
    perturbation_column: Option<String>,
    /// Value of this column that names the control; suggested if absent.
    #[arg(long, value_name = "NAME")]
    control: Option<String>,
    /// Column of obs that tells cells apart, such as their type; may be repeated; suggested if absent.
    #[arg(long = "covariate", value_name = "COLUMN")]
    covariates: Vec<String>,
    /// Print everything found as JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Runs the stage.
    pub fn run(self, _shared: &super::shared::Shared) -> anyhow::Result<()> {
        let params = InspectParams {
            input: self.input,
            perturbation_column: self.perturbation_column,
            control: self.control,
            covariates: self.covariates,
        };
        let inspection = inspect(&params)?;
        let text = if self.json { serde_json::to_string_pretty(&inspection)? } else { inspection.to_string() };
        writeln!(std::io::stdout(), "{text}")?;
        Ok(())
    }
}

//! The hidden verb that runs one stage with parameters from a file.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::fit::Terminal;
use crate::io::json;
use crate::stages::evaluate::{evaluate, require_complete};
use crate::stages::fit::fit;
use crate::stages::predict::predict;
use crate::stages::preprocess::preprocess;

/// What `scflow stage` takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The stage.
    #[arg(value_enum)]
    stage: Stage,
    /// Its parameters.
    #[arg(value_name = "PARAMS.json")]
    params: PathBuf,
}

/// The stages that `scflow benchmark` starts.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Stage {
    /// Prepare a screen.
    Preprocess,
    /// Fit a model.
    Fit,
    /// Generate cells.
    Predict,
    /// Compare cells.
    Evaluate,
}

impl Arguments {
    /// Runs the stage.
    pub fn run(self, shared: &super::shared::Shared) -> anyhow::Result<()> {
        let say = |message: &str| shared.say(message);
        match self.stage {
            Stage::Preprocess => preprocess(&read(&self.params)?, &say).map(drop)?,
            Stage::Fit => {
                let terminal = Terminal::new(shared)?;
                fit(&read(&self.params)?, &terminal)?;
                terminal.bar.finish_and_clear();
            }
            Stage::Predict => predict(&read(&self.params)?, &say).map(drop)?,
            Stage::Evaluate => {
                let params: crate::stages::evaluate::EvaluateParams = read(&self.params)?;
                let scores = evaluate(&params, &say)?;
                if !params.allow_missing {
                    require_complete(&scores)?;
                }
            }
        }
        Ok(())
    }
}

fn read<P: DeserializeOwned>(path: &Path) -> crate::Result<P> {
    json::read(path, "it holds the parameters of the stage, as `scflow benchmark` writes them")
}

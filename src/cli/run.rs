//! The flags of `scflow run`.

use std::io::Write;
use std::path::PathBuf;

use crate::stages::run::{RunParams, run};

/// The flags of `scflow run`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Configuration of all stages.
    #[arg(value_name = "CONFIG.toml")]
    config: PathBuf,
    /// A setting that takes the place of the file's, such as `fit.seed=1`; may be given more than once.
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
    /// Folder for the results, in place of the file's own.
    #[arg(long, short, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

impl Arguments {
    /// Runs the stage.
    pub fn run(self, shared: &super::shared::Shared) -> anyhow::Result<()> {
        let params = RunParams { config: self.config, set: self.set, output: self.output, force: shared.force };
        let report = run(&params, &|message| shared.say(message))?;
        writeln!(std::io::stdout(), "{}", report.display())?;
        Ok(())
    }
}

//! The flags of `scflow report`.

use std::io::Write;
use std::path::PathBuf;

use crate::stages::report::{ReportParams, report};

/// The flags of `scflow report`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder of scores, as written by `scflow evaluate`, or of a benchmark.
    scores: PathBuf,
    /// The page.
    #[arg(long, short, value_name = "REPORT.html")]
    output: PathBuf,
    /// Write the pictures into this folder too, each as SVG and as PNG.
    #[arg(long, value_name = "FOLDER")]
    figures: Option<PathBuf>,
    /// Title of the page; named after what was predicted if absent.
    #[arg(long, value_name = "TITLE")]
    title: Option<String>,
}

impl Arguments {
    /// Runs the stage.
    pub fn run(self, shared: &super::shared::Shared) -> anyhow::Result<()> {
        let params = ReportParams {
            scores: self.scores,
            output: self.output,
            figures: self.figures,
            title: self.title,
            force: shared.force,
        };
        let verdict = report(&params)?;
        shared.say(&verdict.headline);
        writeln!(std::io::stdout(), "{}", params.output.display())?;
        Ok(())
    }
}

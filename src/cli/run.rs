//! The flags of `scflow run`.

use std::io::Write;
use std::path::PathBuf;

use super::fit::Terminal;
use crate::stages::fit::Watcher;
use crate::stages::run::{RunParams, run};
use crate::training::Progress;

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
        let params = RunParams {
            config: self.config,
            set: self.set,
            output: self.output,
            threads: rayon::current_num_threads(),
            program: std::env::current_exe()?,
            force: shared.force,
        };
        let report = run(&params, &Screen(Terminal::new(shared)?))?;
        writeln!(std::io::stdout(), "{}", report.display())?;
        Ok(())
    }
}

/// The terminal of a fit, cleared when the fit is over, as other stages follow.
struct Screen<'a>(Terminal<'a>);

impl Watcher for Screen<'_> {
    fn say(&self, message: &str) {
        self.0.say(message);
    }

    fn signal(&self) -> Option<u8> {
        self.0.signal()
    }

    fn progress(&self, progress: Progress) {
        self.0.progress(progress);
        if progress.step == progress.n_steps {
            self.0.bar.finish_and_clear();
        }
    }
}

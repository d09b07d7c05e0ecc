//! The flags that mean the same for every verb.

/// The flags that mean the same for every verb.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Shared options")]
pub struct Shared {
    /// Replace outputs that exist.
    #[arg(long, global = true)]
    pub force: bool,
    /// Number of threads; all cores if absent.
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<usize>,
    /// Say only what went wrong.
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

impl Shared {
    /// Tells the user something on standard error, unless `--quiet` was given.
    pub fn say(&self, message: impl std::fmt::Display) {
        if !self.quiet {
            eprintln!("{message}");
        }
    }
}

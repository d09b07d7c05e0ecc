//! The flags of `scflow report`.

/// The flags of `scflow report`.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

impl Arguments {
    /// Runs the stage.
    pub fn run(self, _shared: &super::shared::Shared) -> anyhow::Result<()> {
        anyhow::bail!("report is not built yet")
    }
}

//! The flags of `scflow fit`.

/// The flags of `scflow fit`.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

impl Arguments {
    /// Runs the stage.
    pub fn run(self, _shared: &super::shared::Shared) -> anyhow::Result<()> {
        anyhow::bail!("fit is not built yet")
    }
}

//! The flags of `scflow inspect`.

/// The flags of `scflow inspect`.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

impl Arguments {
    /// Runs the stage.
    pub fn run(self, _shared: &super::shared::Shared) -> anyhow::Result<()> {
        anyhow::bail!("inspect is not built yet")
    }
}

//! The flags of `scflow simulate`.

/// The flags of `scflow simulate`.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

impl Arguments {
    /// Runs the stage.
    pub fn run(self, _shared: &super::shared::Shared) -> anyhow::Result<()> {
        anyhow::bail!("simulate is not built yet")
    }
}

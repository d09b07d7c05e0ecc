//! The flags of `scflow evaluate`.

/// The flags of `scflow evaluate`.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

impl Arguments {
    /// Runs the stage.
    pub fn run(self, _shared: &super::shared::Shared) -> anyhow::Result<()> {
        anyhow::bail!("evaluate is not built yet")
    }
}

//! The flags of `scflow predict`.

/// The flags of `scflow predict`.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

impl Arguments {
    /// Runs the stage.
    pub fn run(self, _shared: &super::shared::Shared) -> anyhow::Result<()> {
        anyhow::bail!("predict is not built yet")
    }
}

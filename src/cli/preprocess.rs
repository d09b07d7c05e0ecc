//! The flags of `scflow preprocess`.

/// The flags of `scflow preprocess`.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

impl Arguments {
    /// Runs the stage.
    pub fn run(self, _shared: &super::shared::Shared) -> anyhow::Result<()> {
        anyhow::bail!("preprocess is not built yet")
    }
}

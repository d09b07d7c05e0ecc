//! The choices of an scGPT.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::error::refuse_zero;
use crate::language::encoder::EncoderParams;
use crate::models::guide::Centre;

/// The choices of an scGPT; unless it starts from pretrained weights, it is far smaller than the published network, which was
/// pretrained on millions of cells.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScgptParams {
    /// The estimate of a condition's mean that is told beside its codes; none tells codes and flags only.
    pub centre: Centre,
    /// The size of the transformer; pretrained weights decide it.
    pub encoder: EncoderParams,
    /// Whether a batch normalisation that came with pretrained weights stands before the transformer.
    pub batch_norm: bool,
    /// Genes that a pretrained vocabulary does not know may start new.
    pub allow_unknown_genes: bool,
    /// Genes of a cell that are read together, at random in training: attention costs their square.
    pub n_genes: usize,
    /// Pairs of cells per training step.
    pub n_cells: usize,
}

impl Default for ScgptParams {
    fn default() -> Self {
        Self {
            centre: Centre::Interaction,
            encoder: EncoderParams { width: 64, n_layers: 2, n_heads: 4, n_hidden: 256 },
            batch_norm: false,
            allow_unknown_genes: false,
            n_genes: 256,
            n_cells: 16,
        }
    }
}

impl ScgptParams {
    /// # Errors
    /// [`crate::Error::InvalidParameter`] for a value that cannot work.
    pub fn check(&self) -> Result<()> {
        refuse_zero([("genes-per-step", self.n_genes), ("cells-per-step", self.n_cells)])?;
        self.encoder.check()
    }
}

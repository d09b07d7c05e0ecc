//! The choices of an scGPT.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::error::refuse;
use crate::language::transformer::TransformerParams;
use crate::models::guide::Centre;

/// The choices of an scGPT; far smaller than the published network, which was pretrained on millions of cells.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScgptParams {
    /// The estimate of a condition's mean that is told beside its codes; none tells codes and flags only.
    pub centre: Centre,
    /// The size of the transformer.
    pub transformer: TransformerParams,
    /// Genes of a cell that are read together, at random in training: attention costs their square.
    pub n_genes: usize,
    /// Pairs of cells per training step.
    pub n_cells: usize,
}

impl Default for ScgptParams {
    fn default() -> Self {
        Self {
            centre: Centre::Interaction,
            transformer: TransformerParams { width: 64, n_layers: 2, n_heads: 4 },
            n_genes: 256,
            n_cells: 16,
        }
    }
}

impl ScgptParams {
    /// # Errors
    /// [`crate::Error::InvalidParameter`] for a value that cannot work.
    pub fn check(&self) -> Result<()> {
        for (name, value) in [("genes-per-step", self.n_genes), ("cells-per-step", self.n_cells)] {
            if value == 0 {
                return refuse(name, "0", "it must be above zero");
            }
        }
        self.transformer.check()
    }
}

//! What of a language model is trained.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::error::refuse;

/// What is trained, and how much is kept for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "tune", rename_all = "snake_case", deny_unknown_fields)]
pub enum Tuning {
    /// Every weight.
    Full,
    /// Small perceptrons beside those of the blocks, reading the same numbers (He et al. 2022, arXiv 2110.04366); all else stays.
    Adapters {
        /// Numbers within.
        width: usize,
    },
    /// A product of two thin matrices beside each map of attention and perceptron (Hu et al. 2021, arXiv 2106.09685); all else stays.
    Lora {
        /// Columns of the first, rows of the second.
        rank: usize,
    },
}

impl Tuning {
    /// # Errors
    /// [`crate::Error::InvalidParameter`] for a size of zero.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Adapters { width: 0 } => refuse("adapter-width", 0, "it must be above zero"),
            Self::Lora { rank: 0 } => refuse("lora-rank", 0, "it must be above zero"),
            _ => Ok(()),
        }
    }
}

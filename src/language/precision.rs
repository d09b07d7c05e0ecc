//! In how many bits weights are held.

use candle_core::{DType, Device};
use serde::{Deserialize, Serialize};

use super::device::fuses;
use crate::Result;
use crate::error::refuse;

/// How the matrices of a network are held and multiplied. Everything else is of 32 bits always: sums, normalisations, softmax,
/// gains and biases, what is trained beside fixed weights, and the moments of gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits, the upper half of those of 32: half the memory and tensor cores, on a GPU. What is multiplied with a matrix is
    /// rounded alike, and products are summed in 32 bits.
    Bf16,
}

impl Precision {
    /// # Errors
    /// [`crate::Error::InvalidParameter`], naming the choice, where a device cannot multiply so.
    pub fn check(self, name: &str, device: &Device) -> Result<()> {
        match self {
            Self::Bf16 if fuses(device) => {
                let reason = "the CPU multiplies in 32 bits only: leave it away, or compute on a GPU (--device cuda)";
                refuse(name, "bf16", reason)
            }
            _ => Ok(()),
        }
    }

    /// How a matrix is held on this device: the CPU has no products of 16 bits and widens them.
    pub(super) fn on(self, device: &Device) -> DType {
        match self {
            Self::Bf16 if !fuses(device) => DType::BF16,
            _ => DType::F32,
        }
    }
}

//! Fused operations with their own backward passes, for the CPU; on other devices each is composed of the tensor
//! library's own operations. Every kernel splits its work by fixed blocks, so that the number of threads changes nothing.

mod simd;
mod slices;
pub mod attention;
pub mod bias;
pub mod gelu;
pub mod layer_norm;
#[cfg(test)]
mod tests;

pub(crate) use super::device::is_fused;
pub(crate) use simd::{dot, exp, vectorized};
pub(crate) use slices::{column_sums, contiguous, values, with_values};

/// Rows of a block: the unit of parallel work and of partial sums.
pub(crate) const BLOCK: usize = 64;

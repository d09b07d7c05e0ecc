//! Fused operations with their own backward passes, for the CPU; `device` makes the same of the tensor library's own
//! operations on others. Every kernel splits its work by fixed blocks, so that the number of threads changes nothing.

mod alone;
mod device;
mod product;
mod slices;
mod heads;
pub(crate) mod past;
pub mod attention;
pub mod bias;
pub mod activation;
pub mod gelu;
pub mod layer_norm;
pub mod root_mean_square;
pub mod rotary;
pub mod linear;
pub mod perceptron;
#[cfg(test)]
mod tests;

pub use alone::alone;
pub(crate) use alone::{for_each_block, for_each_pair_of_blocks, lock, map_each};
pub(crate) use device::multiplied;
pub(crate) use product::{Matrix, accumulate_product, add_product, product};
pub(crate) use slices::{add_column_sums, contiguous, on_cpu, values, with_values};

pub(crate) use super::device::is_fused;
pub(crate) use crate::numbers::{dot, exp, vectorized};

/// Rows of a block: the unit of parallel work and of partial sums.
pub(crate) const BLOCK: usize = 64;

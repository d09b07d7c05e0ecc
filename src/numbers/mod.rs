//! Loops over many numbers: elementary functions that vectorise, and normal draws in bulk.

mod simd;
mod normal;

pub use normal::{fill_normal, normal};
pub(crate) use simd::{dot, exp, vectorized};

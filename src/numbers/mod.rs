//! Loops over many numbers: elementary functions that vectorise, normal draws in bulk, the gamma function, a hash.

mod simd;
mod normal;
mod gamma;
mod hash;

pub use gamma::{digamma, ln_gamma};
pub use hash::fnv;
pub use normal::{fill_normal, normal};
pub(crate) use simd::{dot, exp, ln, ln_1p, ln_1p_double, vectorized};

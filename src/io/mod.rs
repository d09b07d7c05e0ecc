//! The only place that opens files.

pub mod atomic;
pub mod h5ad;

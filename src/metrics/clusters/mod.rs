//! Clusters of real cells, and how generated cells spread over them.

pub mod leiden;
pub mod classifier;
pub mod labels;
pub mod agreement;

pub use leiden::{Clusters, N_NEIGHBORS};

//! How near the mean expression of generated cells is to that of real ones.

pub mod correlation;
pub mod deltas;
pub mod errors;

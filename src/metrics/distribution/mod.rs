//! How far the distribution of generated cells is from that of real ones.

pub mod distances;
pub mod mmd;
pub mod energy;
pub mod fused;
pub mod wasserstein;
pub mod spread;
pub mod on_map;

//! Optimal transport between clouds of points.

pub mod exact;

//! Numbers that compare generated cells with real ones.
//!
//! A metric's name says which variant it is; [`definitions`] says it in words.

pub mod scores;
pub mod summary;
pub mod distances;
pub mod mmd;
pub mod energy;
pub mod wasserstein;
pub mod spread;
pub mod deltas;
pub mod classifier;
pub mod labels;
pub mod clusters;
pub mod predicted;
pub mod baselines;
pub mod comparison;
pub mod evaluation;
pub mod map;

pub use scores::{Definition, ScoreRow, Scores, definitions};

//! Numbers that compare generated cells with real ones.
//!
//! A metric's name says which variant it is; [`definitions()`] says it in words.

pub mod definitions;
pub mod scores;
pub mod summary;
pub mod intervals;
pub mod benchmark;
pub mod leaderboard;
pub mod outcome;
pub mod distribution;
pub mod means;
pub mod genes;
pub mod clusters;
pub mod conditions;
pub mod predicted;
pub mod offer;
pub mod baselines;
pub mod comparison;
pub mod effects;
pub mod evaluation;
pub mod map;

pub use clusters::{classifier, labels};
pub use distribution::{distances, energy, mmd, spread, wasserstein};
pub use means::deltas;
pub use scores::{Definition, ScoreRow, Scores, definitions};

//! Fitting by stochastic gradients: one loop for every method.

pub mod optimizer;
pub mod average;
pub mod schedule;
pub mod state;
pub mod fit;

pub use fit::{Objective, Part, Progress, TrainingParams, fit, measure_seconds_per_step, sum_of};
pub use state::State;

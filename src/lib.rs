//! scflow predicts, cell by cell, what an unseen combination of perturbations does in a single-cell screen.
//!
//! The modules are declared in the order in which data flows; a module uses only modules declared above it
//! (`tests/architecture.rs` checks this). See `ARCHITECTURE.md` for the plan of the house.

pub mod error;
pub mod numbers;
pub mod cells;
pub mod conditions;
pub mod preprocess;
pub mod embedding;
pub mod prepared;
pub mod transport;
pub mod flow;
pub mod language;
pub mod training;
pub mod models;
pub mod metrics;
pub mod synthetic;
pub mod inspection;
pub mod report;
pub mod io;
pub mod stages;
pub mod cli;

pub use error::{Error, Result};

//! What was done to a cell: a perturbation (a set of components) and its covariates.

mod perturbation;
pub mod prompt;
pub mod tokenizer;

use std::collections::BTreeMap;
use std::fmt;

pub use perturbation::Perturbation;

/// A perturbation together with the covariates that it acts on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Condition {
    /// What was applied.
    pub perturbation: Perturbation,
    /// To which cells: column → value, such as `cell_type` → `B cell`.
    pub covariates: BTreeMap<String, String>,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.perturbation)?;
        for (column, value) in &self.covariates {
            write!(f, " | {column}={value}")?;
        }
        Ok(())
    }
}

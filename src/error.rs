//! The one error type: its fields are the facts (what, where, how many, examples) and a hint tells how to go on.

use std::path::PathBuf;

/// The result of everything in scflow that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, as facts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two arrays that belong together differ in shape.
    #[error("{what}: expected {expected}, got {got}")]
    ShapeMismatch {
        /// Which arrays.
        what: String,
        /// The shape that was needed.
        expected: String,
        /// The shape that was found.
        got: String,
    },
    /// A table lacks a column.
    #[error("column `{column}` is missing from {table}\navailable: {}", list(available, 30))]
    MissingColumn {
        /// `obs`, `var`, or the name of a table.
        table: String,
        /// The column asked for.
        column: String,
        /// The columns that exist.
        available: Vec<String>,
    },
    /// A file or folder lacks a part that the step needs.
    #[error("{place}: `{key}` is missing")]
    MissingKey {
        /// The file, slot or folder.
        place: String,
        /// The missing part.
        key: String,
        /// How to get it.
        hint: String,
    },
    /// A name that the data or the model does not know.
    #[error("{what} `{name}` is unknown to {place}\nnearest names: {}", list(nearest, 3))]
    UnknownName {
        /// `perturbation`, `covariate value`, …
        what: String,
        /// The name asked for.
        name: String,
        /// The model or data set that was asked.
        place: String,
        /// Near names that exist, best first.
        nearest: Vec<String>,
    },
    /// A matrix is on another scale than the step needs.
    #[error("{what}: expected {expected}, found {found}")]
    WrongScale {
        /// The matrix.
        what: String,
        /// The scale that the step needs.
        expected: String,
        /// The evidence for another scale.
        found: String,
        /// How to go on.
        hint: String,
    },
    /// Some values cannot be used.
    #[error("{place}: {n_bad} of {n_total} values are {problem}; for example {}", list(examples, 3))]
    BadValues {
        /// The file, slot or column.
        place: String,
        /// `NaN`, `negative`, `duplicated`, …
        problem: String,
        /// How many are bad.
        n_bad: usize,
        /// Out of how many.
        n_total: usize,
        /// Three examples.
        examples: Vec<String>,
        /// How to go on.
        hint: String,
    },
    /// There is too little of something.
    #[error("{what}: {needed} needed, {got} found")]
    TooFew {
        /// What is short.
        what: String,
        /// How many are needed.
        needed: usize,
        /// How many there are.
        got: usize,
        /// How to go on.
        hint: String,
    },
    /// A setting has a value that cannot work.
    #[error("{name} = `{value}`: {reason}")]
    InvalidParameter {
        /// The setting, as the user writes it.
        name: String,
        /// Its value.
        value: String,
        /// Why it cannot work.
        reason: String,
    },
    /// A file is not what it should be.
    #[error("`{path}`: {reason}")]
    InvalidFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// How to go on.
        hint: String,
    },
    /// The output is there already.
    #[error("`{path}` exists")]
    OutputExists {
        /// The file or folder.
        path: PathBuf,
    },
    /// Reading or writing failed.
    #[error("`{path}`: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// Training left the finite numbers.
    #[error("the loss became {loss} at step {step}")]
    NonFiniteLoss {
        /// The training step.
        step: usize,
        /// The loss.
        loss: f64,
        /// Where the last good weights are, or how to go on.
        hint: String,
    },
    /// A library underneath failed.
    #[error("{what}: {source}")]
    Backend {
        /// What was being done.
        what: String,
        /// The library's own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Wraps an error of a library underneath.
    pub fn backend(what: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Backend { what: what.into(), source: source.into() }
    }

    /// Tells how to go on, where there is something to tell.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::MissingKey { hint, .. }
            | Self::WrongScale { hint, .. }
            | Self::BadValues { hint, .. }
            | Self::TooFew { hint, .. }
            | Self::InvalidFile { hint, .. }
            | Self::NonFiniteLoss { hint, .. } => Some(hint),
            Self::OutputExists { .. } => Some("choose another output, or add --force to replace it"),
            _ => None,
        }
    }

    /// True where the user's input or command is at fault (exit status 2), false for a failure (exit status 1).
    pub fn is_mistake(&self) -> bool {
        !matches!(self, Self::Backend { .. } | Self::Io { .. } | Self::NonFiniteLoss { .. })
    }
}

impl From<candle_core::Error> for Error {
    fn from(source: candle_core::Error) -> Self {
        Self::backend("tensor operation", source)
    }
}

/// Lists the first names of many, in backticks.
fn list(names: &[String], most: usize) -> String {
    let mut text = names.iter().take(most).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.is_empty() {
        text.push_str("none");
    }
    if names.len() > most {
        text.push_str(&format!(", and {} more", names.len() - most));
    }
    text
}

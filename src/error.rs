//! The one error type: its fields are the facts (what, where, how many, examples) and a hint tells how to go on.

use std::io::ErrorKind;
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
    /// The user or the system asked the program to stop.
    #[error("stopped by signal {signal} after step {step}")]
    Interrupted {
        /// The number of the signal.
        signal: u8,
        /// Training steps done.
        step: usize,
        /// How to go on.
        hint: String,
    },
    /// A stage that ran as a process of its own failed.
    #[error("stage `{stage}`: {reason}")]
    Stage {
        /// The stage.
        stage: String,
        /// What it said.
        reason: String,
        /// How to go on, as it said.
        hint: Option<String>,
        /// Its exit status; none if a signal ended it.
        status: Option<i32>,
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

    /// The message without its hint in one line, for tables and pages.
    pub fn line(&self) -> String {
        self.to_string().replace('\n', "; ")
    }

    /// Tells how to go on, where there is something to tell.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::MissingKey { hint, .. }
            | Self::WrongScale { hint, .. }
            | Self::BadValues { hint, .. }
            | Self::TooFew { hint, .. }
            | Self::InvalidFile { hint, .. }
            | Self::NonFiniteLoss { hint, .. }
            | Self::Interrupted { hint, .. } => Some(hint),
            Self::Stage { hint, .. } => hint.as_deref(),
            Self::OutputExists { .. } => Some("choose another output, or add --force to replace it"),
            Self::Io { source, .. } => io_hint(source.kind()),
            _ => None,
        }
    }

    /// True where the user's input or command is at fault (exit status 2), false for a failure (exit status 1).
    ///
    /// A path that does not exist, may not be used, or lies on a full disk is for the user to put right.
    pub fn is_mistake(&self) -> bool {
        match self {
            Self::Io { source, .. } => io_hint(source.kind()).is_some(),
            Self::Stage { status, .. } => *status == Some(2),
            Self::Backend { .. } | Self::NonFiniteLoss { .. } | Self::Interrupted { .. } => false,
            _ => true,
        }
    }
}

/// Refuses a setting, as the checks of all settings do.
///
/// # Errors
/// [`Error::InvalidParameter`], always.
pub fn refuse<T>(name: &str, value: impl ToString, reason: &str) -> Result<T> {
    Err(Error::InvalidParameter { name: name.into(), value: value.to_string(), reason: reason.into() })
}

/// Refuses sizes of zero.
///
/// # Errors
/// [`Error::InvalidParameter`], naming the first.
pub fn refuse_zero<'a>(sizes: impl IntoIterator<Item = (&'a str, usize)>) -> Result<()> {
    match sizes.into_iter().find(|(_, size)| *size == 0) {
        Some((name, _)) => refuse(name, 0, "it must be above zero"),
        None => Ok(()),
    }
}

/// Refuses settings below zero, and those that are not finite.
///
/// # Errors
/// [`Error::InvalidParameter`], naming the first.
pub fn refuse_below_zero<'a>(values: impl IntoIterator<Item = (&'a str, f64)>) -> Result<()> {
    match values.into_iter().find(|(_, value)| !(*value >= 0.0 && value.is_finite())) {
        Some((name, value)) => refuse(name, value, "it must be zero or above"),
        None => Ok(()),
    }
}

impl From<candle_core::Error> for Error {
    fn from(source: candle_core::Error) -> Self {
        Self::backend("tensor operation", source)
    }
}

/// Tells how to go on after the failures of reading and writing that the user can put right; `None` for all others.
fn io_hint(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::NotFound => "check the path: there is nothing of this name",
        ErrorKind::PermissionDenied => {
            "you may not read or write here: change the permissions, or choose another place"
        }
        ErrorKind::ReadOnlyFilesystem => "the disk is read-only: write to another place",
        ErrorKind::StorageFull => "the disk is full: free some space, or write to another place",
        ErrorKind::QuotaExceeded => "your share of the disk is used up: free some space, or write to another place",
        ErrorKind::FileTooLarge => "the disk or your limits do not allow files of this size: write to another place",
        ErrorKind::NotADirectory => "a part of the path is a file, not a folder: correct the path",
        ErrorKind::IsADirectory => "this is a folder: give the path of a file",
        ErrorKind::InvalidFilename => "this name is too long or holds characters that the disk does not allow",
        ErrorKind::WouldBlock => "another program has the file open for writing: wait for it, or close it there",
        _ => return None,
    })
}

/// The three of the known names that are most like one, the likest first.
pub(crate) fn nearest<S: AsRef<str>>(name: &str, known: impl IntoIterator<Item = S>) -> Vec<String> {
    let score = |known: S| (strsim::jaro_winkler(name, known.as_ref()), known.as_ref().to_owned());
    let mut scored: Vec<(f64, String)> = known.into_iter().map(score).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    scored.into_iter().take(3).map(|(_, known)| known).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likest_names_come_first_and_a_message_fits_in_one_line() {
        let near = nearest("drug B", ["aspirin", "drug A", "drug BB", "DMSO"]);
        assert_eq!((near.len(), near[0].as_str(), near[1].as_str()), (3, "drug BB", "drug A"));
        let error = Error::UnknownName {
            what: "component".into(),
            name: "drug B".into(),
            place: "the model".into(),
            nearest: near[..2].to_vec(),
        };
        assert_eq!(error.line(), "component `drug B` is unknown to the model; nearest names: `drug BB`, `drug A`");
    }

    #[test]
    fn a_full_disk_is_for_the_user_to_put_right_and_a_failing_one_is_not() {
        let io = |kind: ErrorKind| Error::Io { path: "x".into(), source: kind.into() };
        assert!(io(ErrorKind::StorageFull).is_mistake());
        assert!(io(ErrorKind::StorageFull).hint().unwrap().contains("full"));
        assert!(!io(ErrorKind::Other).is_mistake());
        assert_eq!(io(ErrorKind::Other).hint(), None);
        assert!(!Error::backend("x", "y").is_mistake());
    }
}

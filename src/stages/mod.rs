//! The verbs: each stage reads, calls, writes; no arithmetic lives here.

pub mod simulate;
pub mod import;
pub mod inspect;
pub mod split;
pub mod preprocess;
pub mod fit;
pub mod predict;
pub mod evaluate;
pub mod report;
pub mod steps;
pub mod run;
pub mod benchmark;
pub mod language;

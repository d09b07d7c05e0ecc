//! The verbs: each stage reads, calls, writes; no arithmetic lives here.

pub mod evaluate;
pub mod report;

//! The time that each step takes.

use std::time::Instant;

/// Steps that are over, and the one that runs.
pub(super) struct Laps {
    begun: Instant,
    over: Vec<(&'static str, f64)>,
}

impl Laps {
    /// The first step begins.
    pub(super) fn begin() -> Self {
        Self { begun: Instant::now(), over: Vec::new() }
    }

    /// A step of this name is over, and the next begins.
    pub(super) fn end(&mut self, step: &'static str) {
        self.over.push((step, self.begun.elapsed().as_secs_f64()));
        self.begun = Instant::now();
    }

    /// The seconds of each step.
    pub(super) fn seconds(self) -> Vec<(&'static str, f64)> {
        self.over
    }
}

//! Whether the effects of different conditions can be told apart: metrics that look at all conditions of a method at once.

pub mod profiles;
pub mod discrimination;
pub mod collapse;

pub use profiles::{Profile, score};

//! Conditional flows: from a source point to a cell, along a path, in steps of flow time.
//!
//! Flow time t runs from 0 (source) to 1 (cell); it has nothing to do with hours after a perturbation. A trajectory here is
//! one path of flow time and not a lineage; velocity is the flow's and not RNA velocity.

pub mod path;
pub mod coupling;
pub mod velocity;
pub mod ode;
pub mod sde;

pub use coupling::Coupling;
pub use ode::Solver;
pub use path::Path;
pub use velocity::{Points, Spread};

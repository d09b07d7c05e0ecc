//! Conditional flows: from a source point to a cell, along a path, in steps of flow time.
//!
//! Flow time t runs from 0 (source) to 1 (cell); it has nothing to do with hours after a perturbation. A trajectory here is
//! one path of flow time and not a lineage.

pub mod path;

pub use path::Path;

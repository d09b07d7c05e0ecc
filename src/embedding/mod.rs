//! embedding.

pub mod neighbors;
pub mod fuzzy;
pub mod leiden;
pub mod umap;

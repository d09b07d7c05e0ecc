//! embedding.

pub mod pca;
pub mod neighbors;
pub mod fuzzy;
pub mod leiden;
pub mod umap;

//! Cells in few dimensions: principal components, neighbours, clusters, maps.
//!
//! In: log-normalised expression, or points (n_cells, n_dims). Out: coordinates, graphs, labels. What is fitted is fitted to
//! the rows that it is given.

pub mod pca;
pub mod neighbors;
pub mod fuzzy;
pub mod leiden;
pub mod k_means;
pub mod umap;

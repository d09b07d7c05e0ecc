//! The noun of the house: cells, as an expression matrix with what is known of each cell and each gene.

mod annotations;
mod matrix;
mod value;

use std::collections::BTreeMap;

use ndarray::Array2;

pub use annotations::{Annotations, Column};
pub use matrix::{NOWHERE, SparseMatrix};
pub use value::Value;

/// Cells × genes with annotations: what an AnnData file holds, in memory.
///
/// **Shapes** `x` and every layer: (n_cells, n_genes); `obsm`: (n_cells, _); `varm`: (n_genes, _); `obsp`:
/// (n_cells, n_cells); `varp`: (n_genes, n_genes).
#[derive(Debug, Clone, Default)]
pub struct Cells {
    /// The main matrix; its scale (counts, or log1p of normalised counts) is the caller's to know and to record.
    pub x: SparseMatrix,
    /// Further matrices of the same shape, such as `counts`.
    pub layers: BTreeMap<String, SparseMatrix>,
    /// One row per cell.
    pub obs: Annotations,
    /// One row per gene.
    pub var: Annotations,
    /// Dense arrays with one row per cell, such as `X_pca`.
    pub obsm: BTreeMap<String, Array2<f32>>,
    /// Dense arrays with one row per gene, such as `PCs`.
    pub varm: BTreeMap<String, Array2<f32>>,
    /// Numbers for pairs of cells, such as `connectivities`.
    pub obsp: BTreeMap<String, SparseMatrix>,
    /// Numbers for pairs of genes.
    pub varp: BTreeMap<String, SparseMatrix>,
    /// Everything else.
    pub uns: BTreeMap<String, Value>,
}

impl Cells {
    /// Number of cells.
    pub fn n_cells(&self) -> usize {
        self.x.n_rows()
    }

    /// Number of genes.
    pub fn n_genes(&self) -> usize {
        self.x.n_columns()
    }

    /// Keeps the given cells, in the given order.
    pub fn select_cells(&self, rows: &[usize]) -> Self {
        Self {
            x: self.x.select_rows(rows),
            layers: self.layers.iter().map(|(name, layer)| (name.clone(), layer.select_rows(rows))).collect(),
            obs: self.obs.select(rows),
            var: self.var.clone(),
            obsm: self.obsm.iter().map(|(k, a)| (k.clone(), a.select(ndarray::Axis(0), rows))).collect(),
            varm: self.varm.clone(),
            obsp: self.obsp.iter().map(|(name, pairs)| (name.clone(), among(pairs, rows))).collect(),
            varp: self.varp.clone(),
            uns: self.uns.clone(),
        }
    }

    /// Keeps the given genes, in the given order.
    pub fn select_genes(&self, columns: &[usize]) -> Self {
        Self {
            x: self.x.select_columns(columns),
            layers: self.layers.iter().map(|(name, layer)| (name.clone(), layer.select_columns(columns))).collect(),
            obs: self.obs.clone(),
            var: self.var.select(columns),
            obsm: self.obsm.clone(),
            varm: self.varm.iter().map(|(k, a)| (k.clone(), a.select(ndarray::Axis(0), columns))).collect(),
            obsp: self.obsp.clone(),
            varp: self.varp.iter().map(|(name, pairs)| (name.clone(), among(pairs, columns))).collect(),
            uns: self.uns.clone(),
        }
    }
}

/// The pairs that are left of a matrix of all pairs.
fn among(pairs: &SparseMatrix, chosen: &[usize]) -> SparseMatrix {
    pairs.select_rows(chosen).select_columns(chosen)
}

//! Reading parts of a file: everything but the matrices, and some rows of a matrix.

use std::path::Path;

use super::source::Source;
use super::{dense, legacy, matrix, table, uns};
use crate::cells::{Cells, SparseMatrix};
use crate::{Error, Result};

/// An AnnData file of which only parts are read, so that it may be larger than the memory.
pub struct Partial {
    source: Source,
    shape: (usize, usize),
}

impl Partial {
    /// Opens a file, and reads all of it but the matrices: the cells' `x` is empty, there are no layers, and of `obsm`
    /// there are the named arrays alone.
    ///
    /// # Errors
    /// As [`super::read()`].
    pub fn open(path: &Path, obsm: &[&str]) -> Result<(Self, Cells)> {
        let source = Source::open(path)?;
        let (obs, var) = (table::read(&source, "obs")?, table::read(&source, "var")?);
        let shape = (obs.index.len(), var.index.len());
        let mut cells = Cells { obs, var, ..Cells::default() };
        cells.obsm = dense::read_arrays(&source, "obsm", shape.0, |name| obsm.contains(&name))?;
        cells.varm = dense::read_arrays(&source, "varm", shape.1, |_| true)?;
        cells.uns = uns::read(&source)?;
        legacy::join_categories(&source, [("obs", &mut cells.obs), ("var", &mut cells.var)], &mut cells.uns)?;
        Ok((Self { source, shape }, cells))
    }

    /// Some cells of a layer; `rows` rise. Of a matrix in compressed rows, only the surroundings of these are read.
    ///
    /// # Errors
    /// [`Error::MissingKey`] if there is no such layer; as [`super::read()`].
    pub fn layer_rows(&self, name: &str, rows: &[usize]) -> Result<SparseMatrix> {
        let slot = format!("layers/{name}");
        let layer = match self.source.group("layers")? {
            Some(layers) if layers.link_exists(name) => {
                matrix::read_rows(&self.source, &layers, name, &slot, self.shape, rows)?
            }
            _ => None,
        };
        layer.ok_or_else(|| Error::MissingKey {
            place: self.source.path.display().to_string(),
            key: format!("layers[\"{name}\"]"),
            hint: "make this file with `scflow preprocess`".into(),
        })
    }
}

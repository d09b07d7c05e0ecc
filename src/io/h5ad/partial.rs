//! Reading parts of a file: everything but the matrices, and these by rows.

use std::path::Path;

use super::matrix::Matrix;
use super::source::Source;
use super::{dense, legacy, read, table, uns};
use crate::cells::{Cells, SparseMatrix};
use crate::{Error, Result};

/// An AnnData file of which only parts are read, so that it may be larger than the memory.
pub struct Partial {
    pub(super) source: Source,
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

    /// What was left out or changed so far: one note per slot.
    pub fn notes(&self) -> Vec<String> {
        self.source.notes()
    }

    /// The names of the layers.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if they cannot be read.
    pub fn layers(&self) -> Result<Vec<String>> {
        match self.source.group("layers")? {
            Some(layers) => self.source.members(&layers, "layers"),
            None => Ok(Vec::new()),
        }
    }

    /// `X`, or the layer that is named.
    ///
    /// # Errors
    /// [`Error::MissingKey`] if there is no `X`, [`Error::UnknownName`] if there is no such layer; as [`super::read()`].
    pub fn matrix(&self, layer: Option<&str>) -> Result<Matrix<'_>> {
        let Some(name) = layer else {
            let x = match self.source.file.link_exists("X") {
                true => Matrix::open(&self.source, &self.source.file, "X", "X", self.shape)?,
                false => None,
            };
            return x.ok_or_else(|| read::missing_x(&self.source));
        };
        let unknown = || -> Result<Error> {
            Ok(Error::UnknownName {
                what: "layer".into(),
                name: name.to_owned(),
                place: "the file".into(),
                nearest: self.layers()?,
            })
        };
        match self.source.group("layers")? {
            Some(layers) if layers.link_exists(name) => {
                let matrix = Matrix::open(&self.source, &layers, name, &format!("layers/{name}"), self.shape)?;
                matrix.map_or_else(|| Err(unknown()?), Ok)
            }
            _ => Err(unknown()?),
        }
    }

    /// Some cells of a layer; `rows` rise. Of a matrix in compressed rows, only the surroundings of these are read.
    ///
    /// # Errors
    /// [`Error::MissingKey`] if there is no such layer; as [`super::read()`].
    pub fn layer_rows(&self, name: &str, rows: &[usize]) -> Result<SparseMatrix> {
        if !self.layers()?.iter().any(|layer| layer == name) {
            return Err(Error::MissingKey {
                place: self.source.path.display().to_string(),
                key: format!("layers[\"{name}\"]"),
                hint: "make this file with `scflow preprocess`".into(),
            });
        }
        self.matrix(Some(name))?.select(rows)
    }
}

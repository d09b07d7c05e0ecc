//! Reading a whole file.

use std::collections::BTreeMap;
use std::path::Path;

use super::matrix::Matrix;
use super::source::Source;
use super::{dense, legacy, table, uns};
use crate::cells::{Cells, SparseMatrix};
use crate::{Error, Result};

/// Reads a file.
///
/// # Errors
/// [`Error::Io`] if it is absent or may not be read; [`Error::InvalidFile`], [`Error::BadValues`] or
/// [`Error::ShapeMismatch`] if it is no AnnData file or a broken one; [`Error::MissingKey`] if it has no `X`.
pub fn read(path: &Path) -> Result<Cells> {
    read_noting(path).map(|(cells, _)| cells)
}

/// Reads a file, and tells what in it was left out or changed: one note per slot.
///
/// # Errors
/// As [`read`].
pub fn read_noting(path: &Path) -> Result<(Cells, Vec<String>)> {
    let source = Source::open(path)?;
    let mut cells = Cells { obs: table::read(&source, "obs")?, var: table::read(&source, "var")?, ..Cells::default() };
    let shape = (cells.obs.index.len(), cells.var.index.len());
    if !source.file.link_exists("X") {
        return Err(missing_x(&source));
    }
    let x = Matrix::open(&source, &source.file, "X", "X", shape)?;
    cells.x = x.ok_or_else(|| missing_x(&source))?.read()?;
    cells.layers = read_matrices(&source, "layers", shape)?;
    for (name, n, pairs) in [("obsp", shape.0, &mut cells.obsp), ("varp", shape.1, &mut cells.varp)] {
        *pairs = read_matrices(&source, name, (n, n))?;
    }
    cells.obsm = dense::read_arrays(&source, "obsm", shape.0, |_| true)?;
    cells.varm = dense::read_arrays(&source, "varm", shape.1, |_| true)?;
    cells.uns = uns::read(&source)?;
    legacy::join_categories(&source, [("obs", &mut cells.obs), ("var", &mut cells.var)], &mut cells.uns)?;
    note_rest(&source)?;
    Ok((cells, source.into_notes()))
}

/// The matrices of a group of the root: key → matrix.
fn read_matrices(source: &Source, name: &str, shape: (usize, usize)) -> Result<BTreeMap<String, SparseMatrix>> {
    let mut matrices = BTreeMap::new();
    let Some(group) = source.group(name)? else { return Ok(matrices) };
    for key in source.members(&group, name)? {
        let slot = format!("{name}/{key}");
        if let Some(matrix) = Matrix::open(source, &group, &key, &slot, shape)? {
            let matrix = matrix.read()?;
            matrices.insert(key, matrix);
        }
    }
    Ok(matrices)
}

pub(super) fn missing_x(source: &Source) -> Error {
    let has_raw = source.file.link_exists("raw") || source.file.link_exists("raw.X");
    let hint = if has_raw {
        "only `raw` holds a matrix: in Python, `adata.raw.to_adata().write_h5ad(…)` makes it the `X`"
    } else {
        "fill `X` in Python, for example `adata.X = adata.layers[\"counts\"]`, and save the file again"
    };
    Error::MissingKey { place: format!("{}", source.path.display()), key: "X".into(), hint: hint.into() }
}

/// Notes what else the file holds.
fn note_rest(source: &Source) -> Result<()> {
    for name in source.members(&source.file, "/")? {
        match name.as_str() {
            "X" | "layers" | "obs" | "var" | "obsm" | "varm" | "obsp" | "varp" | "uns" => {}
            "raw" | "raw.X" | "raw.var" | "raw.varm" | "raw.cat" => source.note(&name, "is left out"),
            _ => source.note(&name, "is no part of an AnnData file; left out"),
        }
    }
    Ok(())
}

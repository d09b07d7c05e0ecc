//! Writing a file of cells that come block by block, without ever holding all of them.

use std::path::Path;

use hdf5::types::VarLenUnicode;

use super::append::Appender;
use super::target::{self, Target};
use super::write;
use crate::cells::{Cells, Column, SparseMatrix};
use crate::error::refuse;
use crate::{Error, Result};

/// Writes a file of `n_cells` cells, in place of whatever is at `path`; the same blocks give the same bytes.
///
/// `outline` holds no cells, but everything else: the genes, `varm`, `varp`, `uns`, and the names and kinds of layers, of arrays
/// and of columns, with their categories. Each block holds the next cells, and no genes' annotations. All sparse matrices
/// have indices of 32 bits unless a full matrix of this size would need more.
///
/// # Errors
/// Those of the blocks; [`Error::InvalidParameter`] for an outline with `obsp`; [`Error::ShapeMismatch`] if a block is not like the outline, or if there are more or fewer cells;
/// [`Error::Io`] if the disk is full or read-only. No file is left then.
pub fn write_blocks(
    path: &Path,
    outline: &Cells,
    n_cells: usize,
    blocks: impl IntoIterator<Item = Result<Cells>>,
) -> Result<()> {
    write::check(outline)?;
    if let Some(name) = outline.obsp.keys().next() {
        return refuse("obsp", name, "numbers for pairs of cells cannot be written block by block");
    }
    target::create(path, |root| {
        let mut open = Open::new(root, outline, n_cells)?;
        let mut n_written = 0;
        for block in blocks {
            let block = block?;
            check_like(&block, outline)?;
            n_written += block.obs.index.len();
            if n_written > n_cells {
                break;
            }
            open.append(root, &block)?;
        }
        same("cells in all blocks", n_cells, n_written)?;
        open.finish(root)
    })
}

/// A file that is being filled.
struct Open {
    matrices: Vec<Rows>,
    index: Appender<VarLenUnicode>,
    columns: Vec<Values>,
    arrays: Vec<Appender<f32>>,
}

impl Open {
    /// Writes all that is known beforehand.
    fn new(root: &Target, outline: &Cells, n_cells: usize) -> Result<Self> {
        let shape = (n_cells, outline.var.index.len());
        root.root_encoding()?;
        let mut matrices = vec![Rows::new(root, "X", shape)?];
        let layers = root.group("layers", "dict", "0.1.0")?;
        for name in outline.layers.keys() {
            matrices.push(Rows::new(&layers, name, shape)?);
        }
        let (obs, index_name) = write::table_group(root, "obs", &outline.obs)?;
        let index = Appender::texts(&obs, &index_name, n_cells)?;
        let column = |(name, column): &(String, Column)| {
            write::column_place(&obs, name, |place, name| Values::new(place, name, column, n_cells))
        };
        let columns = outline.obs.columns.iter().map(column).collect::<Result<_>>()?;
        write::table(root, "var", &outline.var)?;
        let obsm = root.group("obsm", "dict", "0.1.0")?;
        let array =
            |(name, array): (&String, &ndarray::Array2<f32>)| Appender::array(&obsm, name, (n_cells, array.ncols()));
        let arrays = outline.obsm.iter().map(array).collect::<Result<_>>()?;
        let varm = root.group("varm", "dict", "0.1.0")?;
        for (name, array) in &outline.varm {
            write::dense(&varm, name, array)?;
        }
        root.group("obsp", "dict", "0.1.0")?;
        let varp = root.group("varp", "dict", "0.1.0")?;
        outline.varp.iter().try_for_each(|(name, matrix)| write::sparse(&varp, name, matrix))?;
        write::mapping(root, "uns", &outline.uns)?;
        Ok(Self { matrices, index, columns, arrays })
    }

    fn append(&mut self, root: &Target, block: &Cells) -> Result<()> {
        for (rows, matrix) in self.matrices.iter_mut().zip(std::iter::once(&block.x).chain(block.layers.values())) {
            rows.append(root, matrix)?;
        }
        self.index.append(root, &target::texts("obs", &block.obs.index)?)?;
        for (values, (_, column)) in self.columns.iter_mut().zip(&block.obs.columns) {
            values.append(root, column)?;
        }
        for (appender, array) in self.arrays.iter_mut().zip(block.obsm.values()) {
            appender.append(root, array.as_standard_layout().as_slice().unwrap_or_default())?;
        }
        Ok(())
    }

    fn finish(self, root: &Target) -> Result<()> {
        self.matrices.into_iter().try_for_each(|rows| rows.finish(root))?;
        self.index.finish(root)?;
        self.columns.into_iter().try_for_each(|values| values.finish(root))?;
        self.arrays.into_iter().try_for_each(|appender| appender.finish(root))
    }
}

/// A matrix in compressed sparse rows that is being filled.
struct Rows {
    data: Appender<f32>,
    indices: Appender<u32>,
    offsets: Appender<u64>,
    n_stored: u64,
}

impl Rows {
    fn new(parent: &Target, name: &str, (n_rows, n_columns): (usize, usize)) -> Result<Self> {
        let group = parent.group(name, "csr_matrix", "0.1.0")?;
        group.list_attribute("shape", &[n_rows as i64, n_columns as i64])?;
        let data = Appender::list::<f32>(&group, "data", None, None)?;
        // How many values will be stored is not known; scipy wants both arrays of the same width.
        let most = n_rows.checked_mul(n_columns).and_then(|most| i32::try_from(most).ok());
        let (indices, mut offsets) = match most.is_some() && i32::try_from(n_columns).is_ok() {
            true => (
                Appender::list::<i32>(&group, "indices", None, None)?,
                Appender::list::<i32>(&group, "indptr", Some(n_rows + 1), None)?,
            ),
            false => (
                Appender::list::<i64>(&group, "indices", None, None)?,
                Appender::list::<i64>(&group, "indptr", Some(n_rows + 1), None)?,
            ),
        };
        offsets.append(&group, &[0])?;
        Ok(Self { data, indices, offsets, n_stored: 0 })
    }

    fn append(&mut self, root: &Target, matrix: &SparseMatrix) -> Result<()> {
        self.data.append(root, matrix.values())?;
        self.indices.append(root, matrix.indices())?;
        let ends: Vec<u64> = matrix.indptr().iter().skip(1).map(|&end| self.n_stored + end as u64).collect();
        self.n_stored += matrix.n_stored() as u64;
        self.offsets.append(root, &ends)
    }

    fn finish(self, root: &Target) -> Result<()> {
        self.data.finish(root)?;
        self.indices.finish(root)?;
        self.offsets.finish(root)
    }
}

/// A column of `obs` that is being filled.
enum Values {
    Texts(Appender<VarLenUnicode>),
    Floats(Appender<f64>),
    Integers(Appender<i64>),
    Booleans(Appender<bool>),
    Codes(Appender<i32>),
    /// Values and mask.
    NullableIntegers(Appender<i64>, Appender<bool>),
    NullableBooleans(Appender<bool>, Appender<bool>),
}

impl Values {
    fn new(place: &Target, name: &str, column: &Column, n_rows: usize) -> Result<Self> {
        let (length, encoding) = (Some(n_rows), Some(("array", "0.2.0")));
        Ok(match column {
            Column::Text(_) => Self::Texts(Appender::texts(place, name, n_rows)?),
            Column::Float(_) => Self::Floats(Appender::list::<f64>(place, name, length, encoding)?),
            Column::Integer(_) => Self::Integers(Appender::list::<i64>(place, name, length, encoding)?),
            Column::Boolean(_) => Self::Booleans(Appender::list::<bool>(place, name, length, encoding)?),
            Column::NullableInteger(_) => {
                let group = place.group(name, "nullable-integer", "0.1.0")?;
                Self::NullableIntegers(
                    Appender::list::<i64>(&group, "values", length, encoding)?,
                    Appender::list::<bool>(&group, "mask", length, encoding)?,
                )
            }
            Column::NullableBoolean(_) => {
                let group = place.group(name, "nullable-boolean", "0.1.0")?;
                Self::NullableBooleans(
                    Appender::list::<bool>(&group, "values", length, encoding)?,
                    Appender::list::<bool>(&group, "mask", length, encoding)?,
                )
            }
            Column::Categorical { categories, ordered, .. } => {
                let group = write::categorical_group(place, name, categories, *ordered)?;
                Self::Codes(match categories.len() {
                    0..=127 => Appender::list::<i8>(&group, "codes", length, encoding)?,
                    128..=32767 => Appender::list::<i16>(&group, "codes", length, encoding)?,
                    _ => Appender::list::<i32>(&group, "codes", length, encoding)?,
                })
            }
        })
    }

    fn append(&mut self, root: &Target, column: &Column) -> Result<()> {
        match (self, column) {
            (Self::Texts(appender), Column::Text(values)) => appender.append(root, &target::texts("obs", values)?),
            (Self::Floats(appender), Column::Float(values)) => appender.append(root, values),
            (Self::Integers(appender), Column::Integer(values)) => appender.append(root, values),
            (Self::Booleans(appender), Column::Boolean(values)) => appender.append(root, values),
            (Self::Codes(appender), Column::Categorical { codes, .. }) => appender.append(root, codes),
            (Self::NullableIntegers(known, missing), Column::NullableInteger(values)) => {
                let (values, mask) = write::masked(values);
                known.append(root, &values)?;
                missing.append(root, &mask)
            }
            (Self::NullableBooleans(known, missing), Column::NullableBoolean(values)) => {
                let (values, mask) = write::masked(values);
                known.append(root, &values)?;
                missing.append(root, &mask)
            }
            _ => Err(unlike("kind of a column", "that of the outline".into(), "another".into())),
        }
    }

    fn finish(self, root: &Target) -> Result<()> {
        match self {
            Self::Texts(appender) => appender.finish(root),
            Self::Floats(appender) => appender.finish(root),
            Self::Integers(appender) => appender.finish(root),
            Self::Booleans(appender) => appender.finish(root),
            Self::Codes(appender) => appender.finish(root),
            Self::NullableIntegers(known, missing) => {
                known.finish(root)?;
                missing.finish(root)
            }
            Self::NullableBooleans(known, missing) => {
                known.finish(root)?;
                missing.finish(root)
            }
        }
    }
}

/// Makes sure that a block has what the outline announces, in the right shapes.
fn check_like(block: &Cells, outline: &Cells) -> Result<()> {
    let (n_cells, n_genes) = (block.obs.index.len(), outline.var.index.len());
    same("columns of obs", outline.obs.names(), block.obs.names())?;
    same("layers", outline.layers.keys().collect::<Vec<_>>(), block.layers.keys().collect())?;
    same("arrays in obsm", outline.obsm.keys().collect::<Vec<_>>(), block.obsm.keys().collect())?;
    for matrix in std::iter::once(&block.x).chain(block.layers.values()) {
        same("cells and genes of a matrix", (n_cells, n_genes), (matrix.n_rows(), matrix.n_columns()))?;
    }
    for (array, expected) in block.obsm.values().zip(outline.obsm.values()) {
        same("shape of an array in obsm", (n_cells, expected.ncols()), array.dim())?;
    }
    for ((name, column), (_, expected)) in block.obs.columns.iter().zip(&outline.obs.columns) {
        same(&format!("length of obs/{name}"), n_cells, column.len())?;
        same(&format!("categories of obs/{name}"), categories(expected), categories(column))?;
    }
    write::check_table("obs", &block.obs)
}

fn categories(column: &Column) -> Option<&[String]> {
    match column {
        Column::Categorical { categories, .. } => Some(categories),
        _ => None,
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: T, got: T) -> Result<()> {
    if expected == got { Ok(()) } else { Err(unlike(what, format!("{expected:?}"), format!("{got:?}"))) }
}

fn unlike(what: &str, expected: String, got: String) -> Error {
    Error::ShapeMismatch { what: format!("writing blocks of cells: {what}"), expected, got }
}

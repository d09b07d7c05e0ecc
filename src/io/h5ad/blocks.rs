//! Writing a file of cells that come block by block, without ever holding all of them.

use std::path::Path;

use super::packed::{Layout, Packed};
use super::rows::{self, Rows};
use super::target::{self, Target};
use super::texts::Texts;
use super::write;
use crate::cells::{Cells, Column};
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
    index: Texts,
    columns: Vec<Values>,
    arrays: Vec<Packed>,
}

impl Open {
    /// Writes all that is known beforehand.
    fn new(root: &Target, outline: &Cells, n_cells: usize) -> Result<Self> {
        let shape = (n_cells, outline.var.index.len());
        root.root_encoding()?;
        // How many values will be stored is not known.
        let matrix = |place, name| Rows::new(&[(place, name)], shape, None, rows::may_be_wide(shape));
        let mut matrices = vec![matrix(root, "X")?];
        let layers = root.group("layers", "dict", "0.1.0")?;
        for name in outline.layers.keys() {
            matrices.push(matrix(&layers, name)?);
        }
        let (obs, index_name) = write::table_group(root, "obs", &outline.obs)?;
        let index = Texts::new(&obs, &index_name, n_cells)?;
        let column = |(name, column): &(String, Column)| {
            write::column_place(&obs, name, |place, name| Values::new(place, name, column, n_cells))
        };
        let columns = outline.obs.columns.iter().map(column).collect::<Result<_>>()?;
        write::table(root, "var", &outline.var)?;
        let obsm = root.group("obsm", "dict", "0.1.0")?;
        let array = |(name, array): (&String, &ndarray::Array2<f32>)| {
            let encoding = Some(("array", "0.2.0"));
            let layout = Layout { n_rows: Some(n_cells), width: Some(array.ncols()), shuffles: true, encoding };
            Packed::new::<f32>(&[(&obsm, name)], &layout)
        };
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
            rows.append(root, &[matrix])?;
        }
        self.index.append(root, &block.obs.index)?;
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

/// A column of `obs` that is being filled.
enum Values {
    Texts(Texts),
    Numbers(Packed),
    /// Codes, and how many categories there are.
    Codes(Packed, usize),
    /// Values and mask.
    NullableIntegers(Packed, Packed),
    NullableBooleans(Packed, Packed),
}

impl Values {
    fn new(place: &Target, name: &str, column: &Column, n_rows: usize) -> Result<Self> {
        let numbers = Layout { n_rows: Some(n_rows), width: None, shuffles: true, encoding: Some(("array", "0.2.0")) };
        Ok(match column {
            Column::Text(_) => Self::Texts(Texts::new(place, name, n_rows)?),
            Column::Float(_) => Self::Numbers(Packed::new::<f64>(&[(place, name)], &numbers)?),
            Column::Integer(_) => Self::Numbers(Packed::new::<i64>(&[(place, name)], &numbers)?),
            Column::Boolean(_) => Self::Numbers(Packed::new::<bool>(&[(place, name)], &numbers)?),
            Column::NullableInteger(_) => {
                let group = place.group(name, "nullable-integer", "0.1.0")?;
                Self::NullableIntegers(
                    Packed::new::<i64>(&[(&group, "values")], &numbers)?,
                    Packed::new::<bool>(&[(&group, "mask")], &numbers)?,
                )
            }
            Column::NullableBoolean(_) => {
                let group = place.group(name, "nullable-boolean", "0.1.0")?;
                Self::NullableBooleans(
                    Packed::new::<bool>(&[(&group, "values")], &numbers)?,
                    Packed::new::<bool>(&[(&group, "mask")], &numbers)?,
                )
            }
            Column::Categorical { categories, ordered, .. } => {
                let group = write::categorical_group(place, name, categories, *ordered)?;
                let codes = match categories.len() {
                    0..=127 => Packed::new::<i8>(&[(&group, "codes")], &numbers)?,
                    128..=32767 => Packed::new::<i16>(&[(&group, "codes")], &numbers)?,
                    _ => Packed::new::<i32>(&[(&group, "codes")], &numbers)?,
                };
                Self::Codes(codes, categories.len())
            }
        })
    }

    fn append(&mut self, root: &Target, column: &Column) -> Result<()> {
        match (self, column) {
            (Self::Texts(texts), Column::Text(values)) => texts.append(root, values),
            (Self::Numbers(numbers), Column::Float(values)) => numbers.append(root, values),
            (Self::Numbers(numbers), Column::Integer(values)) => numbers.append(root, values),
            (Self::Numbers(numbers), Column::Boolean(values)) => numbers.append(root, values),
            (Self::Codes(numbers, n_categories), Column::Categorical { codes, .. }) => match n_categories {
                0..=127 => numbers.append(root, &write::narrow(codes, |code| code as i8)),
                128..=32767 => numbers.append(root, &write::narrow(codes, |code| code as i16)),
                _ => numbers.append(root, codes),
            },
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
            Self::Texts(texts) => texts.finish(root),
            Self::Numbers(numbers) | Self::Codes(numbers, _) => numbers.finish(root),
            Self::NullableIntegers(known, missing) | Self::NullableBooleans(known, missing) => {
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
        if std::mem::discriminant(column) != std::mem::discriminant(expected) {
            return Err(unlike(
                &format!("kind of a column, obs/{name}"),
                "that of the outline".into(),
                "another".into(),
            ));
        }
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

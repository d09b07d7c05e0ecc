//! Writing a whole file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytemuck::NoUninit;
use hdf5::H5Type;
use ndarray::Array2;

use super::rows::Rows;
use super::target::{self, Target};
use crate::cells::{Annotations, Cells, Column, SparseMatrix, Value};
use crate::{Error, Result};

/// Writes a file, in place of whatever is at `path`; the same cells give the same bytes.
///
/// A column of `obs` or `var` whose name holds a `/` is written as anndata does it, in a group of its own; other names
/// with a `/` are refused.
///
/// # Errors
/// [`Error::ShapeMismatch`], [`Error::BadValues`] or [`Error::InvalidParameter`] if the cells cannot be written as they
/// are (nothing is written then); [`Error::Io`] if the disk is full or read-only.
pub fn write(path: &Path, cells: &Cells) -> Result<()> {
    check(cells)?;
    target::create(path, |root| fill(root, cells))
}

fn fill(root: &Target, cells: &Cells) -> Result<()> {
    root.root_encoding()?;
    sparse(root, "X", &cells.x)?;
    let layers = root.group("layers", "dict", "0.1.0")?;
    cells.layers.iter().try_for_each(|(key, matrix)| sparse(&layers, key, matrix))?;
    annotations(root, cells)
}

/// Everything but the matrices of cells and genes.
pub(super) fn annotations(root: &Target, cells: &Cells) -> Result<()> {
    for (name, matrices) in [("obsp", &cells.obsp), ("varp", &cells.varp)] {
        let group = root.group(name, "dict", "0.1.0")?;
        matrices.iter().try_for_each(|(key, matrix)| sparse(&group, key, matrix))?;
    }
    table(root, "obs", &cells.obs)?;
    table(root, "var", &cells.var)?;
    for (name, arrays) in [("obsm", &cells.obsm), ("varm", &cells.varm)] {
        let group = root.group(name, "dict", "0.1.0")?;
        for (key, array) in arrays {
            dense(&group, key, array)?;
        }
    }
    mapping(root, "uns", &cells.uns)
}

/// Compressed sparse rows: both index arrays in 32 bits where they fit, else both in 64, as scipy wants them.
pub(super) fn sparse(parent: &Target, name: &str, matrix: &SparseMatrix) -> Result<()> {
    let fits = i32::try_from(matrix.n_stored()).is_ok() && i32::try_from(matrix.n_columns()).is_ok();
    let shape = (matrix.n_rows(), matrix.n_columns());
    let mut rows = Rows::new(&[(parent, name)], shape, Some(matrix.n_stored()), !fits)?;
    rows.append(parent, &[matrix])?;
    rows.finish(parent)
}

pub(super) fn dense(parent: &Target, name: &str, array: &Array2<f32>) -> Result<()> {
    let array = array.as_standard_layout();
    parent.array(name, array.as_slice().unwrap_or_default(), array.shape())
}

pub(super) fn table(root: &Target, name: &str, annotations: &Annotations) -> Result<()> {
    let (group, index_name) = table_group(root, name, annotations)?;
    group.texts(&index_name, &annotations.index)?;
    for (name, column) in &annotations.columns {
        column_place(&group, name, |place, name| write_column(place, name, column))?;
    }
    Ok(())
}

/// The group of a table with its attributes, and the name of its index.
pub(super) fn table_group<'a>(
    root: &Target<'a>,
    name: &str,
    annotations: &Annotations,
) -> Result<(Target<'a>, String)> {
    let group = root.group(name, "dataframe", "0.2.0")?;
    let index_name = index_name(annotations);
    group.text_attribute("_index", &index_name)?;
    let names = target::texts(&group.name_of("column-order"), &annotations.names())?;
    group.list_attribute("column-order", &names)?;
    Ok((group, index_name))
}

/// Lets `write` make a column where it belongs: one whose name holds a `/` lies in a group of its own.
pub(super) fn column_place<T>(group: &Target, name: &str, write: impl FnOnce(&Target, &str) -> Result<T>) -> Result<T> {
    let Some((parents, last)) = name.rsplit_once('/') else { return write(group, name) };
    let mut parents = parents.split('/');
    let first = group.plain_group(parents.next().unwrap_or_default())?;
    let parent = parents.try_fold(first, |group, part| group.plain_group(part))?;
    write(&parent, last)
}

/// `_index`, as anndata calls it, unless a column has that name.
fn index_name(annotations: &Annotations) -> String {
    let mut name = "_index".to_owned();
    let is_taken = |name: &str| annotations.names().iter().any(|column| column.split('/').next() == Some(name));
    while is_taken(&name) {
        name.insert(0, '_');
    }
    name
}

fn write_column(group: &Target, name: &str, column: &Column) -> Result<()> {
    match column {
        Column::Text(values) => group.texts(name, values),
        Column::Float(values) => group.array(name, values, &[values.len()]),
        Column::Integer(values) => group.array(name, values, &[values.len()]),
        Column::Boolean(values) => group.array(name, values, &[values.len()]),
        Column::NullableInteger(values) => {
            let group = group.group(name, "nullable-integer", "0.1.0")?;
            write_masked(&group, values)
        }
        Column::NullableBoolean(values) => {
            let group = group.group(name, "nullable-boolean", "0.1.0")?;
            write_masked(&group, values)
        }
        Column::Categorical { codes, categories, ordered } => {
            let group = categorical_group(group, name, categories, *ordered)?;
            // The width that pandas would choose.
            match categories.len() {
                0..=127 => group.array("codes", &narrow(codes, |code| code as i8), &[codes.len()]),
                128..=32767 => group.array("codes", &narrow(codes, |code| code as i16), &[codes.len()]),
                _ => group.array("codes", codes, &[codes.len()]),
            }
        }
    }
}

/// The values of a column with a mask; the value of a missing one is of no account.
fn write_masked<T: H5Type + NoUninit + Default>(group: &Target, values: &[Option<T>]) -> Result<()> {
    let (known, mask) = masked(values);
    group.array("values", &known, &[values.len()])?;
    group.array("mask", &mask, &[values.len()])
}

/// Values with anything in the place of the missing ones, and where these are.
pub(super) fn masked<T: Copy + Default>(values: &[Option<T>]) -> (Vec<T>, Vec<bool>) {
    (values.iter().map(|value| value.unwrap_or_default()).collect(), values.iter().map(Option::is_none).collect())
}

pub(super) fn narrow<T>(codes: &[i32], narrow: impl Fn(i32) -> T) -> Vec<T> {
    codes.iter().map(|&code| narrow(code)).collect()
}

/// The group of a categorical column with its categories.
pub(super) fn categorical_group<'a>(
    parent: &Target<'a>,
    name: &str,
    categories: &[String],
    ordered: bool,
) -> Result<Target<'a>> {
    let group = parent.group(name, "categorical", "0.2.0")?;
    group.attribute("ordered", &ordered)?;
    group.texts("categories", categories)?;
    Ok(group)
}

pub(super) fn mapping(parent: &Target, name: &str, map: &BTreeMap<String, Value>) -> Result<()> {
    let group = parent.group(name, "dict", "0.1.0")?;
    for (key, value) in map {
        match value {
            Value::Text(text) => group.text(key, text)?,
            Value::Float(value) => group.scalar(key, *value)?,
            Value::Integer(value) => group.scalar(key, *value)?,
            Value::Boolean(value) => group.scalar(key, *value)?,
            Value::Texts(values) => group.texts(key, values)?,
            Value::Floats(values) => group.array(key, values, &[values.len()])?,
            Value::Integers(values) => group.array(key, values, &[values.len()])?,
            Value::Booleans(values) => group.array(key, values, &[values.len()])?,
            Value::Map(inner) => mapping(&group, key, inner)?,
        }
    }
    Ok(())
}

/// Makes sure, before anything is written, that the cells can be written.
pub(super) fn check(cells: &Cells) -> Result<()> {
    let (n_cells, n_genes) = (cells.obs.index.len(), cells.var.index.len());
    fits("X".into(), &cells.x, (n_cells, n_genes), (n_cells, n_genes))?;
    check_annotations(cells)
}

/// [`check`] for everything but `X`.
pub(super) fn check_annotations(cells: &Cells) -> Result<()> {
    let (n_cells, n_genes) = (cells.obs.index.len(), cells.var.index.len());
    let slots = [
        ("layers", &cells.layers, (n_cells, n_genes)),
        ("obsp", &cells.obsp, (n_cells, n_cells)),
        ("varp", &cells.varp, (n_genes, n_genes)),
    ];
    for (slot, matrices, needed) in slots {
        for (name, matrix) in matrices {
            check_key(slot, name)?;
            fits(format!("{slot}/{name}"), matrix, needed, (n_cells, n_genes))?;
        }
    }
    for (slot, arrays, n_rows) in [("obsm", &cells.obsm, n_cells), ("varm", &cells.varm, n_genes)] {
        for (name, array) in arrays {
            check_key(slot, name)?;
            check_rows(format!("{slot}/{name}"), n_rows, array.nrows())?;
        }
    }
    check_table("obs", &cells.obs)?;
    check_table("var", &cells.var)?;
    check_mapping("uns", &cells.uns)
}

fn fits(what: String, matrix: &SparseMatrix, needed: (usize, usize), (n_cells, n_genes): (usize, usize)) -> Result<()> {
    let found = (matrix.n_rows(), matrix.n_columns());
    if found == needed {
        return Ok(());
    }
    let expected = format!("{} × {}, with {n_cells} rows of obs and {n_genes} of var", needed.0, needed.1);
    Err(Error::ShapeMismatch { what, expected, got: format!("{} × {}", found.0, found.1) })
}

fn check_rows(what: String, expected: usize, got: usize) -> Result<()> {
    if expected == got {
        return Ok(());
    }
    Err(Error::ShapeMismatch { what, expected: format!("{expected} rows"), got: format!("{got} rows") })
}

pub(super) fn check_table(table: &str, annotations: &Annotations) -> Result<()> {
    let mut seen = BTreeSet::new();
    for (name, column) in &annotations.columns {
        name.split('/').try_for_each(|part| check_key(table, part).map_err(|_| bad_key(table, name)))?;
        if !seen.insert(name.as_str()) {
            return Err(Error::InvalidParameter {
                name: format!("column of {table}"),
                value: name.clone(),
                reason: "there are two columns of this name".into(),
            });
        }
        check_rows(format!("{table}/{name}"), annotations.index.len(), column.len())?;
        if let Column::Categorical { codes, categories, .. } = column {
            check_categories(table, name, codes, categories)?;
        }
    }
    // `a` and `a/b` cannot both be columns: the one is an array, the other needs a group of that name.
    let parents = |name: &str| name.match_indices('/').map(|(at, _)| name[..at].to_owned()).collect::<Vec<_>>();
    let clash = seen.iter().flat_map(|name| parents(name)).find(|parent| seen.contains(parent.as_str()));
    match clash {
        Some(name) => Err(Error::InvalidParameter {
            name: format!("column of {table}"),
            value: name,
            reason: "another column's name begins with this name and a `/`; rename one of them".into(),
        }),
        None => Ok(()),
    }
}

fn check_categories(table: &str, name: &str, codes: &[i32], categories: &[String]) -> Result<()> {
    let bad = |problem: &str, n_bad, n_total, examples| {
        Err(Error::BadValues {
            place: format!("{table}/{name}"),
            problem: problem.into(),
            n_bad,
            n_total,
            examples,
            hint: "every category once, and codes from −1 to the number of categories − 1".into(),
        })
    };
    let mut seen = BTreeSet::new();
    let twice: Vec<&String> = categories.iter().filter(|category| !seen.insert(category.as_str())).collect();
    if !twice.is_empty() {
        return bad(
            "categories given twice",
            twice.len(),
            categories.len(),
            twice.into_iter().take(3).cloned().collect(),
        );
    }
    let wrong: Vec<i32> =
        codes.iter().copied().filter(|&code| code < -1 || i64::from(code) >= categories.len() as i64).collect();
    if !wrong.is_empty() {
        let examples = wrong.iter().take(3).map(i32::to_string).collect();
        return bad("codes without a category", wrong.len(), codes.len(), examples);
    }
    Ok(())
}

fn check_mapping(slot: &str, map: &BTreeMap<String, Value>) -> Result<()> {
    for (key, value) in map {
        check_key(slot, key)?;
        if let Value::Map(inner) = value {
            check_mapping(&format!("{slot}/{key}"), inner)?;
        }
    }
    Ok(())
}

/// Makes sure that a name can stand in an HDF5 file.
fn check_key(slot: &str, key: &str) -> Result<()> {
    if key.is_empty() || key == "." || key.contains(['/', '\0']) { Err(bad_key(slot, key)) } else { Ok(()) }
}

fn bad_key(slot: &str, key: &str) -> Error {
    Error::InvalidParameter {
        name: format!("name in {slot}"),
        value: key.to_owned(),
        reason: "an AnnData file cannot hold a name that is empty, is `.`, or holds a `/` or a NUL character".into(),
    }
}

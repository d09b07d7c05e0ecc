//! `obs` and `var`: groups with one member per column (anndata ≥ 0.7).

use hdf5::{Group, LocationType};

use super::raw::{self, Elements};
use super::source::Source;
use super::{attributes, legacy};
use crate::cells::{Annotations, Column};
use crate::{Error, Result};

/// Reads `obs` or `var`.
///
/// # Errors
/// [`Error::InvalidFile`] if the table is broken, [`Error::ShapeMismatch`] if a column differs in length.
pub(super) fn read(source: &Source, name: &str) -> Result<Annotations> {
    match source.kind(&source.file, name, name) {
        Some(LocationType::Group) => {
            let group = source.file.group(name).map_err(source.hdf5(name))?;
            read_group(source, &group, name)
        }
        Some(LocationType::Dataset) => legacy::table(source, name),
        _ => Err(source.damaged(name, "is not a table")),
    }
}

/// The number of rows of `obs` or `var`, read from its index alone.
///
/// # Errors
/// [`Error::InvalidFile`] if it is no table.
pub(super) fn length(source: &Source, name: &str) -> Result<usize> {
    match source.kind(&source.file, name, name) {
        Some(LocationType::Group) => {
            let group = source.file.group(name).map_err(source.hdf5(name))?;
            let index = index_name(source, &group, name)?;
            member_length(source, &group, &index, &format!("{name}/{index}"))
        }
        Some(LocationType::Dataset) => member_length(source, &source.file, name, name),
        _ => Err(source.damaged(name, "is not a table")),
    }
}

/// The length of a column.
pub(super) fn member_length(source: &Source, group: &Group, name: &str, slot: &str) -> Result<usize> {
    let dataset = match source.kind(group, name, slot) {
        Some(LocationType::Dataset) => group.dataset(name),
        // Texts with a mask, or categories.
        Some(LocationType::Group) if group.link_exists(&format!("{name}/codes")) => {
            group.dataset(&format!("{name}/codes"))
        }
        Some(LocationType::Group) => group.dataset(&format!("{name}/values")),
        _ => return Err(source.damaged(slot, "is not there, and tells how many rows there are")),
    };
    let shape = dataset.and_then(|dataset| dataset.get_shape()).map_err(source.hdf5(slot))?;
    shape.first().copied().ok_or_else(|| source.damaged(slot, "is a single value and no list"))
}

/// The name of the column that is the index.
pub(super) fn index_name(source: &Source, group: &Group, table: &str) -> Result<String> {
    match attributes::text(source, table, group, "_index")? {
        Some(name) => Ok(name),
        None => ["_index", "index"]
            .into_iter()
            .find(|name| group.link_exists(name))
            .map(str::to_owned)
            .ok_or_else(|| source.damaged(table, "does not say which column is its index")),
    }
}

/// The names of the columns, in their order.
pub(super) fn column_names(source: &Source, group: &Group, table: &str, index_name: &str) -> Result<Vec<String>> {
    Ok(match attributes::texts(source, table, group, "column-order")? {
        Some(columns) => columns,
        None => {
            let members = source.members(group, table)?.into_iter();
            members.filter(|name| name != index_name && name != "__categories").collect()
        }
    })
}

fn read_group(source: &Source, group: &Group, table: &str) -> Result<Annotations> {
    let members = source.members(group, table)?;
    let index_name = index_name(source, group, table)?;
    let slot = format!("{table}/{index_name}");
    let index = column(source, group, table, &index_name)?
        .ok_or_else(|| source.damaged(&slot, "is the index of the table and cannot be read"))?;
    let index = index_texts(source, &slot, &index)?;
    if !matches!(index_name.as_str(), "_index" | "index") {
        source.note(&slot, &format!("is the index of `{table}`; its name is not kept"));
    }
    let columns = column_names(source, group, table, &index_name)?;
    let mut annotations = Annotations::new(index);
    for name in &columns {
        let slot = format!("{table}/{name}");
        if !group.link_exists(name) {
            return Err(source.damaged(&slot, "is listed in `column-order` but is not there"));
        }
        if annotations.get(name).is_some() {
            return Err(source.damaged(&slot, "is listed twice in `column-order`"));
        }
        let Some(column) = column(source, group, table, name)? else {
            continue;
        };
        if column.len() != annotations.index.len() {
            return Err(Error::ShapeMismatch {
                what: format!("`{}`: `{slot}`", source.path.display()),
                expected: format!("{} rows, as many as the index has", annotations.index.len()),
                got: format!("{} rows", column.len()),
            });
        }
        annotations.columns.push((name.clone(), column));
    }
    for name in &members {
        // A column whose name holds a `/` lies in a group of its own.
        let is_listed = columns.iter().any(|column| column == name || column.starts_with(&format!("{name}/")));
        if !is_listed && *name != index_name && name != "__categories" {
            source.note(&format!("{table}/{name}"), "is not listed in `column-order`; left out");
        }
    }
    Ok(annotations)
}

/// The names in an index; numbers become text.
pub(super) fn index_texts(source: &Source, slot: &str, index: &Column) -> Result<Vec<String>> {
    if !matches!(index, Column::Text(_) | Column::Categorical { .. }) {
        source.note(slot, "is an index of numbers; they are kept as text");
    }
    let texts = index.texts();
    let n_total = texts.len();
    let missing: Vec<usize> = (0..n_total).filter(|&row| texts[row].is_none()).collect();
    if missing.is_empty() {
        return Ok(texts.into_iter().flatten().collect());
    }
    Err(Error::BadValues {
        place: format!("{}: {slot}", source.path.display()),
        problem: "missing names".into(),
        n_bad: missing.len(),
        n_total,
        examples: missing.iter().take(3).map(|row| format!("row {row}")).collect(),
        hint: "give every cell and every gene a name".into(),
    })
}

/// Reads one column; `None`, with a note, if its kind has no counterpart here.
fn column(source: &Source, group: &Group, table: &str, name: &str) -> Result<Option<Column>> {
    let slot = format!("{table}/{name}");
    match source.kind(group, name, &slot) {
        Some(LocationType::Dataset) => {
            let dataset = group.dataset(name).map_err(source.hdf5(&slot))?;
            if dataset.get_shape().map_err(source.hdf5(&slot))?.len() != 1 {
                source.note(&slot, "has not one value per row; left out");
                return Ok(None);
            }
            let Some(values) = raw::elements(source, &slot, &dataset)? else {
                return Ok(None);
            };
            // anndata 0.7: the categories lie beside the columns, and an attribute points to them.
            if dataset.attr_names().map_err(source.hdf5(&slot))?.iter().any(|attribute| attribute == "categories") {
                let categories = group
                    .dataset(&format!("__categories/{name}"))
                    .map_err(|_| source.damaged(&slot, "is categorical, but its categories are not there"))?;
                let ordered = attributes::is_true(source, &slot, &categories, "ordered")?;
                let place = format!("{table}/__categories/{name}");
                let Some(categories) = raw::elements(source, &place, &categories)? else {
                    return Ok(None);
                };
                return categorical(source, &slot, values, categories, ordered).map(Some);
            }
            Ok(Some(plain(values)))
        }
        Some(LocationType::Group) => {
            let column = group.group(name).map_err(source.hdf5(&slot))?;
            encoded(source, &column, &slot)
        }
        _ => {
            source.note(&slot, "is neither a data set nor a group; left out");
            Ok(None)
        }
    }
}

/// A column without missing values.
pub(super) fn plain(values: Elements) -> Column {
    match values {
        Elements::Texts(values) => Column::Text(values),
        Elements::Floats(values) => Column::Float(values),
        Elements::Integers(values) => Column::Integer(values),
        Elements::Booleans(values) => Column::Boolean(values),
    }
}

/// A column that is a group: categorical, or values with a mask.
fn encoded(source: &Source, group: &Group, slot: &str) -> Result<Option<Column>> {
    let part = |name: &str| {
        let place = format!("{slot}/{name}");
        let dataset = group.dataset(name).map_err(|_| source.damaged(&place, "is missing or is not a data set"))?;
        raw::elements(source, &place, &dataset)
    };
    let encoding = attributes::encoding(source, slot, group)?;
    match encoding.as_str() {
        "categorical" => {
            let (Some(codes), Some(categories)) = (part("codes")?, masked_texts(source, group, slot, "categories")?)
            else {
                return Ok(None);
            };
            let ordered = attributes::is_true(source, slot, group, "ordered")?;
            categorical(source, slot, codes, categories, ordered).map(Some)
        }
        "nullable-integer" | "nullable-boolean" | "nullable-string-array" | "nullable-float" => {
            let (Some(values), Some(mask)) = (part("values")?, part("mask")?) else {
                return Ok(None);
            };
            let Elements::Booleans(mask) = mask else {
                return Err(source.damaged(slot, "has a mask that does not consist of booleans"));
            };
            if mask.len() != values.len() {
                return Err(source.damaged(slot, format!("has {} values but a mask of {}", values.len(), mask.len())));
            }
            Ok(Some(masked(source, slot, values, &mask)))
        }
        _ => {
            source.note(slot, &format!("has the encoding `{encoding}`, which is not understood; left out"));
            Ok(None)
        }
    }
}

/// The categories: an array, or (anndata ≥ 0.12) an array with a mask in which nothing is missing.
fn masked_texts(source: &Source, group: &Group, slot: &str, name: &str) -> Result<Option<Elements>> {
    let place = format!("{slot}/{name}");
    if source.kind(group, name, &place) == Some(LocationType::Group) {
        let missing = || source.damaged(&place, "holds missing categories");
        let inner = group.group(name).map_err(source.hdf5(&place))?;
        let column = encoded(source, &inner, &place)?;
        return match column {
            Some(Column::Text(values)) => Ok(Some(Elements::Texts(values))),
            Some(Column::Float(values)) => Ok(Some(Elements::Floats(values))),
            Some(Column::NullableInteger(values)) => {
                values.into_iter().collect::<Option<_>>().map(Elements::Integers).ok_or_else(missing).map(Some)
            }
            Some(Column::NullableBoolean(values)) => {
                values.into_iter().collect::<Option<_>>().map(Elements::Booleans).ok_or_else(missing).map(Some)
            }
            Some(_) => Err(missing()),
            None => Ok(None),
        };
    }
    let dataset = group.dataset(name).map_err(|_| source.damaged(&place, "is missing or is not a data set"))?;
    raw::elements(source, &place, &dataset)
}

/// A column with a mask, which keeps its missing values: NaN among floating-point numbers, code −1 among texts.
fn masked(source: &Source, slot: &str, values: Elements, mask: &[bool]) -> Column {
    fn known<T>(values: Vec<T>, mask: &[bool]) -> Vec<Option<T>> {
        values.into_iter().zip(mask).map(|(value, &gone)| (!gone).then_some(value)).collect()
    }
    match values {
        // Such a column stays one without a missing value: in Python it has another type than a plain one.
        Elements::Integers(values) => Column::NullableInteger(known(values, mask)),
        Elements::Booleans(values) => Column::NullableBoolean(known(values, mask)),
        values if !mask.contains(&true) => plain(values),
        Elements::Floats(values) => {
            Column::Float(values.iter().zip(mask).map(|(&value, &gone)| if gone { f64::NAN } else { value }).collect())
        }
        Elements::Texts(texts) => {
            source.note(slot, "holds texts with missing values; read as categorical");
            let present: Vec<&String> =
                texts.iter().zip(mask).filter(|(_, gone)| !**gone).map(|(text, _)| text).collect();
            let Column::Categorical { codes, categories, ordered } = Column::categorical(&present) else {
                return Column::Text(texts);
            };
            let mut codes = codes.into_iter();
            let codes = mask.iter().map(|&gone| if gone { -1 } else { codes.next().unwrap_or(-1) }).collect();
            Column::Categorical { codes, categories, ordered }
        }
    }
}

/// Codes and categories made into a column.
pub(super) fn categorical(
    source: &Source,
    slot: &str,
    codes: Elements,
    categories: Elements,
    ordered: bool,
) -> Result<Column> {
    let Elements::Integers(codes) = codes else {
        return Err(source.damaged(slot, "has category codes that are not whole numbers"));
    };
    if !matches!(categories, Elements::Texts(_)) {
        source.note(slot, "has categories that are not text; they are kept as text");
    }
    let categories = categories.into_texts();
    let is_bad = |code: i64| code < -1 || code >= categories.len() as i64;
    let bad: Vec<usize> = (0..codes.len()).filter(|&row| is_bad(codes[row])).collect();
    if !bad.is_empty() {
        return Err(Error::BadValues {
            place: format!("{}: {slot}", source.path.display()),
            problem: format!("codes outside the {} categories", categories.len()),
            n_bad: bad.len(),
            n_total: codes.len(),
            examples: bad.iter().take(3).map(|&row| format!("{} in row {row}", codes[row])).collect(),
            hint: "the file is damaged; make or download it again".into(),
        });
    }
    Ok(Column::Categorical { codes: codes.into_iter().map(|code| code as i32).collect(), categories, ordered })
}

//! Tables that are groups with one member per column.

use hdf5::types::VarLenUnicode;
use hdf5::{Group, LocationType};

use super::{Axis, Carrier, FREE};
use crate::Result;
use crate::io::h5ad::source::Source;
use crate::io::h5ad::target::{self, Target};
use crate::io::h5ad::{attributes, table, write};

/// The number of rows.
pub(super) fn length(source: &Source, group: &Group, slot: &str) -> Result<usize> {
    let index = table::index_name(source, group, slot)?;
    table::member_length(source, group, &index, &format!("{slot}/{index}"))
}

/// A whole table.
pub(super) fn carry(carrier: &Carrier, group: &Group, to: &Target, name: &str, slot: &str, axis: Axis) -> Result<bool> {
    let source = carrier.source;
    let n_rows = length(source, group, slot)?;
    carrier.check_axis(slot, axis, n_rows)?;
    let axis = Axis { length: Some(n_rows), ..axis };
    let index = table::index_name(source, group, slot)?;
    let to = to.group(name, "dataframe", "0.2.0")?;
    to.text_attribute("_index", &index)?;
    if !column(carrier, group, &index, &to, axis)? {
        return Err(source.damaged(&format!("{slot}/{index}"), "is the index of the table and cannot be read"));
    }
    let mut order = Vec::new();
    for name in table::column_names(source, group, slot, &index)? {
        if group.link_exists(&name) && name != index && column(carrier, group, &name, &to, axis)? {
            order.push(name);
        }
    }
    let order = target::texts(&to.name_of("column-order"), &order)?;
    to.list_attribute("column-order", &order)?;
    Ok(true)
}

/// The columns that a table of the target lacks; they stand before those that it has.
pub(super) fn add(carrier: &Carrier, group: &Group, table: &str, to: &Target, axis: Axis) -> Result<()> {
    let source = carrier.source;
    let index = table::index_name(source, group, table)?;
    let mut added = Vec::new();
    for name in table::column_names(source, group, table, &index)? {
        let is_there = group.link_exists(&name) && carrier.wants(to, &name);
        if is_there && name != index && !clashes(to, &name) && column(carrier, group, &name, to, axis)? {
            added.push(name);
        }
    }
    if added.is_empty() {
        return Ok(());
    }
    let order = to.group.attr("column-order").and_then(|attribute| attribute.read_raw::<VarLenUnicode>());
    let mut added = target::texts(&to.name_of("column-order"), &added)?;
    added.extend(order.map_err(to.hdf5(&to.slot))?);
    to.group.delete_attr("column-order").map_err(to.hdf5(&to.slot))?;
    to.list_attribute("column-order", &added)
}

/// True where a column of the target stands where a group around another one must be.
fn clashes(to: &Target, name: &str) -> bool {
    name.match_indices('/').any(|(at, _)| to.group.dataset(&name[..at]).is_ok())
}

/// One column; false, with a note, if it cannot come along.
fn column(carrier: &Carrier, group: &Group, name: &str, to: &Target, axis: Axis) -> Result<bool> {
    let (source, slot) = (carrier.source, to.name_of(name));
    let is_data_set = source.kind(group, name, &slot) == Some(LocationType::Dataset);
    if is_data_set {
        let dataset = group.dataset(name).map_err(source.hdf5(&slot))?;
        if dataset.get_shape().map_err(source.hdf5(&slot))?.len() != 1 {
            source.note(&slot, "has not one value per row; left out");
            return Ok(false);
        }
        // anndata 0.7: the categories lie beside the columns, and an attribute points to them.
        if dataset.attr_names().map_err(source.hdf5(&slot))?.iter().any(|attribute| attribute == "categories") {
            let beside = format!("__categories/{name}");
            let categories = group
                .dataset(&beside)
                .map_err(|_| source.damaged(&slot, "is categorical, but its categories are not there"))?;
            let ordered = attributes::is_true(source, &slot, &categories, "ordered")?;
            return write::column_place(to, name, |place, last| {
                let column = place.group(last, "categorical", "0.2.0")?;
                column.attribute("ordered", &ordered)?;
                // A list of texts, even if it is one text.
                let all = Axis { length: Some(categories.size()), kept: None };
                Ok(carrier.element(group, &beside, &column, "categories", [all, FREE], 0)?
                    && carrier.element(group, name, &column, "codes", [axis, FREE], 0)?)
            });
        }
    }
    write::column_place(to, name, |place, last| carrier.element(group, name, place, last, [axis, FREE], 0))
}

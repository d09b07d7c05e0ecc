//! `uns`: nested mappings of scalars and lists.

use std::collections::BTreeMap;

use hdf5::{Group, LocationType};

use super::attributes;
use super::raw::{self, Elements};
use super::source::Source;
use crate::Result;
use crate::cells::Value;

/// Deeper than this, a mapping is left out: links can make a group its own descendant.
const MOST_DEPTH: usize = 16;

/// Reads `uns`; what has no counterpart here is left out with a note.
///
/// # Errors
/// [`crate::Error::InvalidFile`] if something in it cannot be read.
pub(super) fn read(source: &Source) -> Result<BTreeMap<String, Value>> {
    match source.group("uns")? {
        Some(group) => mapping(source, &group, "uns", 0),
        None => Ok(BTreeMap::new()),
    }
}

fn mapping(source: &Source, group: &Group, slot: &str, depth: usize) -> Result<BTreeMap<String, Value>> {
    let mut map = BTreeMap::new();
    for name in source.members(group, slot)? {
        let slot = format!("{slot}/{name}");
        let value = match source.kind(group, &name, &slot) {
            Some(LocationType::Dataset) => {
                let dataset = group.dataset(&name).map_err(source.hdf5(&slot))?;
                value(source, &dataset, &slot)?
            }
            Some(LocationType::Group) => {
                let inner = group.group(&name).map_err(source.hdf5(&slot))?;
                let encoding = attributes::encoding(source, &slot, &inner)?;
                let is_sparse = inner.attr_names().map_err(source.hdf5(&slot))?.iter().any(|a| a == "h5sparse_format");
                if !matches!(encoding.as_str(), "" | "dict") || is_sparse {
                    let encoding = if is_sparse { "sparse matrix" } else { &encoding };
                    source.note(&slot, &format!("has the encoding `{encoding}`, which is not kept in `uns`; left out"));
                    None
                } else if depth == MOST_DEPTH {
                    source.note(&slot, &format!("is nested more than {MOST_DEPTH} deep; left out"));
                    None
                } else {
                    Some(Value::Map(mapping(source, &inner, &slot, depth + 1)?))
                }
            }
            Some(LocationType::NamedDatatype) => {
                source.note(&slot, "is a data type; left out");
                None
            }
            _ => None,
        };
        if let Some(value) = value {
            map.insert(name, value);
        }
    }
    Ok(map)
}

/// A scalar or a list.
fn value(source: &Source, dataset: &hdf5::Dataset, slot: &str) -> Result<Option<Value>> {
    let rank = dataset.get_shape().map_err(source.hdf5(slot))?.len();
    if rank > 1 {
        source.note(slot, &format!("is an array of {rank} dimensions, which is not kept in `uns`; left out"));
        return Ok(None);
    }
    let Some(elements) = raw::elements(source, slot, dataset)? else {
        return Ok(None);
    };
    Ok(if rank == 1 {
        Some(match elements {
            Elements::Texts(values) => Value::Texts(values),
            Elements::Floats(values) => Value::Floats(values),
            Elements::Integers(values) => Value::Integers(values),
            Elements::Booleans(values) => Value::Booleans(values),
        })
    } else {
        match elements {
            Elements::Texts(values) => values.into_iter().next().map(Value::Text),
            Elements::Floats(values) => values.first().copied().map(Value::Float),
            Elements::Integers(values) => values.first().copied().map(Value::Integer),
            Elements::Booleans(values) => values.first().copied().map(Value::Boolean),
        }
    })
}

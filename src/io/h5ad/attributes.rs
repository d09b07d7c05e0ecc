//! The attributes by which AnnData marks what a group or data set is.

use hdf5::Location;

use super::raw::{self, Elements};
use super::source::Source;
use crate::Result;

/// The attribute's elements; `None` if there is no such attribute.
fn elements(source: &Source, slot: &str, place: &Location, name: &str) -> Result<Option<Elements>> {
    // The library cannot tell an absent attribute from an unreadable one; the list of names can.
    if !place.attr_names().map_err(source.hdf5(slot))?.iter().any(|found| found == name) {
        return Ok(None);
    }
    let attribute = place.attr(name).map_err(source.hdf5(slot))?;
    raw::elements(source, &format!("{slot}@{name}"), &attribute)
}

/// A text; `None` if it is absent.
pub(super) fn text(source: &Source, slot: &str, place: &Location, name: &str) -> Result<Option<String>> {
    match elements(source, slot, place, name)? {
        Some(Elements::Texts(texts)) if texts.len() == 1 => Ok(texts.into_iter().next()),
        Some(_) => Err(source.damaged(slot, format!("has an attribute `{name}` that is not a text"))),
        None => Ok(None),
    }
}

/// A list of texts; `None` if it is absent. An empty list may have any type.
pub(super) fn texts(source: &Source, slot: &str, place: &Location, name: &str) -> Result<Option<Vec<String>>> {
    match elements(source, slot, place, name)? {
        Some(Elements::Texts(texts)) => Ok(Some(texts)),
        Some(other) if other.len() == 0 => Ok(Some(Vec::new())),
        Some(_) => Err(source.damaged(slot, format!("has an attribute `{name}` that is not a list of texts"))),
        None => Ok(None),
    }
}

/// A pair of sizes; `None` if it is absent.
pub(super) fn shape(source: &Source, slot: &str, place: &Location, name: &str) -> Result<Option<(usize, usize)>> {
    let Some(elements) = elements(source, slot, place, name)? else {
        return Ok(None);
    };
    if let Elements::Integers(sizes) = &elements
        && let [rows, columns] = sizes[..]
        && let (Ok(rows), Ok(columns)) = (usize::try_from(rows), usize::try_from(columns))
    {
        return Ok(Some((rows, columns)));
    }
    Err(source.damaged(slot, format!("has an attribute `{name}` that is not a shape")))
}

/// True where the attribute is there and true.
pub(super) fn is_true(source: &Source, slot: &str, place: &Location, name: &str) -> Result<bool> {
    Ok(match elements(source, slot, place, name)? {
        Some(Elements::Booleans(values)) => values.first() == Some(&true),
        Some(Elements::Integers(values)) => values.first().is_some_and(|&value| value != 0),
        _ => false,
    })
}

/// What kind of element this is, by its attribute `encoding-type`; empty before anndata 0.7.
pub(super) fn encoding(source: &Source, slot: &str, place: &Location) -> Result<String> {
    Ok(text(source, slot, place, "encoding-type")?.unwrap_or_default())
}

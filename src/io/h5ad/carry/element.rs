//! One element: copied as it is where it can be, else taken apart by its encoding.

use hdf5::{Dataset, Group, LocationType};

use super::rows::{self, Plain};
use super::{Axes, Axis, Carrier, FREE, columns, encoding_of, mapping, sparse};
use crate::Result;
use crate::io::h5ad::raw::{self, Elements};
use crate::io::h5ad::target::Target;

impl Carrier<'_> {
    /// Carries over the element `name` of a group under another or the same name; false, with a note, if it cannot come
    /// along.
    pub(super) fn element(
        &self,
        from: &Group,
        name: &str,
        to: &Target,
        as_name: &str,
        axes: Axes,
        depth: usize,
    ) -> Result<bool> {
        let (source, slot) = (self.source, to.name_of(as_name));
        // What the reader said of it holds no longer; what is left out now is noted anew.
        source.forget(&slot);
        Ok(match source.kind(from, name, &slot) {
            Some(LocationType::Dataset) => {
                let dataset = from.dataset(name).map_err(source.hdf5(&slot))?;
                self.data_set(&dataset, to, as_name, &slot, axes)?
            }
            Some(LocationType::Group) => {
                let group = from.group(name).map_err(source.hdf5(&slot))?;
                self.group(&group, to, as_name, &slot, axes, depth)?
            }
            Some(LocationType::NamedDatatype) => {
                source.note(&slot, "is a data type; left out");
                false
            }
            _ => false,
        })
    }

    fn data_set(&self, dataset: &Dataset, to: &Target, name: &str, slot: &str, axes: Axes) -> Result<bool> {
        let source = self.source;
        let shape = dataset.get_shape().map_err(source.hdf5(slot))?;
        let axes = self.fitting(slot, axes, &shape)?;
        let (encoding, is_old) = encoding_of(source, slot, dataset)?;
        let is_cut = axes.iter().any(|axis| axis.kept.is_some());
        let plain = Plain::of(source, slot, dataset)?;
        if plain == (Plain::Text { is_fixed: false }) {
            raw::check_lengths(source, slot, dataset, dataset.size())?;
        }
        let is_empty = dataset.space().map_err(source.hdf5(slot))?.is_null();
        if !is_cut && (!is_old || is_empty || plain == Plain::No) {
            self.copy(dataset, to, name, slot)?;
            return Ok(true);
        }
        if matches!(plain, Plain::Text { .. }) && shape.len() <= 1 {
            return self.texts(dataset, to, name, slot, &shape, axes[0]);
        }
        if plain == Plain::No {
            source.note(slot, "has elements of a kind that cannot be cut to the kept cells and genes; left out");
            return Ok(false);
        }
        let encoding = match (encoding.as_str(), plain) {
            ("", Plain::Records | Plain::Pointers) => "rec-array",
            ("", Plain::Text { .. }) => "string-array",
            ("", _) if shape.is_empty() => "numeric-scalar",
            ("", _) => "array",
            (known, _) => known,
        };
        // A copy would do for what is not cut, but an attribute that is added to it may store the time.
        match shape.is_empty() {
            true => rows::single(source, dataset, to, name, slot)?,
            false => rows::cut(source, dataset, to, name, slot, &shape, axes.map(|axis| axis.kept))?,
        }
        let cut = to.group.dataset(name).map_err(to.hdf5(slot))?;
        to.encoding(&cut, slot, encoding, "0.2.0")?;
        Ok(true)
    }

    /// Texts, written as a list of texts; a list of one text of fixed length was how a single one was written once.
    fn texts(
        &self,
        dataset: &Dataset,
        to: &Target,
        name: &str,
        slot: &str,
        shape: &[usize],
        axis: Axis,
    ) -> Result<bool> {
        let source = self.source;
        let Some(Elements::Texts(texts)) = raw::elements(source, slot, dataset)? else { return Ok(false) };
        let is_fixed = matches!(Plain::of(source, slot, dataset)?, Plain::Text { is_fixed: true });
        let is_single = shape.is_empty() || (is_fixed && texts.len() == 1 && axis.length.is_none());
        match (texts.first(), axis.kept) {
            (Some(text), _) if is_single => to.text(name, text)?,
            (_, None) => to.texts(name, &texts)?,
            (_, Some(kept)) => {
                to.texts(name, &kept.iter().map(|&row| texts[row].clone()).collect::<Vec<_>>())?;
            }
        }
        Ok(true)
    }

    /// The axes of an array once it is known to fit them. Before anndata 0.7, a matrix of one column or one row lost a
    /// dimension; its axes change places then.
    fn fitting<'a>(&self, slot: &str, axes: Axes<'a>, shape: &[usize]) -> Result<Axes<'a>> {
        if let (&[n], [Some(n_rows), Some(n_columns)]) = (shape, axes.map(|axis| axis.length)) {
            if n_rows == 1 && n_columns == n {
                return Ok([axes[1], FREE]);
            }
            if n_columns == 1 && n_rows == n {
                return Ok([axes[0], FREE]);
            }
        }
        for (place, axis) in axes.into_iter().enumerate().filter(|(_, axis)| axis.length.is_some()) {
            let Some(&found) = shape.get(place) else {
                let reason = format!("has the shape {shape:?}, which is not one of an array along cells or genes");
                return Err(self.source.damaged(slot, reason));
            };
            self.check_axis(slot, axis, found)?;
        }
        Ok(axes)
    }

    fn group(&self, group: &Group, to: &Target, name: &str, slot: &str, axes: Axes, depth: usize) -> Result<bool> {
        let source = self.source;
        let (encoding, is_old) = encoding_of(source, slot, group)?;
        let is_cut = axes.iter().any(|axis| axis.kept.is_some());
        let has_old_format =
            group.attr_names().map_err(source.hdf5(slot))?.iter().any(|name| name == "h5sparse_format");
        match encoding.as_str() {
            "csr_matrix" | "csc_matrix" => sparse::carry(self, group, to, name, slot, axes),
            "" if has_old_format => sparse::carry(self, group, to, name, slot, axes),
            "" | "dict" if axes.iter().all(|axis| axis.length.is_none()) => {
                if depth >= mapping::MOST_DEPTH {
                    source.note(slot, &format!("is nested more than {} deep; left out", mapping::MOST_DEPTH));
                    return Ok(false);
                }
                let to = to.group(name, "dict", "0.1.0")?;
                for key in source.members(group, slot)? {
                    self.member(group, &key, &to, [FREE, FREE], depth + 1)?;
                }
                Ok(true)
            }
            "dataframe" if is_old || is_cut => columns::carry(self, group, to, name, slot, axes[0]),
            "categorical" if is_cut => {
                let to = to.group(name, "categorical", "0.2.0")?;
                to.attribute("ordered", &super::attributes::is_true(source, slot, group, "ordered")?)?;
                self.parts(group, &to, slot, &[("categories", FREE), ("codes", axes[0])])
            }
            "nullable-integer" | "nullable-boolean" | "nullable-string-array" if is_cut => {
                let to = to.group(name, &encoding, "0.1.0")?;
                self.parts(group, &to, slot, &[("values", axes[0]), ("mask", axes[0])])
            }
            _ if !is_cut => {
                if encoding == "dataframe" {
                    self.check_axis(slot, axes[0], columns::length(source, group, slot)?)?;
                }
                self.check_sound(group, slot, 0)?;
                self.copy(group, to, name, slot)?;
                Ok(true)
            }
            _ => {
                let reason = "cannot be cut to the kept cells and genes";
                source.note(slot, &format!("has the encoding `{encoding}`, which {reason}; left out"));
                Ok(false)
            }
        }
    }

    /// The members that an encoding demands.
    fn parts(&self, group: &Group, to: &Target, slot: &str, parts: &[(&str, Axis)]) -> Result<bool> {
        for (part, axis) in parts {
            let is_carried = group.link_exists(part) && self.element(group, part, to, part, [*axis, FREE], 0)?;
            if !is_carried {
                return Err(self.source.damaged(&format!("{slot}/{part}"), "is missing or cannot be read"));
            }
        }
        Ok(true)
    }
}

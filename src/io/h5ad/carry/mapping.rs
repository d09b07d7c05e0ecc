//! Mappings: `uns` with its nested keys, and slots of before anndata 0.8 that do not say that they are mappings.

use hdf5::{Group, LocationType};

use super::{Axis, Carrier, FREE};
use crate::Result;
use crate::io::h5ad::target::Target;

/// Deeper than this, a mapping stays behind: links can make a group its own descendant.
pub(super) const MOST_DEPTH: usize = 16;

/// A mapping in the target, made if it is not there yet.
pub(super) fn open<'a>(parent: &Target<'a>, name: &str) -> Result<Target<'a>> {
    match parent.group.link_exists(name) {
        true => parent.plain_group(name),
        false => parent.group(name, "dict", "0.1.0"),
    }
}

impl Carrier<'_> {
    /// `uns`, merged with what the target has of it.
    pub(super) fn uns(&self, root: &Target, cells: Axis) -> Result<()> {
        let source = self.source;
        let Some(uns) = source.group("uns")? else { return Ok(()) };
        let to = open(root, "uns")?;
        for key in source.members(&uns, "uns")? {
            if self.are_joined(root, &key) {
                continue;
            }
            // Before anndata 0.7, the neighbours of cells lay here.
            if key == "neighbors" && source.kind(&uns, &key, "uns/neighbors") == Some(LocationType::Group) {
                self.neighbors(&uns, &to, cells)?;
            }
            self.entry(&uns, &key, &to, 0)?;
        }
        Ok(())
    }

    /// Matrices of pairs of cells among the entries of `neighbors`, cut like those of `obsp`.
    fn neighbors(&self, uns: &Group, to: &Target, cells: Axis) -> Result<()> {
        let source = self.source;
        let neighbors = uns.group("neighbors").map_err(source.hdf5("uns/neighbors"))?;
        let is_free = !to.group.link_exists("neighbors")
            || to.group.loc_type_by_name("neighbors").ok() == Some(LocationType::Group);
        if cells.kept.is_none() || !is_free || !self.wants_inside(to, "neighbors") {
            return Ok(());
        }
        for name in ["connectivities", "distances"] {
            let slot = format!("uns/neighbors/{name}");
            if neighbors.link_exists(name) && source.kind(&neighbors, name, &slot) == Some(LocationType::Group) {
                let to = open(to, "neighbors")?;
                self.member(&neighbors, name, &to, [cells, cells], 1)?;
            }
        }
        Ok(())
    }

    /// True unless a slot is to stay behind.
    fn wants_inside(&self, to: &Target, name: &str) -> bool {
        !self.kept.except.contains(&to.name_of(name).as_str())
    }

    /// The entries of a mapping that the target lacks.
    pub(super) fn entries(&self, from: &Group, name: &str, to: &Target, depth: usize) -> Result<()> {
        let source = self.source;
        let group = from.group(name).map_err(source.hdf5(&to.slot))?;
        for key in source.members(&group, &to.slot)? {
            self.entry(&group, &key, to, depth)?;
        }
        Ok(())
    }

    /// An entry that the target lacks, or what it lacks of a mapping that both have.
    fn entry(&self, from: &Group, key: &str, to: &Target, depth: usize) -> Result<()> {
        let source = self.source;
        let slot = to.name_of(key);
        if !to.group.link_exists(key) {
            return self.member(from, key, to, [FREE, FREE], depth);
        }
        let is_mapping = |group: &Group| {
            group.loc_type_by_name(key).ok() == Some(LocationType::Group)
                && group.group(key).is_ok_and(|inner| {
                    let names = inner.attr_names().unwrap_or_default();
                    let encoding = super::attributes::encoding(source, &slot, &inner).unwrap_or_default();
                    matches!(encoding.as_str(), "" | "dict") && !names.iter().any(|name| name == "h5sparse_format")
                })
        };
        if !self.wants_inside(to, key) || !is_mapping(&to.group) || !is_mapping(from) {
            return Ok(());
        }
        match depth < MOST_DEPTH {
            true => self.entries(from, key, &to.plain_group(key)?, depth + 1),
            false => Ok(()),
        }
    }

    /// True if these are categories of a column, which the target holds with the column (anndata < 0.7).
    fn are_joined(&self, root: &Target, key: &str) -> bool {
        let Some(column) = key.strip_suffix("_categories") else { return false };
        ["obs", "var"].iter().any(|table| {
            let is_old = self.source.file.loc_type_by_name(table).ok() == Some(LocationType::Dataset);
            let slot = format!("{table}/{column}");
            let joined =
                root.group.link_exists(&slot) && root.group.loc_type_by_name(&slot).ok() == Some(LocationType::Group);
            is_old && joined
        })
    }
}

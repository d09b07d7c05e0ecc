//! The cells that pass the quality filters, with their conditions and their part in the split.

use std::collections::{BTreeMap, BTreeSet};

use crate::conditions::Condition;
use crate::conditions::status::Measured;
use crate::preprocess::split::{self, Split};
use crate::stages::split::Strata;
use crate::{Error, Result};

/// What is known of the cells that passed the filters.
pub(super) struct Kept {
    /// The condition of each.
    pub conditions: Vec<Condition>,
    /// What each is for.
    pub splits: Vec<Split>,
    /// The positions of the training cells among those kept.
    pub training: Vec<usize>,
    /// The conditions without a training cell, and their numbers of cells.
    pub held_out: BTreeMap<Condition, usize>,
    /// Stratum of the held-out conditions → numbers of conditions and of cells.
    pub strata: Strata,
}

impl Kept {
    /// Keeps `rows` of the cells.
    ///
    /// # Errors
    /// [`Error::TooFew`] if the filters removed all cells of a held-out condition or all controls of a group.
    pub fn new(conditions: &[Condition], splits: &[Split], rows: &[usize], say: &dyn Fn(&str)) -> Result<Self> {
        let wanted = split::held_out(conditions, splits);
        let all: BTreeSet<&Condition> = conditions.iter().collect();
        let conditions: Vec<Condition> = rows.iter().map(|&row| conditions[row].clone()).collect();
        let splits: Vec<Split> = rows.iter().map(|&row| splits[row]).collect();
        let left: BTreeSet<&Condition> = conditions.iter().collect();
        if let Some(lost) = wanted.keys().find(|condition| !left.contains(condition)) {
            return Err(Error::TooFew {
                what: format!("cells of the held-out condition `{lost}` left by the quality filters"),
                needed: 1,
                got: 0,
                hint: "relax the limits, or do not hold it out".into(),
            });
        }
        split::check_controls(&conditions, &splits)?;
        for lost in all.difference(&left) {
            say(&format!("no cell of `{lost}` is left"));
        }
        let held_out = split::held_out(&conditions, &splits);
        let trains = |row: &usize| splits[*row] == Split::Train;
        let measured: Measured = (0..splits.len()).filter(trains).map(|row| &conditions[row]).collect();
        let mut strata = Strata::new();
        for (condition, n) in &held_out {
            let stratum = measured.status(condition).stratum();
            say(&format!("held out: {condition} ({n} cells, {stratum})"));
            let entry = strata.entry(stratum).or_default();
            *entry = (entry.0 + 1, entry.1 + n);
        }
        let training: Vec<usize> = (0..splits.len()).filter(|&row| splits[row] == Split::Train).collect();
        let apart = splits.len() - training.len() - held_out.values().sum::<usize>();
        if apart > 0 {
            say(&format!("kept from training: {apart} cells of conditions that have training cells too"));
        }
        Ok(Self { conditions, splits, training, held_out, strata })
    }
}

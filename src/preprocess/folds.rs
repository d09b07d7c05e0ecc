//! Splits of a screen into folds: every condition that a method could foretell is held out once.

use std::collections::{BTreeMap, BTreeSet};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::split_table::SplitTable;
use crate::conditions::{Condition, Perturbation};
use crate::error::refuse;
use crate::{Error, Result};

/// Folds of a screen.
#[derive(Debug, Clone, PartialEq)]
pub struct Folds {
    /// What each fold holds out.
    pub held_out: Vec<BTreeSet<Condition>>,
    /// What could have been held out by its kind, and stays in training because nothing else would tell of it.
    pub kept: BTreeSet<Condition>,
}

impl Folds {
    /// Divides the combinations of a screen among `n` folds at random: each with all its covariates, in one fold. Combinations
    /// with a part that was not measured alone stay in training. Where there are no combinations, single perturbations are
    /// held out in one stratum of the covariates at a time: strata of one perturbation lie in different folds, so that the
    /// others tell of it, and a perturbation with one stratum stays in training.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] for fewer than two folds, or more than there is to hold out; [`Error::TooFew`] if there is
    /// nothing.
    pub fn divide(conditions: &[Condition], n: usize, seed: u64) -> Result<Self> {
        if n < 2 {
            return refuse("folds", n, "at least two are needed; to hold out once, name conditions with --holdout");
        }
        let strata = strata(conditions);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let has_combinations = strata.keys().any(|perturbation| perturbation.components().len() > 1);
        let (units, kept) = match has_combinations {
            true => combinations(&strata, &mut rng),
            false => single_strata(&strata, &mut rng),
        };
        if units.is_empty() {
            return Err(Error::TooFew {
                what: "conditions that a fold can hold out".into(),
                needed: n,
                got: 0,
                hint: "folds hold out combinations whose parts were measured alone or, without any combination, a perturbation \
                       in one of several strata of covariates (--covariate); give --holdout or --split instead"
                    .into(),
            });
        }
        if n > units.len() {
            let reason = format!("there are {} conditions to hold out: use as many folds at most", units.len());
            return refuse("folds", n, &reason);
        }
        let mut held_out = vec![BTreeSet::new(); n];
        for (place, unit) in units.into_iter().enumerate() {
            held_out[place % n].extend(unit.into_iter().cloned());
        }
        Ok(Self { held_out, kept: kept.into_iter().cloned().collect() })
    }

    /// The tables of the folds, one row for each condition.
    ///
    /// # Errors
    /// Those of [`SplitTable::holding_out`].
    pub fn tables(&self, conditions: &[Condition], control: &str) -> Result<Vec<SplitTable>> {
        self.held_out.iter().map(|held_out| SplitTable::holding_out(conditions, held_out, control)).collect()
    }
}

/// The conditions of each perturbation but the control.
pub(super) fn strata(conditions: &[Condition]) -> Strata<'_> {
    let mut strata = Strata::new();
    for condition in conditions.iter().filter(|condition| !condition.perturbation.is_control()) {
        strata.entry(&condition.perturbation).or_default().insert(condition);
    }
    strata
}

pub(super) type Strata<'a> = BTreeMap<&'a Perturbation, BTreeSet<&'a Condition>>;
/// What is held out together, in random order, and what stays in training.
pub(super) type Units<'a> = (Vec<Vec<&'a Condition>>, Vec<&'a Condition>);

/// Combinations whose parts were measured alone, in random order; the others stay.
pub(super) fn combinations<'a>(strata: &Strata<'a>, rng: &mut ChaCha8Rng) -> Units<'a> {
    let alone: BTreeSet<&String> = strata
        .keys()
        .filter_map(|perturbation| match perturbation.components() {
            [one] => Some(one),
            _ => None,
        })
        .collect();
    let (mut units, mut kept) = (Vec::new(), Vec::new());
    for (perturbation, conditions) in strata.iter().filter(|(perturbation, _)| perturbation.components().len() > 1) {
        match perturbation.components().iter().all(|component| alone.contains(component)) {
            true => units.push(conditions.iter().copied().collect()),
            false => kept.extend(conditions),
        }
    }
    units.shuffle(rng);
    (units, kept)
}

/// Strata of one perturbation follow each other, so that no fold of two or more takes all of them.
fn single_strata<'a>(strata: &Strata<'a>, rng: &mut ChaCha8Rng) -> Units<'a> {
    let (mut of_each, mut kept) = (Vec::<Vec<&Condition>>::new(), Vec::new());
    for conditions in strata.values() {
        match conditions.len() {
            1 => kept.extend(conditions),
            _ => of_each.push(conditions.iter().copied().collect()),
        }
    }
    of_each.shuffle(rng);
    of_each.iter_mut().for_each(|conditions| conditions.shuffle(rng));
    (of_each.into_iter().flatten().map(|condition| vec![condition]).collect(), kept)
}

#[cfg(test)]
mod tests {
    use super::super::split::Split;
    use super::super::split_table::by_table;
    use super::*;

    fn conditions(texts: &[&str]) -> Vec<Condition> {
        texts.iter().map(|text| Condition::parse(text, "ctrl").unwrap()).collect()
    }

    fn screen() -> Vec<Condition> {
        let mut texts = Vec::new();
        for perturbation in ["ctrl", "A", "B", "C", "A+B", "A+C", "B+C", "A+D", "\"x+y\"", "A+\"x+y\""] {
            texts.extend(["1", "2"].map(|stratum| format!("{perturbation} | t={stratum}")));
        }
        conditions(&texts.iter().map(String::as_str).collect::<Vec<_>>())
    }

    #[test]
    fn every_combination_whose_parts_are_known_is_held_out_once_with_all_covariates() {
        let screen = screen();
        let folds = Folds::divide(&screen, 3, 7).unwrap();
        assert_eq!(folds, Folds::divide(&screen, 3, 7).unwrap());
        assert!((0..9).any(|seed| Folds::divide(&screen, 3, seed).unwrap() != folds));
        let mut all: Vec<&Condition> = folds.held_out.iter().flatten().collect();
        assert_eq!(folds.held_out.iter().map(BTreeSet::len).collect::<Vec<_>>(), [4, 2, 2]);
        all.sort();
        let expected: BTreeSet<Condition> = conditions(&[
            "A+B | t=1",
            "A+B | t=2",
            "A+C | t=1",
            "A+C | t=2",
            "B+C | t=1",
            "B+C | t=2",
            "A+\"x+y\" | t=1",
            "A+\"x+y\" | t=2",
        ])
        .into_iter()
        .collect();
        assert_eq!(all, expected.iter().collect::<Vec<_>>());
        assert_eq!(folds.kept, conditions(&["A+D | t=1", "A+D | t=2"]).into_iter().collect());
        // The table says the same, names with a plus and another word for the control included.
        let names: Vec<String> = (0..screen.len()).map(|row| format!("c{row}")).collect();
        for (table, held_out) in folds.tables(&screen, "ctrl").unwrap().iter().zip(&folds.held_out) {
            let splits = by_table(table, &names, &screen, "ctrl").unwrap();
            let read = screen.iter().zip(splits).filter(|(_, split)| *split == Split::Test).map(|(one, _)| one.clone());
            assert_eq!(read.collect::<BTreeSet<_>>(), *held_out);
        }
    }

    #[test]
    fn without_combinations_no_fold_takes_a_perturbation_from_all_strata() {
        let screen =
            conditions(&["ctrl | t=1", "ctrl | t=2", "A | t=1", "A | t=2", "B | t=1", "B | t=2", "B | t=3", "C | t=1"]);
        for seed in 0..20 {
            let folds = Folds::divide(&screen, 2, seed).unwrap();
            assert_eq!(folds.held_out.iter().map(BTreeSet::len).sum::<usize>(), 5);
            assert_eq!(folds.kept, conditions(&["C | t=1"]).into_iter().collect());
            for held_out in &folds.held_out {
                for (name, n) in [("A", 2), ("B", 3)] {
                    assert!(held_out.iter().filter(|one| one.perturbation.to_string() == name).count() < n);
                }
            }
        }
    }

    #[test]
    fn folds_that_cannot_be_are_refused() {
        let refused = |texts: &[&str], n: usize, part: &str| {
            let error = Folds::divide(&conditions(texts), n, 0).unwrap_err();
            assert!(error.is_mistake() && error.to_string().contains(part), "{error}");
        };
        refused(&["ctrl", "A", "B", "A+B"], 1, "at least two");
        refused(&["ctrl", "A", "B", "A+B"], 2, "there are 1 conditions");
        refused(&["ctrl", "A", "B"], 2, "conditions that a fold can hold out");
        refused(&["ctrl", "A", "A+B"], 2, "conditions that a fold can hold out");
    }
}

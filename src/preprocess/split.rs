//! Which cells a model may see; here from hold-out patterns.

use std::collections::{BTreeMap, BTreeSet};

use crate::conditions::Condition;
use crate::error::nearest;
use crate::{Error, Result};

/// What a cell is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Split {
    /// Everything is fitted to it.
    Train,
    /// Settings may be chosen by it.
    Validation,
    /// Only the evaluation sees it.
    Test,
}

impl Split {
    /// The text in `obs["split"]`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "val",
            Self::Test => "test",
        }
    }
}

/// Holds out every cell that one of the patterns covers, such as `A + B` or `A | cell_type=T`.
///
/// # Errors
/// As [`Condition::parse`]; [`Error::UnknownName`] if a pattern covers no cell; [`Error::MissingColumn`] if it names a
/// column that is no covariate; [`Error::InvalidParameter`] if it holds out the control.
pub fn by_patterns(conditions: &[Condition], patterns: &[String], control: &str) -> Result<Vec<Split>> {
    let mut splits = vec![Split::Train; conditions.len()];
    for text in patterns {
        let pattern = Condition::parse(text, control)?;
        if pattern.perturbation.is_control() {
            return Err(Error::InvalidParameter {
                name: "--holdout".into(),
                value: text.clone(),
                reason: "the control cannot be held out: every prediction starts from it".into(),
            });
        }
        for row in covered(conditions, &pattern, text)? {
            splits[row] = Split::Test;
        }
    }
    Ok(splits)
}

/// Fails if the split leaves a group of cells without what predictions start from.
///
/// # Errors
/// [`Error::TooFew`] if perturbed cells have no control cells of the same covariates, or if nothing perturbed is left to
/// train on.
pub fn check_controls(conditions: &[Condition], splits: &[Split]) -> Result<()> {
    let strata = |control: bool| -> BTreeSet<&BTreeMap<String, String>> {
        let chosen = conditions.iter().filter(|condition| condition.perturbation.is_control() == control);
        chosen.map(|condition| &condition.covariates).collect()
    };
    let with_control = strata(true);
    let missing: Vec<String> =
        strata(false).into_iter().filter(|stratum| !with_control.contains(stratum)).map(stratum_text).collect();
    if !missing.is_empty() {
        let hint = match missing.iter().find(|stratum| !stratum.is_empty()) {
            None => "the quality filters removed them all; relax the filters".to_owned(),
            Some(_) => format!(
                "{} groups have perturbed but no control cells, for example {}; remove these cells or leave out a covariate",
                missing.len(),
                missing.iter().take(3).map(|stratum| format!("`{stratum}`")).collect::<Vec<_>>().join(", ")
            ),
        };
        return Err(Error::TooFew { what: "control cells among those left".into(), needed: 1, got: 0, hint });
    }
    let trains =
        |(condition, &split): (&Condition, &Split)| split == Split::Train && !condition.perturbation.is_control();
    if !conditions.iter().zip(splits).any(trains) {
        return Err(Error::TooFew {
            what: "perturbed training cells".into(),
            needed: 1,
            got: 0,
            hint: "hold out fewer conditions, or relax the quality filters".into(),
        });
    }
    Ok(())
}

/// The conditions of which no cell is a training cell, and the number of their cells.
pub fn held_out(conditions: &[Condition], splits: &[Split]) -> BTreeMap<Condition, usize> {
    let seen: BTreeSet<&Condition> =
        conditions.iter().zip(splits).filter(|&(_, &split)| split == Split::Train).map(|(c, _)| c).collect();
    let mut held_out = BTreeMap::new();
    for condition in conditions.iter().filter(|condition| !seen.contains(condition)) {
        *held_out.entry(condition.clone()).or_default() += 1;
    }
    held_out
}

fn stratum_text(stratum: &BTreeMap<String, String>) -> String {
    stratum.iter().map(|(column, value)| format!("{column}={value}")).collect::<Vec<_>>().join(" | ")
}

/// The rows that the pattern covers: one at least.
///
/// # Errors
/// [`Error::UnknownName`], [`Error::MissingColumn`].
pub(super) fn covered(conditions: &[Condition], pattern: &Condition, text: &str) -> Result<Vec<usize>> {
    let rows: Vec<usize> = (0..conditions.len()).filter(|&row| pattern.covers(&conditions[row])).collect();
    if !rows.is_empty() {
        return Ok(rows);
    }
    let known: Vec<String> = conditions.first().map_or_else(Vec::new, |c| c.covariates.keys().cloned().collect());
    if let Some(column) = pattern.covariates.keys().find(|column| !known.contains(column)) {
        return Err(Error::MissingColumn {
            table: "the covariates (add it with --covariate)".into(),
            column: column.clone(),
            available: known,
        });
    }
    // Covariates count only if the perturbation itself is right.
    let is_known = conditions.iter().any(|condition| condition.perturbation == pattern.perturbation);
    let name =
        |condition: &Condition| if is_known { condition.to_string() } else { condition.perturbation.to_string() };
    let candidates: BTreeSet<String> = conditions
        .iter()
        .filter(|condition| !condition.perturbation.is_control())
        .filter(|condition| !is_known || condition.perturbation == pattern.perturbation)
        .map(name)
        .collect();
    let wanted = name(pattern);
    Err(Error::UnknownName {
        what: "held-out condition".into(),
        name: text.to_owned(),
        place: "the data".into(),
        nearest: nearest(&wanted, candidates),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(texts: &[&str]) -> Vec<Condition> {
        texts.iter().map(|text| Condition::parse(text, "ctrl").unwrap()).collect()
    }

    fn screen() -> Vec<Condition> {
        conditions(&["ctrl | t=1", "ctrl | t=2+", "A | t=1", "A | t=2+", "A+B | t=1", "A+B | t=2+"])
    }

    fn held(patterns: &[&str]) -> Result<Vec<usize>> {
        let patterns: Vec<String> = patterns.iter().map(|&text| text.to_owned()).collect();
        let splits = by_patterns(&screen(), &patterns, "ctrl")?;
        Ok((0..6).filter(|&row| splits[row] == Split::Test).collect())
    }

    #[test]
    fn a_pattern_holds_out_a_perturbation_everywhere_or_where_it_says() {
        assert_eq!(held(&["B + A"]).unwrap(), [4, 5]);
        assert_eq!(held(&["A+B+ctrl|t=2+", " A | t = 1"]).unwrap(), [2, 5]);
    }

    #[test]
    fn patterns_that_cover_nothing_suggest_near_names() {
        let message = |pattern: &str| held(&[pattern]).unwrap_err().to_string();
        assert!(message("A + C").contains("nearest names: `A+B`"), "{}", message("A + C"));
        assert!(message("A | t=2").contains("nearest names: `A | t=2+`"), "{}", message("A | t=2"));
        assert!(message("A | day=2").contains("column `day` is missing"), "{}", message("A | day=2"));
        assert!(message("ctrl | t=1").contains("cannot be held out"));
    }

    #[test]
    fn every_stratum_needs_controls_and_something_to_train_on() {
        let screen = conditions(&["ctrl | t=1", "A | t=1", "A | t=2"]);
        let error = check_controls(&screen, &[Split::Train; 3]).unwrap_err();
        assert!(error.hint().unwrap().contains("`t=2`"), "{error:?}");
        assert!(check_controls(&screen[..2], &[Split::Train; 2]).is_ok());
        assert!(check_controls(&screen[..2], &[Split::Train, Split::Test]).is_err());
    }

    #[test]
    fn held_out_conditions_have_no_training_cell() {
        let screen = conditions(&["ctrl", "A", "A", "A+B", "A+B"]);
        let splits = [Split::Train, Split::Train, Split::Test, Split::Test, Split::Validation];
        let held_out: Vec<(String, usize)> =
            held_out(&screen, &splits).into_iter().map(|(condition, n)| (condition.to_string(), n)).collect();
        assert_eq!(held_out, [("A+B".to_owned(), 2)]);
    }
}

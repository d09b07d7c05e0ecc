//! What files for other programs say of each cell.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::EmitAs;
use crate::cells::{Annotations, Column};
use crate::conditions::Condition;
use crate::{Error, Result};

/// Where a cell comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// It was measured.
    Real,
    /// The model made it.
    Generated,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Real => "real",
            Self::Generated => "generated",
        })
    }
}

/// The columns of `obs`, once for each condition and origin: all blocks of a file take their rows from here, so that they
/// have the same categories, each of which occurs.
pub(super) struct Labels {
    places: BTreeMap<(Condition, Origin), usize>,
    table: Annotations,
}

impl Labels {
    /// No columns yet, for real and generated cells of these conditions.
    pub(super) fn new(real: BTreeSet<Condition>, generated: impl Iterator<Item = Condition>) -> Self {
        let real = real.into_iter().map(|condition| (condition, Origin::Real));
        let all: BTreeSet<_> = real.chain(generated.map(|condition| (condition, Origin::Generated))).collect();
        let table = Annotations::new(all.iter().map(|(condition, _)| condition.to_string()).collect());
        Self { places: all.into_iter().zip(0..).collect(), table }
    }

    /// Adds a column.
    pub(super) fn set(&mut self, name: &str, text: impl Fn(&Condition, Origin) -> String) {
        let texts: Vec<String> = self.places.keys().map(|(condition, origin)| text(condition, *origin)).collect();
        self.table.set(name, Column::categorical(&texts));
    }

    /// Adds the covariates under their own names.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] if there is such a column already.
    pub(super) fn set_covariates(&mut self, program: EmitAs, covariates: &[String]) -> Result<()> {
        for column in covariates {
            if self.table.get(column).is_some() {
                return Err(Error::InvalidParameter {
                    name: "emit-as".into(),
                    value: program.to_string(),
                    reason: format!(
                        "the covariate `{column}` of the screen has the name of a column of that form; rename it before \
                         `scflow preprocess`"
                    ),
                });
            }
            self.set(column, |condition, _| condition.covariates.get(column).cloned().unwrap_or_default());
        }
        Ok(())
    }

    /// True where some label holds this text.
    pub(super) fn hold(&self, part: &str) -> bool {
        self.table.columns.iter().any(|(_, column)| column.texts().iter().flatten().any(|text| text.contains(part)))
    }

    /// The table of cells with these names and conditions.
    ///
    /// # Errors
    /// [`Error::UnknownName`] for a condition that was not announced.
    pub(super) fn of(&self, names: Vec<String>, conditions: &[Condition], origin: Origin) -> Result<Annotations> {
        let place = |condition: &Condition| {
            self.places.get(&(condition.clone(), origin)).copied().ok_or_else(|| Error::UnknownName {
                what: "condition".into(),
                name: condition.to_string(),
                place: format!("the {origin} cells of this file"),
                nearest: Vec::new(),
            })
        };
        let places = conditions.iter().map(place).collect::<Result<Vec<_>>>()?;
        Ok(Annotations { index: names, ..self.table.select(&places) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(text: &str) -> Condition {
        Condition::parse(text, "control").unwrap()
    }

    #[test]
    fn every_category_occurs_and_blocks_have_the_same_ones() {
        let real = ["control | t=x", "A | t=x"].map(condition);
        let mut labels = Labels::new(real.clone().into(), [condition("A | t=x")].into_iter());
        labels.set("perturbation", |condition, _| condition.perturbation.to_string());
        labels.set("group", |condition, origin| format!("{condition} | {origin}"));
        labels.set_covariates(EmitAs::Pertpy, &["t".to_owned()]).unwrap();
        let names = |n: usize| (0..n).map(|cell| format!("c{cell}")).collect::<Vec<_>>();
        let measured = labels.of(names(2), &real, Origin::Real).unwrap();
        let made = labels.of(names(1), &real[1..], Origin::Generated).unwrap();
        assert_eq!(measured.texts("obs", "group").unwrap(), ["control | t=x | real", "A | t=x | real"]);
        assert_eq!(made.texts("obs", "group").unwrap(), ["A | t=x | generated"]);
        assert_eq!((measured.index, made.names()), (names(2), vec!["perturbation".into(), "group".into(), "t".into()]));
        let Some(Column::Categorical { categories, .. }) = made.get("group") else { panic!() };
        assert_eq!(categories, &["A | t=x | generated", "A | t=x | real", "control | t=x | real"]);
        assert!(labels.of(names(1), &real[..1], Origin::Generated).is_err());
        assert!(labels.hold("control | t") && !labels.hold("_"));
    }

    #[test]
    fn a_covariate_that_takes_a_columns_name_is_refused() {
        let mut labels = Labels::new([condition("A | origin=x")].into(), std::iter::empty());
        labels.set("origin", |_, origin| origin.to_string());
        let error = labels.set_covariates(EmitAs::Pertpy, &["origin".to_owned()]).unwrap_err();
        assert!(error.is_mistake() && error.to_string().contains("covariate `origin`"), "{error}");
    }
}

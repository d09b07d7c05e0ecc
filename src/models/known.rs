//! What a model knows of the screen that it was fitted to.

use std::collections::{BTreeMap, BTreeSet};

use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::source::FEWEST_KEPT;
use crate::conditions::descriptions::Descriptions;
use crate::conditions::status::Measured;
use crate::conditions::{Condition, Doses, Perturbation, Place};
use crate::error::nearest;
use crate::prepared::Prepared;
use crate::{Error, Result};

/// At most this many library sizes are kept per combination of covariates.
const MOST_LIBRARY_SIZES: usize = 5000;

type Covariates = BTreeMap<String, String>;

/// What a model knows of the screen that it was fitted to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// Training conditions and their numbers of cells.
    pub training: Vec<(Condition, usize)>,
    /// Held-out conditions and their numbers of cells; none of these cells was looked at.
    pub held_out: Vec<(Condition, usize)>,
    /// Conditions that only decided when the fit stopped, and their numbers of cells.
    pub validation: Vec<(Condition, usize)>,
    /// Library sizes of training cells per combination of covariates.
    pub library_sizes: Vec<(Covariates, Vec<f32>)>,
}

impl Known {
    /// Collects what is known of a prepared screen; `validation` are conditions that decided when the fit stopped.
    ///
    /// # Errors
    /// [`Error::MissingColumn`] if the library sizes are absent.
    pub fn of(prepared: &Prepared, validation: &BTreeSet<Condition>, seed: u64) -> Result<Self> {
        let count = |training: bool| {
            let rows = prepared.rows_by_condition(training);
            rows.into_iter().map(|(condition, rows)| (condition, rows.len())).collect::<Vec<_>>()
        };
        let training = count(true);
        let held_out = count(false);
        let unseen = held_out.into_iter().filter(|(held, _)| !training.iter().any(|(seen, _)| seen == held));
        let (validation, held_out) = unseen.partition(|(condition, _)| validation.contains(condition));
        let sizes = prepared.library_sizes()?;
        let mut by_covariates = BTreeMap::<Covariates, Vec<f32>>::new();
        for row in prepared.training_rows() {
            by_covariates.entry(prepared.conditions[row].covariates.clone()).or_default().push(sizes[row] as f32);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut thin = |sizes: Vec<f32>| -> Vec<f32> {
            if sizes.len() <= MOST_LIBRARY_SIZES {
                return sizes;
            }
            sizes.choose_multiple(&mut rng, MOST_LIBRARY_SIZES).copied().collect()
        };
        let library_sizes = by_covariates.into_iter().map(|(covariates, sizes)| (covariates, thin(sizes))).collect();
        Ok(Self { training, held_out, validation, library_sizes })
    }

    /// The doses and times of the components that occur in training.
    pub fn doses(&self) -> Doses {
        Doses::of(self.training.iter().map(|(condition, _)| &condition.perturbation))
    }

    /// The components that occur in training, each at each of its doses.
    pub fn components(&self) -> Vec<String> {
        let components = self.training.iter().flat_map(|(condition, _)| condition.perturbation.components());
        let mut components: Vec<String> = components.cloned().collect();
        components.sort();
        components.dedup();
        components
    }

    /// The components of conditions of which no training cell had any, at whatever dose.
    pub fn unseen<'a>(&self, conditions: impl IntoIterator<Item = &'a Condition>) -> BTreeSet<&'a String> {
        let known = self.doses();
        let components = conditions.into_iter().flat_map(|condition| condition.perturbation.components());
        components.filter(|component| known.place(component) == Place::Unknown).collect()
    }

    /// The combinations of covariates that have training control cells.
    pub fn covariates(&self) -> Vec<Covariates> {
        let controls = self.training.iter().filter(|(condition, _)| condition.perturbation.is_control());
        controls.map(|(condition, _)| condition.covariates.clone()).collect()
    }

    /// What was measured in training: it tells how far a condition is from that.
    pub fn measured(&self) -> Measured<'_> {
        self.training.iter().map(|(condition, _)| condition).collect()
    }

    /// How many cells of a condition every method can make without taking a control cell twice, and no more than were
    /// measured where it was held out: with as many, methods are compared on equal numbers of different cells.
    ///
    /// Distances between cells are without bias only if the cells were drawn apart; a cell that comes twice makes its
    /// population look narrower than it is.
    pub fn n_comparable(&self, condition: &Condition) -> usize {
        let of = |all: &[(Condition, usize)], wanted: &Condition| {
            all.iter().find(|(other, _)| other == wanted).map(|(_, n_cells)| *n_cells)
        };
        let control = Condition::new(Perturbation::control(), condition.covariates.clone());
        let n_controls = of(&self.training, &control).unwrap_or(0).min(FEWEST_KEPT);
        of(&self.held_out, condition).map_or(n_controls, |n_held_out| n_controls.min(n_held_out))
    }

    /// Fails if a component neither occurs in training nor is described, with near names, or occurs at doses only that do not
    /// tell of its own.
    ///
    /// # Errors
    /// [`Error::UnknownName`]; [`Error::InvalidParameter`] as [`Doses::check_range`].
    pub fn require_components(&self, perturbation: &Perturbation, described: Option<&Descriptions>) -> Result<()> {
        let doses = self.doses();
        let names: Vec<&String> = doses.names().collect();
        let is_described = |name: &str| described.is_some_and(|described| described.get(name).is_some());
        match perturbation.parts().find(|part| !names.contains(&&part.name) && !is_described(&part.name)) {
            None => doses.check_range(perturbation),
            Some(unknown) => Err(Error::UnknownName {
                what: "perturbation".into(),
                nearest: nearest(&unknown.name, doses.names()),
                name: unknown.name,
                place: "the model".into(),
            }),
        }
    }

    /// The conditions of a perturbation with all known covariates that agree with the given values.
    ///
    /// # Errors
    /// [`Error::UnknownName`] if a covariate or a value is unknown.
    pub fn expand(&self, perturbation: &Perturbation, values: &Covariates) -> Result<Vec<Condition>> {
        let known = self.covariates();
        for (column, value) in values {
            let mut seen: Vec<String> = known.iter().filter_map(|covariates| covariates.get(column).cloned()).collect();
            seen.sort();
            seen.dedup();
            if !seen.contains(value) {
                let columns: Vec<String> = known.iter().flat_map(|covariates| covariates.keys().cloned()).collect();
                let is_column = columns.contains(column);
                return Err(Error::UnknownName {
                    what: if is_column { format!("value of covariate `{column}`") } else { "covariate".into() },
                    name: if is_column { value.clone() } else { column.clone() },
                    place: "the model".into(),
                    nearest: if is_column { nearest(value, seen.iter()) } else { nearest(column, columns.iter()) },
                });
            }
        }
        let fits = |covariates: &Covariates| values.iter().all(|(column, value)| covariates.get(column) == Some(value));
        let of = |covariates: Covariates| Condition::new(perturbation.clone(), covariates);
        Ok(known.into_iter().filter(fits).map(of).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let condition = |text: &str| (Condition::parse(text, "control").unwrap(), 10);
        let training = ["control | t=x", "control | t=y", "A | t=x", "A | t=y", "B | t=x", "A+C | t=x"];
        Known {
            training: training.map(condition).to_vec(),
            held_out: Vec::new(),
            validation: Vec::new(),
            library_sizes: Vec::new(),
        }
    }

    #[test]
    fn a_dose_between_others_is_known_and_one_beyond_them_refused() {
        let condition = |text: &str| Condition::parse(text, "control").unwrap();
        let training = ["control", "A @ 1 uM", "A @ 100 uM", "B @ 5 uM", "B @ 5 uM+C @ 1 uM"];
        let training = training.map(|text| (condition(text), 10)).to_vec();
        let known = Known { training, ..known() };
        let refused =
            |text: &str| known.require_components(&condition(text).perturbation, None).unwrap_err().to_string();
        assert!(refused("A @ 200 uM").contains("A @ 1 uM, A @ 100 uM"));
        assert!(refused("B @ 6 uM").contains("outside") && refused("D @ 6 uM").contains("`D` is unknown"));
        assert!(known.require_components(&condition("A @ 10 uM + C @ 1 uM").perturbation, None).is_ok());
        let asked = ["A @ 10 uM", "D @ 1 uM"].map(condition);
        assert_eq!(known.unseen(&asked), BTreeSet::from([&"D @ 1 uM".to_owned()]));
    }

    #[test]
    fn cells_to_compare_are_no_more_than_controls_and_than_held_out_cells() {
        let n = |text: &str, held_out: Option<usize>| {
            let condition = Condition::parse(text, "control").unwrap();
            let held_out = held_out.map(|n_cells| (condition.clone(), n_cells)).into_iter().collect();
            Known { held_out, ..known() }.n_comparable(&condition)
        };
        assert_eq!((n("A + B | t=x", None), n("A + B | t=x", Some(99)), n("A + B | t=x", Some(7))), (10, 10, 7));
        let mut many = known();
        many.training[0].1 = 9999;
        assert_eq!(many.n_comparable(&Condition::parse("A | t=x", "control").unwrap()), FEWEST_KEPT);
    }

    #[test]
    fn a_perturbation_is_expanded_over_the_covariates_that_agree() {
        let perturbation = Perturbation::parse("A+B", "control").unwrap();
        let expand = |values: &[(&str, &str)]| {
            let values = values.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            known().expand(&perturbation, &values)
        };
        assert_eq!(expand(&[]).unwrap().len(), 2);
        assert_eq!(expand(&[("t", "y")]).unwrap()[0].covariates["t"], "y");
        assert!(expand(&[("t", "z")]).unwrap_err().to_string().contains("value of covariate `t` `z`"));
        assert!(expand(&[("u", "y")]).unwrap_err().to_string().contains("covariate `u`"));
    }

    #[test]
    fn unknown_components_are_refused() {
        let perturbation = Perturbation::parse("A+D", "control").unwrap();
        let error = known().require_components(&perturbation, None).unwrap_err();
        assert!(error.is_mistake() && error.to_string().contains("`D` is unknown to the model"), "{error}");
    }
}

//! Schemes by which conditions of a screen are held out: whole combinations, whole components, whole covariates.

use std::collections::{BTreeMap, BTreeSet};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::folds::{combinations, strata};
use super::split::{Split, check_controls, covered};
use crate::conditions::{Condition, Perturbation};
use crate::error::{nearest, refuse};
use crate::{Error, Result};

/// A scheme with its shares. Controls are never held out.
#[derive(Debug, Clone, PartialEq)]
pub enum Scheme {
    /// A share of the combinations whose parts were measured alone, each with all its covariates; other combinations train.
    LeaveCombinationOut {
        /// The share.
        share: f64,
    },
    /// The simulation split of GEARS (Roohani et al. 2023, doi:10.1038/s41587-023-01905-6): a share of the components is
    /// unseen, with every condition that contains one; of the combinations of seen components a share is held out too.
    Simulation {
        /// The share of components; 0.25 in GEARS.
        unseen: f64,
        /// The share of combinations of seen components; 0.25 in GEARS.
        combinations: f64,
    },
    /// A share of the components measured alone is unseen, with every condition that contains one; all else trains.
    UnseenSingle {
        /// The share.
        share: f64,
    },
    /// All perturbed cells with some values of covariates, such as a cell type; their controls train.
    LeaveCovariateOut {
        /// Column and value of each.
        values: Vec<(String, String)>,
    },
    /// The conditions that are named.
    Named {
        /// Perturbations, with or without covariates.
        patterns: Vec<Condition>,
    },
}

/// What a scheme holds out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HeldOut {
    /// The conditions.
    pub held_out: BTreeSet<Condition>,
    /// Conditions of the kind that the scheme draws from, which stay because nothing else would tell of them.
    pub kept: BTreeSet<Condition>,
}

impl Scheme {
    /// Chooses what is held out of a screen; the seed decides what is drawn.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] for a share that is not between zero and one, or that leaves nothing to train on;
    /// [`Error::TooFew`] if there is nothing to hold out, if a group of covariates has no controls, or if nothing perturbed is
    /// left; [`Error::MissingColumn`] and [`Error::UnknownName`] for what the screen does not have.
    pub fn hold_out(&self, conditions: &[Condition], seed: u64) -> Result<HeldOut> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut kept = BTreeSet::new();
        let held_out: BTreeSet<Condition> = match self {
            Self::LeaveCombinationOut { share } => {
                let strata = strata(conditions);
                let (units, others) = combinations(&strata, &mut rng);
                kept.extend(others.into_iter().cloned());
                let what = "combinations whose components were measured alone";
                let n = part(*share, "fraction", units.len(), what)?;
                units.into_iter().take(n).flatten().cloned().collect()
            }
            Self::UnseenSingle { share } => {
                let unseen = draw(alone(conditions), *share, "components that were measured alone", &mut rng)?;
                containing(conditions, &unseen)
            }
            Self::Simulation { unseen, combinations } => {
                let unseen = draw(components(conditions), *unseen, "components", &mut rng)?;
                let mut held_out = containing(conditions, &unseen);
                held_out.extend(of_seen(conditions, &unseen, *combinations, &mut rng)?);
                held_out
            }
            Self::LeaveCovariateOut { values } => {
                values.iter().try_for_each(|(column, value)| require_value(conditions, column, value))?;
                let has = |condition: &&Condition| {
                    values.iter().any(|(column, value)| condition.covariates.get(column) == Some(value))
                };
                perturbed(conditions).filter(has).cloned().collect()
            }
            Self::Named { patterns } => {
                if patterns.iter().any(|pattern| pattern.perturbation.is_control()) {
                    let reason = "the control cannot be held out: every prediction starts from it; remove its row";
                    return refuse("conditions", Perturbation::CONTROL, reason);
                }
                let rows = patterns.iter().map(|pattern| covered(conditions, pattern, &pattern.to_string()));
                let rows = rows.collect::<Result<Vec<_>>>()?;
                rows.into_iter().flatten().map(|row| conditions[row].clone()).collect()
            }
        };
        if held_out.is_empty() {
            return Err(Error::TooFew {
                what: "perturbed conditions that the scheme holds out".into(),
                needed: 1,
                got: 0,
                hint: "choose other values or another scheme".into(),
            });
        }
        let of = |condition: &Condition| if held_out.contains(condition) { Split::Test } else { Split::Train };
        check_controls(conditions, &conditions.iter().map(of).collect::<Vec<_>>())?;
        Ok(HeldOut { held_out, kept })
    }
}

fn perturbed(conditions: &[Condition]) -> impl Iterator<Item = &Condition> {
    conditions.iter().filter(|condition| !condition.perturbation.is_control())
}

/// The names of components: one that is unseen is unseen at all its doses.
fn components(conditions: &[Condition]) -> BTreeSet<String> {
    let distinct: BTreeSet<&Condition> = perturbed(conditions).collect();
    distinct.into_iter().flat_map(|condition| condition.perturbation.parts()).map(|part| part.name).collect()
}

fn alone(conditions: &[Condition]) -> BTreeSet<String> {
    let singles: BTreeSet<&Condition> =
        perturbed(conditions).filter(|condition| condition.perturbation.components().len() == 1).collect();
    singles.into_iter().flat_map(|condition| condition.perturbation.parts()).map(|part| part.name).collect()
}

/// Every condition with one of the components.
fn containing(conditions: &[Condition], components: &BTreeSet<String>) -> BTreeSet<Condition> {
    let contains = |condition: &&Condition| condition.perturbation.parts().any(|one| components.contains(&one.name));
    let distinct: BTreeSet<&Condition> = perturbed(conditions).collect();
    distinct.into_iter().filter(contains).cloned().collect()
}

/// A share of the combinations of components that are not unseen.
fn of_seen(
    conditions: &[Condition],
    unseen: &BTreeSet<String>,
    share: f64,
    rng: &mut ChaCha8Rng,
) -> Result<Vec<Condition>> {
    let is_seen = |perturbation: &Perturbation| perturbation.parts().all(|one| !unseen.contains(&one.name));
    let mut seen: BTreeMap<&Perturbation, BTreeSet<&Condition>> = strata(conditions);
    seen.retain(|perturbation, _| perturbation.components().len() > 1 && is_seen(perturbation));
    let mut units: Vec<BTreeSet<&Condition>> = seen.into_values().collect();
    if units.is_empty() {
        return Ok(Vec::new());
    }
    units.shuffle(rng);
    let n = part(share, "combination-fraction", units.len(), "combinations of seen components")?;
    Ok(units.into_iter().take(n).flatten().cloned().collect())
}

/// Draws a share of names, at least one of them and not all.
fn draw(names: BTreeSet<String>, share: f64, what: &str, rng: &mut ChaCha8Rng) -> Result<BTreeSet<String>> {
    let mut names: Vec<String> = names.into_iter().collect();
    names.shuffle(rng);
    let n = part(share, "fraction", names.len(), what)?;
    if n == names.len() {
        return refuse("fraction", share, &format!("all {n} {what} would be held out, and nothing trained on"));
    }
    Ok(names.into_iter().take(n).collect())
}

/// How many of `total` a share is: rounded, but at least one.
fn part(share: f64, name: &str, total: usize, what: &str) -> Result<usize> {
    if !(share > 0.0 && share < 1.0) {
        return refuse(name, share, "it must lie between 0 and 1");
    }
    if total == 0 {
        return Err(Error::TooFew {
            what: what.into(),
            needed: 1,
            got: 0,
            hint: "the scheme has nothing to hold out of this screen; choose another --scheme".into(),
        });
    }
    Ok(((share * total as f64).round() as usize).clamp(1, total))
}

/// Fails if no perturbed condition has this value of a covariate.
fn require_value(conditions: &[Condition], column: &str, value: &str) -> Result<()> {
    let columns: BTreeSet<&String> = conditions.iter().flat_map(|condition| condition.covariates.keys()).collect();
    if !columns.iter().any(|name| *name == column) {
        return Err(Error::MissingColumn {
            table: "the covariates (add it with --covariate)".into(),
            column: column.into(),
            available: columns.into_iter().cloned().collect(),
        });
    }
    let values: BTreeSet<&String> = perturbed(conditions).filter_map(|one| one.covariates.get(column)).collect();
    if values.iter().any(|known| *known == value) {
        return Ok(());
    }
    Err(Error::UnknownName {
        what: format!("value of covariate `{column}`"),
        name: value.into(),
        place: "the perturbed cells".into(),
        nearest: nearest(value, values),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conditions::status::Measured;

    /// Ten components alone, all pairs of the first five, and one pair with a component that is never alone, in two strata.
    fn screen() -> Vec<Condition> {
        let names: Vec<String> = (0..10).map(|n| format!("p{n}")).collect();
        let mut labels = vec!["control".to_owned(), "p0+q".to_owned()];
        labels.extend(names.iter().cloned());
        labels.extend((0..5).flat_map(|b| (0..b).map(move |a| format!("p{a}+p{b}"))));
        let all = labels.iter().flat_map(|label| ["x", "y"].map(|t| format!("{label} | t={t}")));
        all.map(|text| Condition::parse(&text, "control").unwrap()).collect()
    }

    /// Stratum → number of perturbations that are held out.
    fn strata_of(scheme: &Scheme, seed: u64) -> BTreeMap<String, usize> {
        let screen = screen();
        let HeldOut { held_out, .. } = scheme.hold_out(&screen, seed).unwrap();
        assert!(held_out.iter().all(|condition| !condition.perturbation.is_control()));
        let measured: Measured = screen.iter().filter(|condition| !held_out.contains(condition)).collect();
        let mut strata = BTreeMap::new();
        for condition in held_out.iter().filter(|condition| condition.covariates["t"] == "x") {
            *strata.entry(measured.status(condition).stratum()).or_default() += 1;
        }
        strata
    }

    #[test]
    fn combinations_are_held_out_everywhere_and_those_that_nothing_tells_of_stay() {
        let scheme = Scheme::LeaveCombinationOut { share: 0.3 };
        let found = scheme.hold_out(&screen(), 1).unwrap();
        assert_eq!(strata_of(&scheme, 1), BTreeMap::from([("combo_seen2".to_owned(), 3)]));
        assert_eq!(found.held_out.len(), 6);
        assert_eq!(found.kept.iter().map(ToString::to_string).collect::<Vec<_>>(), ["p0+q | t=x", "p0+q | t=y"]);
        assert_eq!(scheme.hold_out(&screen(), 1).unwrap(), found);
        assert!((2..9).any(|seed| scheme.hold_out(&screen(), seed).unwrap() != found));
    }

    #[test]
    fn a_simulation_has_every_stratum_of_gears() {
        let scheme = Scheme::Simulation { unseen: 0.4, combinations: 0.4 };
        let mut all = BTreeSet::new();
        for seed in 0..20 {
            let strata = strata_of(&scheme, seed);
            // Four of eleven components.
            assert!((3..=4).contains(&strata["unseen_single"]), "{strata:?}");
            all.extend(strata.into_keys());
        }
        let expected = ["combo_seen0", "combo_seen1", "combo_seen2", "unseen_single"];
        assert_eq!(all.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_unseen_component_occurs_nowhere_in_training() {
        let screen = screen();
        for seed in 0..10 {
            let found = Scheme::UnseenSingle { share: 0.2 }.hold_out(&screen, seed).unwrap().held_out;
            let unseen: BTreeSet<&Condition> =
                found.iter().filter(|condition| condition.perturbation.components().len() == 1).collect();
            let names: BTreeSet<&String> = unseen.iter().flat_map(|one| one.perturbation.components()).collect();
            assert_eq!(names.len(), 2);
            let trains = |condition: &&Condition| !found.contains(*condition);
            let in_training = screen.iter().filter(trains).flat_map(|condition| condition.perturbation.components());
            assert!(in_training.clone().all(|component| !names.contains(component)));
            // Nothing but conditions with them is held out.
            assert!(found.iter().all(|one| one.perturbation.components().iter().any(|name| names.contains(name))));
        }
    }

    #[test]
    fn a_component_is_unseen_at_all_its_doses() {
        let texts = ["ctrl", "A @ 1 uM", "A @ 2 uM", "A @ 2 uM+B", "B", "C @ 1 uM", "C @ 3 uM"];
        let screen = texts.map(|text| Condition::parse(text, "ctrl").unwrap());
        for seed in 0..10 {
            let found = Scheme::UnseenSingle { share: 0.34 }.hold_out(&screen, seed).unwrap().held_out;
            let names =
                |condition: &Condition| -> Vec<String> { condition.perturbation.parts().map(|one| one.name).collect() };
            let single = found.iter().find(|one| one.perturbation.components().len() == 1).unwrap();
            let unseen = names(single).remove(0);
            assert!(
                screen.iter().all(|one| found.contains(one) == names(one).contains(&unseen)),
                "{unseen}: {found:?}"
            );
        }
    }

    #[test]
    fn a_covariate_is_left_out_but_for_its_controls() {
        let values = vec![("t".to_owned(), "y".to_owned())];
        let found = Scheme::LeaveCovariateOut { values }.hold_out(&screen(), 0).unwrap().held_out;
        assert_eq!(found.len(), screen().len() / 2 - 1);
        assert!(found.iter().all(|condition| condition.covariates["t"] == "y"));
        let of = |column: &str, value: &str| {
            let values = vec![(column.to_owned(), value.to_owned())];
            Scheme::LeaveCovariateOut { values }.hold_out(&screen(), 0).unwrap_err().to_string()
        };
        assert!(of("t", "z").contains("value of covariate `t` `z`") && of("u", "y").contains("`u` is missing"));
        let both = [("t", "x"), ("t", "y")].map(|(column, value)| (column.to_owned(), value.to_owned())).to_vec();
        assert!(Scheme::LeaveCovariateOut { values: both }.hold_out(&screen(), 0).is_err());
    }

    #[test]
    fn named_conditions_are_held_out_with_the_covariates_that_are_named() {
        let named = |texts: &[&str]| {
            let patterns = texts.iter().map(|text| Condition::parse(text, "control").unwrap()).collect();
            Scheme::Named { patterns }.hold_out(&screen(), 0)
        };
        assert_eq!(named(&["p1 + p0", "p3 | t=x"]).unwrap().held_out.len(), 3);
        assert!(named(&["p1 + p9"]).unwrap_err().to_string().contains("nearest names"));
        assert!(named(&["control | t=x"]).unwrap_err().to_string().contains("cannot be held out"));
    }

    #[test]
    fn shares_and_screens_that_cannot_be_are_refused() {
        let refused = |scheme: Scheme, screen: &[Condition], part: &str| {
            let error = scheme.hold_out(screen, 0).unwrap_err();
            let told = format!("{error} {}", error.hint().unwrap_or_default());
            assert!(error.is_mistake() && told.contains(part), "{told}");
        };
        for share in [0.0, 1.0, -1.0, f64::NAN] {
            refused(Scheme::UnseenSingle { share }, &screen(), "between 0 and 1");
        }
        refused(Scheme::UnseenSingle { share: 0.99 }, &screen(), "all 10");
        let parse = |texts: &[&str]| -> Vec<Condition> {
            texts.iter().map(|text| Condition::parse(text, "control").unwrap()).collect()
        };
        let singles = parse(&["control", "A", "B"]);
        refused(Scheme::LeaveCombinationOut { share: 0.5 }, &singles, "another --scheme");
        let without = parse(&["control | t=1", "A | t=1", "B | t=1", "A | t=2"]);
        refused(Scheme::UnseenSingle { share: 0.5 }, &without, "`t=2`");
    }
}

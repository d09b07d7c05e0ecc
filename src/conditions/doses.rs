//! The doses and times at which the components of a screen were given: their units, and what lies between them.

use std::collections::{BTreeMap, BTreeSet};

use super::component::Component;
use super::perturbation::Perturbation;
use super::quantity::Quantity;
use crate::error::refuse;
use crate::{Error, Result};

/// The components of a screen by their names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Doses {
    by_name: BTreeMap<String, BTreeSet<Component>>,
}

/// Where a component lies among those of a screen.
#[derive(Debug, Clone, PartialEq)]
pub enum Place {
    /// It is one of them.
    Measured,
    /// Its dose lies between two of theirs.
    Between(Between),
    /// Its name is known, its dose lies beyond theirs, or its time is none of theirs.
    Outside,
    /// Its name is not known.
    Unknown,
}

/// A dose d between its measured neighbours d₁ < d < d₂, at the same time and in the same unit. What a component does at d is
/// taken as (1 − w)·f(d₁) + w·f(d₂) with w = (ln d − ln d₁) / (ln d₂ − ln d₁): linear in the logarithm of the dose.
#[derive(Debug, Clone, PartialEq)]
pub struct Between {
    /// The label of the component at d₁.
    pub lower: String,
    /// The label of the component at d₂.
    pub upper: String,
    /// w.
    pub share: f64,
}

impl Between {
    /// The neighbours of a component among labels; nothing if it has no dose or lies beyond them.
    pub fn of<'a>(label: &str, labels: impl Iterator<Item = &'a String>) -> Option<Self> {
        if !label.contains('@') {
            return None;
        }
        let component = Component::of_label(label).ok()?;
        let dose = component.dose.as_ref()?;
        let (mut lower, mut upper) = (None::<(f64, &String)>, None::<(f64, &String)>);
        for other_label in labels.filter(|other| other.contains('@')) {
            let Ok(other) = Component::of_label(other_label) else { continue };
            let Some(other_dose) = &other.dose else { continue };
            if other.name != component.name || other.time != component.time || other_dose.unit() != dose.unit() {
                continue;
            }
            let value = other_dose.value();
            if value < dose.value() && lower.is_none_or(|(best, _)| value > best) {
                lower = Some((value, other_label));
            }
            if value > dose.value() && upper.is_none_or(|(best, _)| value < best) {
                upper = Some((value, other_label));
            }
        }
        let ((low, lower), (high, upper)) = (lower?, upper?);
        let share = (dose.value().ln() - low.ln()) / (high.ln() - low.ln());
        Some(Self { lower: lower.clone(), upper: upper.clone(), share })
    }
}

impl Doses {
    /// Those of perturbations.
    pub fn of<'a>(perturbations: impl Iterator<Item = &'a Perturbation>) -> Self {
        let mut by_name = BTreeMap::<String, BTreeSet<Component>>::new();
        for part in perturbations.flat_map(Perturbation::parts) {
            by_name.entry(part.name.clone()).or_default().insert(part);
        }
        Self { by_name }
    }

    /// The names of components, without doses.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.by_name.keys()
    }

    /// Where the component with this label lies.
    pub fn place(&self, label: &str) -> Place {
        let component = Component::of_label(label).unwrap_or_else(|_| Component::plain(label));
        let Some(known) = self.by_name.get(&component.name) else { return Place::Unknown };
        if known.contains(&component) {
            return Place::Measured;
        }
        let labels: Vec<String> = known.iter().map(Component::label).collect();
        Between::of(label, labels.iter()).map_or(Place::Outside, Place::Between)
    }

    /// The same perturbation, with doses and times in the units of the screen; names that it does not know stay as they are.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] if a dose or time is missing where the screen has one, or the other way round, or if it has
    /// no unit or one that measures something else.
    pub fn in_units(&self, perturbation: &Perturbation) -> Result<Perturbation> {
        let mut parts = Vec::new();
        for mut part in perturbation.parts() {
            if let Some(known) = self.by_name.get(&part.name) {
                let wrong = |reason: String| refuse("perturbation", perturbation, &reason);
                for (what, own, of) in [
                    (
                        "dose",
                        &mut part.dose,
                        (|known: &Component| known.dose.clone()) as fn(&Component) -> Option<Quantity>,
                    ),
                    ("time", &mut part.time, |known| known.time.clone()),
                ] {
                    let theirs: BTreeSet<Quantity> = known.iter().filter_map(of).collect();
                    match (own.as_ref(), theirs.first()) {
                        (None, None) => {}
                        (Some(own), None) => {
                            return wrong(format!(
                                "`{}` has no {what} in this screen, and none such as `{own}`",
                                part.name
                            ));
                        }
                        (None, Some(_)) if known.iter().any(|known| of(known).is_none()) => {}
                        (None, Some(_)) => {
                            return wrong(format!(
                                "`{}` has a {what} in this screen: {}; write for example `{}`",
                                part.name,
                                listed(&theirs),
                                known.first().map(Component::to_string).unwrap_or_default()
                            ));
                        }
                        (Some(quantity), Some(first)) => match quantity.to_unit(first.unit()) {
                            Some(converted) => *own = Some(converted),
                            None => {
                                let unit = match quantity.unit() {
                                    "" => "has no unit".to_owned(),
                                    unit => format!("is in `{unit}`"),
                                };
                                return wrong(format!(
                                    "the {what} `{quantity}` of `{}` {unit}; this screen has {}",
                                    part.name,
                                    listed(&theirs)
                                ));
                            }
                        },
                    }
                }
            }
            parts.push(part);
        }
        Perturbation::of_parts(parts).map_err(|reason| Error::InvalidParameter {
            name: "perturbation".into(),
            value: perturbation.to_string(),
            reason,
        })
    }

    /// Fails if a component of a known name has a dose beyond those of the screen, or a time that it does not have.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] with the doses that are known.
    pub fn check_range(&self, perturbation: &Perturbation) -> Result<()> {
        for (label, part) in perturbation.components().iter().zip(perturbation.parts()) {
            if self.place(label) == Place::Outside {
                let known: Vec<String> = self.by_name[&part.name].iter().map(Component::to_string).collect();
                let reason = format!(
                    "`{part}` lies outside what was measured of `{}`: {}; between doses at one time effects are interpolated, \
                     beyond them nothing tells of them",
                    part.name,
                    known.join(", ")
                );
                return refuse("perturbation", perturbation, &reason);
            }
        }
        Ok(())
    }

    /// How the unmeasured doses of a perturbation are told from measured ones; nothing if all are measured.
    pub fn describe(&self, perturbation: &Perturbation) -> Option<String> {
        let between = |label: &String| match self.place(label) {
            Place::Between(between) => {
                let share = format!("{:.2}", between.share);
                Some(format!("{label} is read at {share} of the way from {} to {}", between.lower, between.upper))
            }
            _ => None,
        };
        let all: Vec<String> = perturbation.components().iter().filter_map(between).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

fn listed(quantities: &BTreeSet<Quantity>) -> String {
    quantities.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Perturbations whose doses do not go together.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixed {
    /// Why.
    pub reason: String,
    /// Those at fault.
    pub perturbations: Vec<Perturbation>,
}

/// Perturbations with their numbers of cells → the same, each component in the one unit that most of its cells have.
///
/// # Errors
/// [`Mixed`] if some doses of a screen have units and some have none, if a component has a dose (or a time) in some cells and
/// none in others, or if its units do not convert into one another.
pub fn common_units(
    counts: &BTreeMap<Perturbation, usize>,
) -> std::result::Result<BTreeMap<Perturbation, Perturbation>, Mixed> {
    let all: Vec<(&Perturbation, Vec<Component>, usize)> =
        counts.iter().map(|(perturbation, n)| (perturbation, perturbation.parts().collect(), *n)).collect();
    let those = |is_bad: &dyn Fn(&Component) -> bool| -> Vec<Perturbation> {
        let bad = all.iter().filter(|(_, parts, _)| parts.iter().any(is_bad));
        bad.map(|(perturbation, ..)| (*perturbation).clone()).collect()
    };
    let without_unit = those(&|part| part.dose.as_ref().is_some_and(|dose| dose.unit().is_empty()));
    let with_unit = those(&|part| part.dose.as_ref().is_some_and(|dose| !dose.unit().is_empty()));
    if let (false, Some(example)) = (without_unit.is_empty(), with_unit.first()) {
        let reason = format!("doses without a unit, where others have one, such as `{example}`");
        return Err(Mixed { reason, perturbations: without_unit });
    }
    let mut units = BTreeMap::<(&str, bool), String>::new();
    for is_time in [false, true] {
        let of = |part: &Component| if is_time { part.time.clone() } else { part.dose.clone() };
        let what = if is_time { "time" } else { "dose" };
        let mut by_name = BTreeMap::<&str, BTreeMap<Option<String>, usize>>::new();
        for (part, n) in all.iter().flat_map(|(_, parts, n)| parts.iter().map(move |part| (part, n))) {
            let unit = of(part).map(|quantity| quantity.unit().to_owned());
            *by_name.entry(&part.name).or_default().entry(unit).or_default() += n;
        }
        for (name, of_units) in by_name {
            if of_units.len() > 1 && of_units.contains_key(&None) {
                let reason = format!("no {what} for `{name}`, which has one in other cells");
                return Err(Mixed { reason, perturbations: those(&|part| part.name == name && of(part).is_none()) });
            }
            // Of equals the first by text.
            let most = of_units.iter().max_by(|a, b| a.1.cmp(b.1).then(b.0.cmp(a.0)));
            let Some((Some(unit), _)) = most else { continue };
            let foreign = |part: &Component| {
                part.name == name && of(part).is_some_and(|quantity| quantity.to_unit(unit).is_none())
            };
            let bad = those(&foreign);
            if !bad.is_empty() {
                let reason =
                    format!("{what}s of `{name}` in a unit that does not convert into `{unit}`, which most have");
                return Err(Mixed { reason, perturbations: bad });
            }
            units.insert((name, is_time), unit.clone());
        }
    }
    let convert = |part: &Component| {
        let to = |quantity: &Quantity, is_time| {
            units
                .get(&(part.name.as_str(), is_time))
                .and_then(|unit| quantity.to_unit(unit))
                .unwrap_or_else(|| quantity.clone())
        };
        Component {
            name: part.name.clone(),
            dose: part.dose.as_ref().map(|dose| to(dose, false)),
            time: part.time.as_ref().map(|time| to(time, true)),
        }
    };
    let converted = all.iter().map(|(perturbation, parts, _)| {
        let parts = parts.iter().map(convert).collect();
        // The names are those of a perturbation that exists.
        ((*perturbation).clone(), Perturbation::of_parts(parts).unwrap_or_else(|_| (*perturbation).clone()))
    });
    Ok(converted.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Perturbation {
        Perturbation::parse(text, "control").unwrap()
    }

    fn doses(texts: &[&str]) -> Doses {
        Doses::of(texts.iter().map(|text| parse(text)).collect::<Vec<_>>().iter())
    }

    #[test]
    fn a_dose_lies_between_its_neighbours_in_its_logarithm() {
        let doses = doses(&["A @ 1 uM", "A @ 100 uM + B", "A @ 10000 uM", "A @ 50 uM 24 h", "AB @ 3 uM"]);
        let Place::Between(between) = doses.place("A @ 10 uM") else { panic!() };
        assert_eq!((between.lower.as_str(), between.upper.as_str()), ("A @ 1 uM", "A @ 100 uM"));
        assert!((between.share - 0.5).abs() < 1e-12);
        assert_eq!(doses.place("A @ 100 uM"), Place::Measured);
        for outside in ["A @ 0.5 uM", "A @ 20000 uM", "A @ 10 uM 24 h", "A @ 10 ng/ml", "A", "AB @ 2 uM"] {
            assert_eq!(doses.place(outside), Place::Outside, "{outside}");
        }
        assert_eq!((doses.place("C @ 1 uM"), doses.place("B")), (Place::Unknown, Place::Measured));
        let said = doses.describe(&parse("A @ 10 uM + B")).unwrap();
        assert_eq!(said, "A @ 10 uM is read at 0.50 of the way from A @ 1 uM to A @ 100 uM");
        assert!(doses.describe(&parse("A @ 1 uM")).is_none());
        let message = doses.check_range(&parse("A @ 0.5 uM")).unwrap_err();
        assert!(
            message.is_mistake() && message.to_string().contains("A @ 1 uM, A @ 100 uM, A @ 10000 uM"),
            "{message}"
        );
    }

    #[test]
    fn what_is_asked_for_is_read_in_the_units_of_the_screen() {
        let doses = doses(&["A @ 1 uM", "A @ 10 uM", "B", "C @ 5"]);
        for (text, expected) in [("A @ 5000 nM + B", "A @ 5 uM+B"), ("C @ 7", "C @ 7"), ("D @ 1 kg", "D @ 1 kg")] {
            assert_eq!(doses.in_units(&parse(text)).unwrap().to_string(), expected);
        }
        for (text, part) in [
            ("A @ 5", "has no unit"),
            ("A", "1 uM, 10 uM"),
            ("A @ 5 ng/ml", "is in `ng/ml`"),
            ("B @ 1 uM", "has no dose"),
            ("A @ 1 uM 24 h", "has no time"),
            ("C @ 5 uM", "is in `uM`"),
        ] {
            let error = doses.in_units(&parse(text)).unwrap_err();
            assert!(error.is_mistake() && error.to_string().contains(part), "{text}: {error}");
        }
    }

    fn counts(texts: &[(&str, usize)]) -> BTreeMap<Perturbation, usize> {
        texts.iter().map(|(text, n)| (parse(text), *n)).collect()
    }

    #[test]
    fn a_component_has_the_unit_that_most_of_its_cells_have() {
        let counts = counts(&[("A @ 100 nM", 3), ("A @ 1 uM", 9), ("A @ 0.1 uM + B @ 2 ng/ml", 1), ("control", 5)]);
        let converted = common_units(&counts).unwrap();
        let texts: Vec<String> = converted.values().map(ToString::to_string).collect();
        assert_eq!(texts, ["control", "A @ 0.1 uM+B @ 2 ng/ml", "A @ 1 uM", "A @ 0.1 uM"].map(str::to_owned));
    }

    #[test]
    fn doses_that_do_not_go_together_are_told() {
        for (texts, part, bad) in [
            (vec![("A @ 1 uM", 1), ("B @ 2", 1), ("B @ 3", 2)], "without a unit", 2),
            (vec![("A @ 1 uM", 1), ("A", 1)], "no dose for `A`", 1),
            (vec![("A @ 1 uM 1 h", 1), ("A @ 1 uM", 1)], "no time for `A`", 1),
            (vec![("A @ 1 uM", 2), ("A @ 1 ng/ml", 1)], "does not convert into `uM`", 1),
        ] {
            let mixed = common_units(&counts(&texts)).unwrap_err();
            assert!(mixed.reason.contains(part) && mixed.perturbations.len() == bad, "{mixed:?}");
        }
    }
}

//! Perturbations: sets of components, free of order.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::component::Component;
use super::quotes;
use crate::{Error, Result};

/// A set of components in bytewise order of their names; the empty set is the control.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Perturbation {
    /// Labels, see [`Component::label`].
    components: Vec<String>,
}

impl TryFrom<Vec<String>> for Perturbation {
    type Error = String;

    fn try_from(labels: Vec<String>) -> std::result::Result<Self, String> {
        let parts = labels.iter().map(|label| Component::of_label(label)).collect::<std::result::Result<_, _>>()?;
        Self::of_parts(parts)
    }
}

impl From<Perturbation> for Vec<String> {
    fn from(perturbation: Perturbation) -> Self {
        perturbation.components
    }
}

impl Perturbation {
    /// The canonical name of the control.
    pub const CONTROL: &str = "control";

    /// No perturbation.
    pub fn control() -> Self {
        Self::default()
    }

    /// One component alone, by its label.
    pub fn single(component: &str) -> Self {
        Self { components: vec![component.to_owned()] }
    }

    /// The set of these components.
    ///
    /// # Errors
    /// The reason, if one has no name or one is named twice, also at two doses.
    pub fn of_parts(mut parts: Vec<Component>) -> std::result::Result<Self, String> {
        if parts.iter().any(|part| part.name.is_empty()) {
            return Err("a component is empty; put a name that contains a plus in double quotes".into());
        }
        parts.sort();
        match parts.windows(2).find(|pair| pair[0].name == pair[1].name) {
            Some(pair) if pair[0] != pair[1] => {
                Err(format!("the component `{}` is named twice, at two doses or times", pair[0].name))
            }
            Some(_) => Err("a component is named twice".into()),
            None => Ok(Self { components: parts.iter().map(Component::label).collect() }),
        }
    }

    /// Reads `"drug A @ 10 uM + drug B"`: components stand between plus signs, white space around them does not matter, their
    /// order neither, a component in double quotes may contain a plus or an at sign, and the control's own name adds nothing.
    /// Dose and time stand behind an at sign ([`Component`]).
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] if a component is empty or named twice, if a double quote stands inside a name or is
    /// left open, if what stands behind an at sign is no dose and no time, or if a component has the canonical name of the
    /// control while the control has another.
    pub fn parse(text: &str, control: &str) -> Result<Self> {
        Self::parse_separated(text, "+", control)
    }

    /// As [`Self::parse`], with another separator of components.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_separated(text: &str, separator: &str, control: &str) -> Result<Self> {
        let invalid =
            |reason: String| Error::InvalidParameter { name: "perturbation".into(), value: text.to_owned(), reason };
        let parts = Self::read_parts(text, separator, control).map_err(invalid)?;
        Self::of_parts(parts.into_iter().flatten().collect()).map_err(invalid)
    }

    /// The components as they stand in a text, nothing where the control's own name stands; without a separator the whole text
    /// is one name, whatever signs it contains.
    ///
    /// # Errors
    /// The reason, as [`Self::parse`].
    pub fn read_parts(
        text: &str,
        separator: &str,
        control: &str,
    ) -> std::result::Result<Vec<Option<Component>>, String> {
        let (control, read) = (control.trim(), |part: &str| {
            let part = match separator.is_empty() {
                true => Component::plain(part.trim()),
                false => Component::parse(part)?,
            };
            if part.name == control {
                return match part.is_plain() {
                    true => Ok(None),
                    false => Err(format!("`{control}` is the control, which has no dose and no time")),
                };
            }
            if part.name == Self::CONTROL {
                let reason =
                    format!("`{}` is the canonical name of the control, which is called `{control}` here", part.name);
                return Err(format!("{reason}; rename the component"));
            }
            Ok(Some(part))
        });
        match separator.is_empty() || text.trim() == control {
            true => Ok(vec![if text.trim() == control { None } else { read(text)? }]),
            false => quotes::split_at(text, separator)?.into_iter().map(read).collect(),
        }
    }

    /// The labels of the components, in bytewise order of their names: a label is a name, with dose and time where a screen
    /// has them. What a component does alone belongs to its label.
    pub fn components(&self) -> &[String] {
        &self.components
    }

    /// The components, in the same order.
    pub fn parts(&self) -> impl Iterator<Item = Component> + '_ {
        // Labels are checked where they are made.
        self.components.iter().map(|label| Component::of_label(label).unwrap_or_else(|_| Component::plain(label)))
    }

    /// True if the same components were given at the same doses and times, in whatever units.
    pub fn is_same_as(&self, other: &Self) -> bool {
        // A screen has many cells: labels are only taken apart where there are doses.
        let has_doses = |one: &Self| one.components.iter().any(|label| label.contains('@'));
        self == other
            || (self.components.len() == other.components.len()
                && has_doses(self)
                && has_doses(other)
                && self.parts().zip(other.parts()).all(|(one, other)| one.is_same_as(&other)))
    }

    /// True where nothing was applied.
    pub fn is_control(&self) -> bool {
        self.components.is_empty()
    }

    /// The components joined by `separator`, names that contain a plus or an at sign in double quotes; `control` for none.
    pub fn join(&self, separator: &str) -> String {
        self.join_quoting(separator, &['+'])
    }

    /// The components joined by `separator`, names that contain an at sign or one of `marks` in double quotes; `control` for none.
    pub(super) fn join_quoting(&self, separator: &str, marks: &[char]) -> String {
        if self.is_control() {
            return Self::CONTROL.to_owned();
        }
        self.parts().map(|part| part.text(marks)).collect::<Vec<_>>().join(separator)
    }
}

/// The canonical text, as written to `obs["perturbation"]`: `A+B`, `A @ 10 uM+B`.
impl fmt::Display for Perturbation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.join("+"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Perturbation {
        Perturbation::parse(text, "ctrl").unwrap()
    }

    #[test]
    fn order_and_white_space_do_not_matter() {
        assert_eq!(parse("drug B+drug A"), parse(" drug A  +   drug B "));
        assert_eq!(parse("drug B + drug A").to_string(), "drug A+drug B");
    }

    #[test]
    fn the_control_adds_nothing() {
        assert_eq!(parse("A+ctrl").components(), ["A"]);
        assert!(parse("ctrl").is_control());
        assert_eq!(parse("ctrl").to_string(), "control");
    }

    #[test]
    fn a_quoted_name_may_contain_a_plus() {
        let perturbation = parse("\"Na+\" + drug B");
        assert_eq!(perturbation.components(), ["Na+", "drug B"]);
        assert_eq!(parse(&perturbation.to_string()), perturbation);
    }

    #[test]
    fn empty_and_doubled_components_are_refused() {
        for text in ["A+", "", "A + A", "\"A", "A \"B\"", "\"A\"B"] {
            assert!(Perturbation::parse(text, "ctrl").is_err(), "{text}");
        }
    }

    #[test]
    fn a_component_named_like_the_canonical_control_is_refused_unless_it_is_the_control() {
        for text in ["control", "A + control"] {
            let message = Perturbation::parse(text, "DMSO").unwrap_err().to_string();
            assert!(message.contains("`DMSO`"), "{message}");
        }
        assert_eq!(Perturbation::parse("A + control", "control").unwrap().components(), ["A"]);
    }

    #[test]
    fn a_name_that_only_contains_the_control_s_name_is_a_component() {
        assert_eq!(parse("ctrlX + notctrl").components(), ["ctrlX", "notctrl"]);
        assert_eq!(Perturbation::parse("A_B", "ctrl").unwrap().components(), ["A_B"]);
    }

    #[test]
    fn doses_and_times_are_read_in_any_order_of_the_components() {
        let perturbation = parse("drug B+ drug A @ 10 µM 24 hours");
        assert_eq!(perturbation, parse("drug A @ 10 uM 24 h + drug B"));
        assert_eq!(perturbation.components(), ["drug A @ 10 uM 24 h", "drug B"]);
        assert_eq!(perturbation.to_string(), "drug A @ 10 uM 24 h+drug B");
        assert_eq!(parse("\"Na+\" @ 1 uM + \"a @ b\"").to_string(), "\"Na+\" @ 1 uM+\"a @ b\"");
        let parts: Vec<String> = perturbation.parts().map(|part| part.name).collect();
        assert_eq!(parts, ["drug A", "drug B"]);
        assert!(
            parse("A @ 1 uM + B").is_same_as(&parse("B + A @ 1000 nM")) && !parse("A @ 1 uM").is_same_as(&parse("A"))
        );
    }

    #[test]
    fn one_drug_at_two_doses_and_a_dose_of_the_control_are_refused() {
        for (text, part) in
            [("A @ 1 uM + A @ 2 uM", "`A` is named twice"), ("A + A @ 2 uM", "twice"), ("A + ctrl @ 1 uM", "control")]
        {
            let message = Perturbation::parse(text, "ctrl").unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn files_hold_labels() {
        let perturbation = parse("\"Na+\" + A @ 10 uM + \"x @ y\"");
        let text = serde_json::to_string(&perturbation).unwrap();
        assert_eq!(text, r#"["A @ 10 uM","Na+","\"x @ y\""]"#);
        assert_eq!(serde_json::from_str::<Perturbation>(&text).unwrap(), perturbation);
        assert!(serde_json::from_str::<Perturbation>(r#"["A @ much"]"#).unwrap_err().to_string().contains("no number"));
    }

    #[test]
    fn the_control_s_own_name_may_contain_a_plus() {
        assert!(Perturbation::parse("DMSO+vehicle", " DMSO+vehicle").unwrap().is_control());
        assert!(parse("ctrl+ctrl").is_control());
    }
}

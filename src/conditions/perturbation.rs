//! Perturbations: sets of components, free of order.

use std::fmt;

use super::quotes;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A set of components in bytewise order; the empty set is the control.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Perturbation {
    components: Vec<String>,
}

impl Perturbation {
    /// The canonical name of the control.
    pub const CONTROL: &str = "control";

    /// No perturbation.
    pub fn control() -> Self {
        Self::default()
    }

    /// One component alone.
    pub fn single(component: &str) -> Self {
        Self { components: vec![component.to_owned()] }
    }

    /// Reads `"drug A + drug B"`: components stand between plus signs, white space around them does not matter, their
    /// order neither, a component in double quotes may contain a plus, and the control's own name adds nothing.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] if a component is empty or named twice, if a double quote stands inside a name or is
    /// left open, or if a component has the canonical name of the control while the control has another.
    pub fn parse(text: &str, control: &str) -> Result<Self> {
        let invalid =
            |reason: String| Error::InvalidParameter { name: "perturbation".into(), value: text.to_owned(), reason };
        let control = control.trim();
        if text.trim() == control {
            return Ok(Self::control());
        }
        let mut components = Vec::new();
        for part in quotes::split(text, '+').map_err(invalid)? {
            let component = quotes::unquote(part).map_err(invalid)?;
            if component.is_empty() {
                return Err(invalid("a component is empty; put a name that contains a plus in double quotes".into()));
            }
            if component == control {
                continue;
            }
            if component == Self::CONTROL {
                let reason =
                    format!("`{component}` is the canonical name of the control, which is called `{control}` here");
                return Err(invalid(format!("{reason}; rename the component")));
            }
            components.push(component);
        }
        components.sort();
        if components.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(invalid("a component is named twice".into()));
        }
        Ok(Self { components })
    }

    /// The components in bytewise order.
    pub fn components(&self) -> &[String] {
        &self.components
    }

    /// True where nothing was applied.
    pub fn is_control(&self) -> bool {
        self.components.is_empty()
    }

    /// The components joined by `separator`, those that contain a plus in double quotes; `control` for none.
    pub fn join(&self, separator: &str) -> String {
        self.join_quoting(separator, &['+'])
    }

    /// The components joined by `separator`, those that contain one of `marks` in double quotes; `control` for none.
    pub(super) fn join_quoting(&self, separator: &str, marks: &[char]) -> String {
        if self.is_control() {
            return Self::CONTROL.to_owned();
        }
        self.components.iter().map(|name| quotes::quote(name, marks)).collect::<Vec<_>>().join(separator)
    }
}

/// The canonical label, as written to `obs["perturbation"]`: `A+B`.
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
    fn the_control_s_own_name_may_contain_a_plus() {
        assert!(Perturbation::parse("DMSO+vehicle", " DMSO+vehicle").unwrap().is_control());
        assert!(parse("ctrl+ctrl").is_control());
    }
}

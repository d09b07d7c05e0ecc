//! Perturbations: sets of components, free of order.

use std::fmt;

use crate::{Error, Result};

/// A set of components in bytewise order; the empty set is the control.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
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

    /// Reads `"drug A + drug B"`: components stand between plus signs, white space around them does not matter, their
    /// order neither, a component in double quotes may contain a plus, and the control's own name adds nothing.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] if a component is empty or named twice, or a quote is left open.
    pub fn parse(text: &str, control: &str) -> Result<Self> {
        let invalid = |reason: &str| Error::InvalidParameter {
            name: "perturbation".into(),
            value: text.to_owned(),
            reason: reason.to_owned(),
        };
        if text.trim() == control {
            return Ok(Self::control());
        }
        let (mut parts, mut part, mut quoted) = (Vec::new(), String::new(), false);
        for character in text.chars() {
            match character {
                '"' => quoted = !quoted,
                '+' if !quoted => parts.push(std::mem::take(&mut part)),
                other => part.push(other),
            }
        }
        if quoted {
            return Err(invalid("a double quote is left open"));
        }
        parts.push(part);
        let mut components = Vec::new();
        for part in parts {
            let component = part.trim().to_owned();
            if component.is_empty() {
                return Err(invalid("a component is empty; put a name that contains a plus in double quotes"));
            }
            if component != control && component != Self::CONTROL {
                components.push(component);
            }
        }
        components.sort();
        if components.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(invalid("a component is named twice"));
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
        if self.is_control() {
            return Self::CONTROL.to_owned();
        }
        let quote = |name: &String| if name.contains('+') { format!("\"{name}\"") } else { name.clone() };
        self.components.iter().map(quote).collect::<Vec<_>>().join(separator)
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
        for text in ["A+", "", "A + A", "\"A"] {
            assert!(Perturbation::parse(text, "ctrl").is_err(), "{text}");
        }
    }
}

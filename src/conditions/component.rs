//! One component of a perturbation: a name, and the dose and time at which it was given.

use std::fmt;

use super::quantity::{self, Quantity};
use super::quotes;

/// What was applied to cells, one of several things perhaps: `drug A`, `drug A @ 10 uM`, `drug A @ 10 uM 24 h`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Component {
    /// The name.
    pub name: String,
    /// For how long it was applied.
    pub time: Option<Quantity>,
    /// How much of it.
    pub dose: Option<Quantity>,
}

impl Component {
    /// A component of which neither dose nor time is known.
    pub fn plain(name: &str) -> Self {
        Self { name: name.to_owned(), time: None, dose: None }
    }

    /// Reads a name, and behind an at sign a dose, a time, or both; a name in double quotes may contain any sign.
    ///
    /// # Errors
    /// The reason, if what stands behind the at sign is no dose and no time, or as [`quotes::unquote`].
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let sides = quotes::split(text, '@')?;
        let name = quotes::unquote(sides[0])?;
        let [_, amounts] = sides[..] else {
            return match sides.len() {
                1 => Ok(Self { name, time: None, dose: None }),
                _ => Err(format!("`{}` has two @ signs; put a name that contains one in double quotes", text.trim())),
            };
        };
        let wrong = |reason: String| {
            format!(
                "{reason} in `{}`; dose and time are written as in `drug A @ 10 uM 24 h`, a name that contains @ in double quotes",
                text.trim()
            )
        };
        let quantities = quantity::read(amounts).map_err(wrong)?;
        if quantities.is_empty() {
            return Err(wrong("nothing stands behind the @".into()));
        }
        let (mut time, mut dose) = (None, None);
        for quantity in quantities {
            let (slot, what) = if quantity.is_time() { (&mut time, "times") } else { (&mut dose, "doses") };
            if slot.replace(quantity).is_some() {
                return Err(wrong(format!("two {what} stand")));
            }
        }
        Ok(Self { name, time, dose })
    }

    /// True without dose and time.
    pub fn is_plain(&self) -> bool {
        self.time.is_none() && self.dose.is_none()
    }

    /// True if `other` is this component at the same dose and time, in whatever units.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let is_same = |one: &Option<Quantity>, other: &Option<Quantity>| match (one, other) {
            (Some(one), Some(other)) => one.to_unit(other.unit()).as_ref() == Some(other),
            (one, other) => one == other,
        };
        self.name == other.name && is_same(&self.dose, &other.dose) && is_same(&self.time, &other.time)
    }

    /// What stands behind the at sign; nothing for a plain component.
    fn amounts(&self) -> Vec<String> {
        [&self.dose, &self.time].into_iter().flatten().map(ToString::to_string).collect()
    }

    /// The label: the plain name, or the text form where there is more than a name. Different components have different
    /// labels; a plus needs no quotes there.
    pub fn label(&self) -> String {
        match self.is_plain() && !self.name.contains('@') {
            true => self.name.clone(),
            false => self.text(&[]),
        }
    }

    /// Reads a label.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub(super) fn of_label(label: &str) -> Result<Self, String> {
        match label.contains('@') {
            false => Ok(Self::plain(label)),
            true => Self::parse(label),
        }
    }

    /// The text form, with the name in double quotes if it contains an at sign or one of `marks`.
    pub(super) fn text(&self, marks: &[char]) -> String {
        let name = quotes::quote(&self.name, &[&['@'], marks].concat());
        match self.amounts() {
            none if none.is_empty() => name,
            amounts => format!("{name} @ {}", amounts.join(" ")),
        }
    }
}

/// The text form, as in `drug A @ 10 uM 24 h`.
impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(&['+']))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_component_survives_its_label_and_its_text() {
        for text in [
            "drug A",
            "\"Na+\"",
            "\"weird @ name\"",
            "\"weird @ name\" @ 10 uM",
            "drug A @ 10 uM",
            "drug A @ 24 h",
            "drug A @ 10 uM 24 h",
            "drug A@0.5",
            "\"say \"\"x\"\"\" @ 1 ng/ml",
            "\"say \"\"x\"\"\"",
            "A @ 3 \"mg + x\"",
            "A @ 3 \"5x\"",
        ] {
            let component = Component::parse(text).unwrap();
            assert_eq!(Component::of_label(&component.label()).unwrap(), component, "{text}");
            assert_eq!(Component::parse(&component.to_string()).unwrap(), component, "{text}");
        }
        assert_eq!(Component::parse("A @ 24 h 10 µM").unwrap().to_string(), "A @ 10 uM 24 h");
        assert_eq!(Component::plain("Na+").label(), "Na+");
    }

    #[test]
    fn what_is_no_dose_is_refused() {
        for (text, part) in [
            ("A @", "nothing stands"),
            ("A @ B", "`B` is no number"),
            ("A @ 1 uM @ 2 h", "two @"),
            ("A @ 1 uM 2 nM", "two doses"),
            ("A @ 1 h 1 d", "two times"),
            ("A @ 0 uM", "above zero"),
            ("A @ -1 uM", "above zero"),
            ("A @ inf uM", "not finite"),
        ] {
            let reason = Component::parse(text).unwrap_err();
            assert!(reason.contains(part), "{text}: {reason}");
        }
    }
}

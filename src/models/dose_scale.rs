//! Doses and times as numbers that a network reads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::conditions::{Component, Condition, Quantity};

/// What a number stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    /// How much of a component.
    Dose,
    /// For how long.
    Time,
}

impl Amount {
    fn of(self, component: &Component) -> Option<&Quantity> {
        match self {
            Self::Dose => component.dose.as_ref(),
            Self::Time => component.time.as_ref(),
        }
    }
}

/// The logarithms of the doses of one component, as they lie in training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// The component's name.
    pub component: String,
    /// Dose or time.
    pub amount: Amount,
    /// Its unit; empty if it has none.
    pub unit: String,
    /// The middle between the logarithms of the least and the greatest.
    pub middle: f64,
    /// Half of what lies between them.
    pub half: f64,
}

/// A number for each component that training has at two doses or more, and for each that it has at two times or more:
/// (ln d − middle) / half, −1 at the least dose of training and 1 at the greatest; 0 in a condition without the component.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DoseScale(Vec<Scale>);

impl DoseScale {
    /// Takes the doses of training conditions.
    pub fn fit<'a>(conditions: impl Iterator<Item = &'a Condition>) -> Self {
        let mut seen = BTreeMap::<(String, Amount), (String, f64, f64)>::new();
        for part in conditions.flat_map(|condition| condition.perturbation.parts().collect::<Vec<_>>()) {
            for amount in [Amount::Dose, Amount::Time] {
                let Some(quantity) = amount.of(&part) else { continue };
                let log = quantity.value().ln();
                let range =
                    seen.entry((part.name.clone(), amount)).or_insert_with(|| (quantity.unit().to_owned(), log, log));
                (range.1, range.2) = (range.1.min(log), range.2.max(log));
            }
        }
        let scale = |((component, amount), (unit, low, high)): (_, (String, f64, f64))| Scale {
            component,
            amount,
            unit,
            middle: (low + high) / 2.0,
            half: (high - low) / 2.0,
        };
        Self(seen.into_iter().map(scale).filter(|scale| scale.half > 0.0).collect())
    }

    /// Number of numbers.
    pub fn n(&self) -> usize {
        self.0.len()
    }

    /// True if nothing has several doses or times.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the numbers stand for.
    pub fn scales(&self) -> &[Scale] {
        &self.0
    }

    /// The doses and times of a condition: (n).
    ///
    /// **Units** 1 is from the middle of the logarithms of the trained doses to their end.
    pub fn numbers(&self, condition: &Condition) -> Vec<f32> {
        if self.is_empty() {
            return Vec::new();
        }
        let parts: Vec<Component> = condition.perturbation.parts().collect();
        let number = |scale: &Scale| {
            let part = parts.iter().find(|part| part.name == scale.component)?;
            let quantity = scale.amount.of(part)?.to_unit(&scale.unit)?;
            Some(((quantity.value().ln() - scale.middle) / scale.half) as f32)
        };
        self.0.iter().map(|scale| number(scale).unwrap_or(0.0)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doses_lie_between_minus_one_and_one_and_absent_components_at_zero() {
        let parse = |text: &str| Condition::parse(text, "control").unwrap();
        let training = ["control", "A @ 1 uM", "A @ 100 uM + B @ 5 uM", "C @ 1 h", "C @ 4 h", "D"].map(parse);
        let scale = DoseScale::fit(training.iter());
        let names: Vec<_> = scale.scales().iter().map(|scale| (scale.component.as_str(), scale.amount)).collect();
        assert_eq!(names, [("A", Amount::Dose), ("C", Amount::Time)]);
        for (text, expected) in [
            ("control", [0.0, 0.0]),
            ("A @ 1 uM", [-1.0, 0.0]),
            ("A @ 10 uM + C @ 4 h", [0.0, 1.0]),
            ("A @ 100000 nM", [1.0, 0.0]),
            ("B @ 5 uM + C @ 2 h", [0.0, 0.0]),
        ] {
            let numbers = scale.numbers(&parse(text));
            assert!(numbers.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{text}: {numbers:?}");
        }
        let text = serde_json::to_string(&scale).unwrap();
        assert_eq!(serde_json::from_str::<DoseScale>(&text).unwrap(), scale);
        assert!(DoseScale::fit([parse("A"), parse("B @ 1 uM")].iter()).is_empty());
    }
}

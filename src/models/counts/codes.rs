//! Conditions as codes: which components, which value of each covariate.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::conditions::{Component, Condition};
use crate::error::nearest;
use crate::models::dose_scale::{DoseScale, Scale};
use crate::{Error, Result};

/// The components and the values of covariates that occur in training. A condition is the set of its codes, whatever the
/// order in which its components are written: one for each component (none for a control), one for each covariate. A
/// component has one code at all doses and times; these are numbers of their own, after the codes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Codes {
    components: Vec<String>,
    covariates: BTreeMap<String, Vec<String>>,
    /// Doses and times, where training has several of a component.
    #[serde(default, skip_serializing_if = "DoseScale::is_empty")]
    doses: DoseScale,
}

impl Codes {
    /// Collects what occurs in training conditions.
    pub fn fit(conditions: &[Condition]) -> Self {
        let distinct: BTreeSet<&Condition> = conditions.iter().collect();
        let (mut components, mut covariates) = (BTreeSet::new(), BTreeMap::<String, BTreeSet<String>>::new());
        let doses = DoseScale::fit(distinct.iter().copied());
        for condition in distinct {
            components.extend(condition.perturbation.parts().map(|part| part.name));
            for (column, value) in &condition.covariates {
                covariates.entry(column.clone()).or_default().insert(value.clone());
            }
        }
        let covariates = covariates.into_iter().map(|(column, values)| (column, values.into_iter().collect()));
        Self { components: components.into_iter().collect(), covariates: covariates.collect(), doses }
    }

    /// How doses and times are told in numbers.
    pub fn doses(&self) -> &DoseScale {
        &self.doses
    }

    /// The code of the component that each number of [`Self::doses`] is of.
    pub fn dosed(&self) -> Vec<usize> {
        let place = |scale: &Scale| self.components.iter().position(|name| *name == scale.component);
        // Both were fitted to the same conditions.
        self.doses.scales().iter().map(|scale| place(scale).unwrap_or_default()).collect()
    }

    /// Number of codes.
    pub fn n(&self) -> usize {
        self.components.len() + self.covariates.values().map(Vec::len).sum::<usize>()
    }

    /// Which codes are components.
    pub fn components(&self) -> Range<usize> {
        0..self.components.len()
    }

    /// Which codes are values of each covariate, by column.
    pub fn covariates(&self) -> Vec<(&str, Range<usize>)> {
        let mut start = self.components.len();
        let mut range = |(column, values): (&'_ String, &Vec<String>)| {
            start += values.len();
            (column.clone(), start - values.len()..start)
        };
        let ranges: Vec<(String, Range<usize>)> = self.covariates.iter().map(&mut range).collect();
        self.covariates.keys().map(String::as_str).zip(ranges.into_iter().map(|(_, range)| range)).collect()
    }

    /// The codes of a condition, rising.
    ///
    /// # Errors
    /// [`Error::UnknownName`] if a component or a value of a covariate did not occur in training.
    pub fn of(&self, condition: &Condition) -> Result<Vec<u32>> {
        let find = |what: String, name: &str, names: &[String]| {
            names.iter().position(|known| known == name).ok_or_else(|| Error::UnknownName {
                what,
                name: name.into(),
                place: "the model".into(),
                nearest: nearest(name, names.iter()),
            })
        };
        let component = |part: Component| find("perturbation".into(), &part.name, &self.components);
        let mut codes = condition.perturbation.parts().map(component).collect::<Result<Vec<_>>>()?;
        for ((column, range), values) in self.covariates().into_iter().zip(self.covariates.values()) {
            let value = condition.covariates.get(column).map_or("", String::as_str);
            codes.push(range.start + find(format!("value of covariate `{column}`"), value, values)?);
        }
        Ok(codes.into_iter().map(|code| code as u32).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(text: &str) -> Condition {
        Condition::parse(text, "control").unwrap()
    }

    #[test]
    fn a_condition_is_the_set_of_its_components_and_covariates() {
        let training = ["control | t=x | u=1", "B | t=y | u=1", "A+B | t=x | u=2"].map(condition);
        let codes = Codes::fit(&training);
        assert_eq!((codes.n(), codes.components()), (6, 0..2));
        assert_eq!(codes.covariates(), [("t", 2..4), ("u", 4..6)]);
        assert_eq!(codes.of(&condition("control | t=y | u=2")).unwrap(), [3, 5]);
        assert_eq!(codes.of(&condition("B + A | t=y | u=1")).unwrap(), [0, 1, 3, 4]);
        let text = serde_json::to_string(&codes).unwrap();
        assert!(!text.contains("doses"), "{text}");
        assert_eq!(serde_json::from_str::<Codes>(&text).unwrap(), codes);
    }

    #[test]
    fn a_component_has_one_code_at_all_doses() {
        let training = ["control", "B @ 1 uM", "A @ 2 uM", "A @ 8 uM + B @ 1 uM"].map(condition);
        let codes = Codes::fit(&training);
        assert_eq!((codes.n(), codes.dosed(), codes.doses().n()), (2, vec![0], 1));
        assert_eq!(codes.of(&condition("A @ 4 uM + B @ 1 uM")).unwrap(), [0, 1]);
        assert!(codes.doses().numbers(&condition("A @ 4 uM"))[0].abs() < 1e-6);
        let text = serde_json::to_string(&codes).unwrap();
        assert_eq!(serde_json::from_str::<Codes>(&text).unwrap(), codes);
    }

    #[test]
    fn what_never_occurred_is_refused_with_near_names() {
        let codes = Codes::fit(&["A | t=x", "BRCA1 | t=y"].map(condition));
        for (text, part) in [("BRCA2 | t=x", "BRCA1"), ("A | t=z", "covariate `t`"), ("A", "covariate `t`")] {
            let error = codes.of(&condition(text)).unwrap_err();
            assert!(error.is_mistake() && error.to_string().contains(part), "{error}");
        }
    }
}

//! Conditions in words.

use super::Condition;
use crate::{Error, Result};

/// A sentence with places for the perturbation and for covariates, such as
/// `Generate a {cell_type} cell perturbed with {perturbation}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Words(String),
    Perturbation,
    Covariate(String),
}

impl Template {
    /// Reads a template whose places in braces are `perturbation` or one of the covariates.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] for an unknown place, an open brace, or a template without `{perturbation}`.
    pub fn parse(text: &str, covariates: &[String]) -> Result<Self> {
        let invalid = |reason: String| Error::InvalidParameter { name: "prompt".into(), value: text.into(), reason };
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find('{') {
            let Some(length) = rest[start..].find('}') else {
                return Err(invalid("a brace is left open".into()));
            };
            let place = &rest[start + 1..start + length];
            parts.push(Part::Words(rest[..start].to_owned()));
            if place == "perturbation" {
                parts.push(Part::Perturbation);
            } else if covariates.iter().any(|covariate| covariate == place) {
                parts.push(Part::Covariate(place.to_owned()));
            } else {
                let known: Vec<String> = covariates.iter().map(|covariate| format!("{{{covariate}}}")).collect();
                let known = std::iter::once("{perturbation}".to_owned()).chain(known).collect::<Vec<_>>().join(", ");
                return Err(invalid(format!("`{{{place}}}` is unknown; known places: {known}")));
            }
            rest = &rest[start + length + 1..];
        }
        parts.push(Part::Words(rest.to_owned()));
        if !parts.contains(&Part::Perturbation) {
            return Err(invalid("`{perturbation}` must occur".into()));
        }
        Ok(Self { text: text.into(), parts })
    }

    /// The template that names every covariate: `Generate a cell with cell_type {cell_type} perturbed with {perturbation}`.
    pub fn plain(covariates: &[String]) -> String {
        let named: Vec<String> =
            covariates.iter().map(|covariate| format!(" with {covariate} {{{covariate}}}")).collect();
        format!("Generate a cell{} perturbed with {{perturbation}}", named.concat())
    }

    /// The template's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The covariates that the template names.
    pub fn covariates(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Covariate(covariate) => Some(covariate.as_str()),
            Part::Words(_) | Part::Perturbation => None,
        })
    }

    /// The prompt of a condition; components are written `A + B`, the control `no perturbation`.
    pub fn fill(&self, condition: &Condition) -> String {
        let fill = |part: &Part| match part {
            Part::Words(words) => words.clone(),
            Part::Perturbation if condition.perturbation.is_control() => "no perturbation".to_owned(),
            Part::Perturbation => condition.perturbation.components().join(" + "),
            Part::Covariate(covariate) => condition.covariates.get(covariate).cloned().unwrap_or_default(),
        };
        self.parts.iter().map(fill).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::conditions::Perturbation;

    #[test]
    fn places_are_filled_and_unknown_ones_refused() {
        let covariates = ["cell_type".to_owned()];
        let template = Template::parse("A {cell_type} with {perturbation}.", &covariates).unwrap();
        let mut condition = Condition::new(
            Perturbation::parse("IL-6+IFNb", "control").unwrap(),
            BTreeMap::from([("cell_type".to_owned(), "B cell".to_owned())]),
        );
        assert_eq!(template.fill(&condition), "A B cell with IFNb + IL-6.");
        condition.perturbation = Perturbation::control();
        assert_eq!(template.fill(&condition), "A B cell with no perturbation.");
        let error = Template::parse("{celltype} {perturbation}", &covariates).unwrap_err().to_string();
        assert!(error.contains("`{celltype}` is unknown") && error.contains("{cell_type}"), "{error}");
        assert!(Template::parse("{perturbation", &covariates).is_err() && Template::parse("x", &covariates).is_err());
        assert!(Template::parse(&Template::plain(&covariates), &covariates).is_ok());
    }
}

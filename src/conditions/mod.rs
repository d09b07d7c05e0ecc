//! What was done to a cell: a perturbation (a set of components) and its covariates.

mod perturbation;
mod quotes;
pub mod descriptions;
pub mod prompt;
pub mod status;
pub mod tokenizer;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

pub use perturbation::Perturbation;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A perturbation together with the covariates that it acts on.
///
/// A screen has many cells of few conditions: a clone shares its parts, which are copied only when they are changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(from = "Parts", into = "Parts")]
pub struct Condition(Arc<Parts>);

/// What a [`Condition`] consists of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parts {
    /// What was applied.
    pub perturbation: Perturbation,
    /// To which cells: column → value, such as `cell_type` → `B cell`.
    pub covariates: BTreeMap<String, String>,
}

impl Deref for Condition {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl DerefMut for Condition {
    fn deref_mut(&mut self) -> &mut Parts {
        Arc::make_mut(&mut self.0)
    }
}

impl From<Parts> for Condition {
    fn from(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl From<Condition> for Parts {
    fn from(condition: Condition) -> Self {
        Arc::unwrap_or_clone(condition.0)
    }
}

impl Condition {
    /// A perturbation of cells with these covariates: column → value.
    pub fn new(perturbation: Perturbation, covariates: BTreeMap<String, String>) -> Self {
        Parts { perturbation, covariates }.into()
    }

    /// Reads `"drug A + drug B | cell_type=B cell"`: the perturbation first, then covariate values in any order.
    ///
    /// White space around names does not matter. A name that contains `|`, or a column that contains `=`, stands in
    /// double quotes; a covariate value may contain a plus. What [`Display`](fmt::Display) writes is read back the same.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] if a part is no `column=value` or a column is named twice, and as
    /// [`Perturbation::parse`].
    pub fn parse(text: &str, control: &str) -> Result<Self> {
        let invalid =
            |reason: String| Error::InvalidParameter { name: "condition".into(), value: text.to_owned(), reason };
        let parts = quotes::split(text, '|').map_err(invalid)?;
        let perturbation = Perturbation::parse(parts[0], control)?;
        let mut covariates = BTreeMap::new();
        for part in &parts[1..] {
            let sides = quotes::split(part, '=').map_err(invalid)?;
            let Some((column, value)) = (sides.len() > 1).then(|| part.split_at(sides[0].len())) else {
                return Err(invalid(format!("`{}` is not of the form column=value", part.trim())));
            };
            let (column, value) =
                (quotes::unquote(column).map_err(invalid)?, quotes::unquote(&value[1..]).map_err(invalid)?);
            if column.is_empty() || value.is_empty() {
                return Err(invalid(format!("`{}` lacks a column or a value", part.trim())));
            }
            if covariates.insert(column.clone(), value).is_some() {
                return Err(invalid(format!("the covariate `{column}` is named twice")));
            }
        }
        Ok(Self::new(perturbation, covariates))
    }

    /// True where `other` has the same perturbation and every covariate value that is named here: a condition without
    /// covariates is a pattern for the perturbation in all cells.
    pub fn covers(&self, other: &Self) -> bool {
        self.perturbation == other.perturbation
            && self.covariates.iter().all(|(column, value)| other.covariates.get(column) == Some(value))
    }
}

/// The text form, as in `A+B | cell_type=B cell`.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.perturbation.join_quoting("+", &['+', '|']))?;
        for (column, value) in &self.covariates {
            write!(f, " | {}={}", quotes::quote(column, &['|', '=']), quotes::quote(value, &['|']))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Condition {
        Condition::parse(text, "ctrl").unwrap()
    }

    #[test]
    fn order_and_white_space_do_not_matter() {
        let text = "drug B + drug A|batch = 2 |  cell_type= B cell";
        assert_eq!(parse(text), parse("drug A+drug B | cell_type=B cell | batch=2"));
        assert_eq!(parse(text).to_string(), "drug A+drug B | batch=2 | cell_type=B cell");
    }

    #[test]
    fn a_covariate_value_may_contain_a_plus() {
        let condition = parse("IFN-beta | cell_type=CD14+Mono");
        assert_eq!(condition.perturbation.components(), ["IFN-beta"]);
        assert_eq!(condition.covariates["cell_type"], "CD14+Mono");
    }

    #[test]
    fn a_condition_without_covariates_covers_the_perturbation_everywhere() {
        let cell = parse("A + B | cell_type=T | batch=1");
        assert!(parse("B+A").covers(&cell) && parse("B+A | batch=1").covers(&cell));
        assert!(
            !parse("A").covers(&cell) && !parse("A+B | batch=2").covers(&cell) && !parse("A+B | day=1").covers(&cell)
        );
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["ctrl", "\"a|b\" + \"Na+\" | \"p=q\"=\"x|y\" | r=s=t", "A | dish=\"5\"\" wide\""] {
            let condition = parse(text);
            assert_eq!(Condition::parse(&condition.to_string(), Perturbation::CONTROL).unwrap(), condition, "{text}");
        }
        assert_eq!(parse("A | r=s=t").covariates["r"], "s=t");
    }

    #[test]
    fn a_changed_clone_leaves_the_original_as_it_was() {
        let original = parse("A | t=x");
        let mut changed = original.clone();
        changed.covariates.insert("t".into(), "y".into());
        assert_eq!((original.to_string(), changed.to_string()), ("A | t=x".to_owned(), "A | t=y".to_owned()));
        let text = serde_json::to_string(&original).unwrap();
        assert_eq!(serde_json::from_str::<Condition>(&text).unwrap(), original);
        assert!(text.starts_with("{\"perturbation\":"), "{text}");
    }

    #[test]
    fn broken_patterns_are_refused() {
        for text in ["A | cell_type", "A | =B", "A | x=", "A | x=1 | x=2", "A | x=\"1", "| x=1"] {
            assert!(Condition::parse(text, "ctrl").is_err(), "{text}");
        }
    }
}

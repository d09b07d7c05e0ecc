//! Which columns may name the perturbation, which value the control, which columns the kind of cell.
//!
//! Suggestions follow the names that the field uses. Nothing is decided here: what is suggested is shown as such.

use serde::Serialize;

use super::columns::count;
use crate::cells::{Annotations, Column};

/// A column that may name the perturbation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Suggestion {
    /// The column of obs.
    pub column: String,
    /// Its values that are usual names of the control.
    pub controls: Vec<String>,
    /// True if the column itself has a usual name.
    pub is_usual_name: bool,
}

impl Suggestion {
    /// True if both the name of the column and exactly one value speak for it.
    pub fn is_complete(&self) -> bool {
        self.is_usual_name && self.controls.len() == 1
    }
}

const PERTURBATION_COLUMNS: [&str; 23] = [
    "perturbation",
    "perturbations",
    "perturbation_name",
    "perturbation_merged",
    "pert",
    "pert_name",
    "condition",
    "conditions",
    "gene",
    "target_gene",
    "guide_identity",
    "guide_ids",
    "drug",
    "drugs",
    "drugname_drugconc",
    "treatment",
    "cytokine",
    "compound",
    "stimulation",
    "stim",
    "product_name",
    "sm_name",
    "label",
];
const CONTROLS: [&str; 20] = [
    "control",
    "ctrl",
    "ctl",
    "control_cells",
    "non-targeting",
    "non_targeting",
    "nontargeting",
    "nt",
    "negative control",
    "neg",
    "dmso",
    "dmso_tf",
    "vehicle",
    "untreated",
    "unperturbed",
    "unstimulated",
    "no stimulation",
    "no perturbation",
    "mock",
    "pbs",
];
const CELL_COLUMNS: [&str; 6] = ["cell_type", "celltype", "cell_types", "cell_line", "cellline", "cell_label"];
/// A covariate with more values leaves too few cells in each.
const MAX_COVARIATE_VALUES: usize = 50;

/// The columns that may name the perturbation, best first.
pub fn perturbation_columns(obs: &Annotations) -> Vec<Suggestion> {
    let mut suggestions: Vec<Suggestion> = obs
        .columns
        .iter()
        .filter(|(_, column)| matches!(column, Column::Text(_) | Column::Categorical { .. }))
        .filter_map(|(name, column)| {
            let controls = controls(column);
            let is_usual_name = PERTURBATION_COLUMNS.contains(&name.to_lowercase().as_str());
            (is_usual_name || !controls.is_empty()).then(|| Suggestion {
                column: name.clone(),
                controls,
                is_usual_name,
            })
        })
        .collect();
    suggestions.sort_by_key(|suggestion| (!suggestion.is_complete(), suggestion.controls.is_empty()));
    suggestions
}

/// The values of a column that are usual names of the control.
pub fn controls(column: &Column) -> Vec<String> {
    let counts = count(column.texts().into_iter().flatten());
    counts.into_iter().map(|(value, _)| value).filter(|value| is_control(value)).collect()
}

fn is_control(value: &str) -> bool {
    CONTROLS.contains(&value.trim().to_lowercase().as_str())
}

/// The columns that may name the kind of cell.
pub fn covariate_columns(obs: &Annotations) -> Vec<String> {
    let has_groups = |column: &Column| {
        let texts = column.texts();
        let complete = texts.iter().all(Option::is_some);
        complete && (2..=MAX_COVARIATE_VALUES).contains(&count(texts.into_iter().flatten()).len())
    };
    obs.columns
        .iter()
        .filter(|(name, _)| CELL_COLUMNS.contains(&name.to_lowercase().as_str()))
        .filter(|(_, column)| has_groups(column))
        .map(|(name, _)| name.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn obs() -> Annotations {
        let mut obs = Annotations::new((0..3).map(|row| row.to_string()).collect());
        obs.set("split", Column::categorical(&["control", "train", "train"]));
        obs.set("n", Column::Integer(vec![1, 2, 3]));
        obs.set("Condition", Column::categorical(&["Ctrl", "A", "A+B"]));
        obs.set("cell_type", Column::categorical(&["T", "B", "B"]));
        obs
    }

    #[test]
    fn the_column_with_a_usual_name_and_a_control_comes_first() {
        let suggestions = perturbation_columns(&obs());
        assert_eq!(suggestions.len(), 2);
        assert_eq!(
            (suggestions[0].column.as_str(), suggestions[0].controls.as_slice()),
            ("Condition", &["Ctrl".to_owned()][..])
        );
        assert!(suggestions[0].is_complete() && !suggestions[1].is_complete());
    }

    #[test]
    fn a_value_that_only_contains_the_word_control_is_no_control() {
        assert!(controls(&Column::categorical(&["controlled", "CTRL1", "beta-control"])).is_empty());
    }

    #[test]
    fn columns_with_one_kind_of_cell_are_no_covariates() {
        let mut obs = obs();
        assert_eq!(covariate_columns(&obs), ["cell_type"]);
        obs.set("cell_type", Column::categorical(&["T", "T", "T"]));
        assert!(covariate_columns(&obs).is_empty());
    }
}

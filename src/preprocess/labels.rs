//! What was done to each cell, read from the columns that the user names; and names that must be unique.

use std::collections::BTreeMap;

use crate::cells::Cells;
use crate::conditions::{Condition, Perturbation};
use crate::{Error, Result};

/// Texts that other programs write where a value is missing; the last one may be a covariate's honest value.
const MISSING: [&str; 8] = ["", "nan", "NaN", "NAN", "NA", "N/A", "<NA>", "None"];

/// Reads the condition of each cell: the perturbation from `column`, the covariates from theirs.
///
/// # Errors
/// [`Error::MissingColumn`]; [`Error::BadValues`] for missing values and for labels that [`Perturbation::parse`]
/// refuses; [`Error::TooFew`] if no cell is a control.
pub fn conditions(cells: &Cells, column: &str, control: &str, covariates: &[String]) -> Result<Vec<Condition>> {
    let missing: Vec<&str> = MISSING.into_iter().filter(|&text| text != control.trim()).collect();
    let labels = present_texts(cells, column, &missing)?;
    let mut parsed = BTreeMap::<&str, Option<Perturbation>>::new();
    let mut reason = String::new();
    for label in &labels {
        parsed.entry(label).or_insert_with(|| {
            Perturbation::parse(label, control).inspect_err(|error| reason = error.to_string()).ok()
        });
    }
    // First, as a wrong name of the control makes the right one look like a forbidden component.
    if !parsed.values().flatten().any(Perturbation::is_control) {
        return Err(no_control(&labels, column, control));
    }
    let refused: Vec<String> =
        parsed.iter().filter(|(_, p)| p.is_none()).map(|(label, _)| (*label).to_owned()).collect();
    if !refused.is_empty() {
        return Err(Error::BadValues {
            place: format!("obs[\"{column}\"]"),
            problem: "no perturbation labels".into(),
            n_bad: labels.iter().filter(|label| parsed[label.as_str()].is_none()).count(),
            n_total: labels.len(),
            examples: refused,
            hint: reason,
        });
    }
    let mut conditions: Vec<Condition> = labels
        .iter()
        .filter_map(|label| parsed[label.as_str()].clone())
        .map(|perturbation| Condition::new(perturbation, BTreeMap::new()))
        .collect();
    for covariate in covariates {
        for (condition, value) in conditions.iter_mut().zip(present_texts(cells, covariate, &MISSING[..7])?) {
            condition.covariates.insert(covariate.clone(), value);
        }
    }
    Ok(conditions)
}

/// There is no control; labels that may be it are suggested.
fn no_control(labels: &[String], column: &str, control: &str) -> Error {
    let mut counts = BTreeMap::<&String, usize>::new();
    labels.iter().for_each(|label| *counts.entry(label).or_default() += 1);
    let rank = |name: &str| strsim::jaro_winkler(name, control) + f64::from(u8::from(sounds_like_control(name)));
    let mut names: Vec<(&String, usize)> = counts.into_iter().collect();
    names.sort_by(|a, b| rank(b.0).total_cmp(&rank(a.0)).then(b.1.cmp(&a.1)));
    let near: Vec<String> = names.iter().take(3).map(|(name, n)| format!("`{name}` ({n} cells)")).collect();
    Error::TooFew {
        what: format!("control cells, labelled `{control}` in obs[\"{column}\"]"),
        needed: 1,
        got: 0,
        hint: format!("name the control with --control; labels that may be it: {}", near.join(", ")),
    }
}

/// Whether a label has a usual name of the control; it is only suggested, never taken.
fn sounds_like_control(label: &str) -> bool {
    let label = label.to_lowercase();
    let usual = ["ctrl", "control", "non-targeting", "nontargeting", "dmso", "vehicle", "pbs", "untreated", "unstim"];
    !label.contains('+') && usual.iter().any(|name| label.contains(name))
}

/// The texts of a column of `obs`, refused if one is absent or among `missing`.
fn present_texts(cells: &Cells, column: &str, missing: &[&str]) -> Result<Vec<String>> {
    let texts = cells.obs.texts("obs", column)?;
    let is_missing = |text: &str| missing.contains(&text);
    let missing: Vec<usize> = (0..texts.len()).filter(|&row| is_missing(texts[row].trim())).collect();
    if missing.is_empty() {
        return Ok(texts);
    }
    Err(Error::BadValues {
        place: format!("obs[\"{column}\"]"),
        problem: "missing".into(),
        n_bad: missing.len(),
        n_total: texts.len(),
        examples: missing
            .iter()
            .take(3)
            .map(|&row| format!("{} in cell {}", texts[row], cells.obs.index[row]))
            .collect(),
        hint: "fill the missing values or remove these cells first".into(),
    })
}

/// Fails if a name of a cell or a gene occurs twice.
///
/// # Errors
/// [`Error::BadValues`] with the number of rows whose name is not the first of its kind.
pub fn check_unique(names: &[String], place: &str, hint: &str) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    let doubled: Vec<&String> = names.iter().filter(|name| !seen.insert(name.as_str())).collect();
    if doubled.is_empty() {
        return Ok(());
    }
    let mut examples: Vec<String> = doubled.iter().map(|&name| name.clone()).collect();
    examples.sort();
    examples.dedup();
    Err(Error::BadValues {
        place: place.to_owned(),
        problem: "duplicated".into(),
        n_bad: doubled.len(),
        n_total: names.len(),
        examples,
        hint: hint.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::{Annotations, Column, SparseMatrix};

    fn cells(labels: &[&str]) -> Cells {
        let mut obs = Annotations::new((0..labels.len()).map(|i| format!("c{i}")).collect());
        obs.set("drug", Column::categorical(labels));
        obs.set("type", Column::Text(labels.iter().map(|_| "T+".to_owned()).collect()));
        Cells { x: SparseMatrix::from_rows(1, vec![vec![(0, 1.0)]; labels.len()]), obs, ..Cells::default() }
    }

    fn read(labels: &[&str], control: &str) -> Result<Vec<Condition>> {
        conditions(&cells(labels), "drug", control, &["type".to_owned()])
    }

    #[test]
    fn labels_become_conditions() {
        let conditions = read(&["B+A", "ctrl", "A+ctrl"], "ctrl").unwrap();
        let texts: Vec<String> = conditions.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["A+B | type=T+", "control | type=T+", "A | type=T+"]);
    }

    #[test]
    fn missing_values_are_refused_unless_they_name_the_control() {
        let message = read(&["A", "nan", "ctrl"], "ctrl").unwrap_err().to_string();
        assert!(message.contains("1 of 3 values are missing") && message.contains("cell c1"), "{message}");
        assert_eq!(read(&["A", "None"], "None").unwrap().len(), 2);
    }

    #[test]
    fn labels_that_cannot_be_read_are_counted() {
        let error = read(&["A", "Na+", "Na+", "ctrl"], "ctrl").unwrap_err();
        assert!(error.to_string().contains("2 of 4 values") && error.to_string().contains("`Na+`"), "{error}");
        assert!(error.hint().unwrap().contains("double quotes"), "{error:?}");
    }

    #[test]
    fn without_control_cells_the_nearest_labels_are_told() {
        let error = read(&["A", "Control"], "control").unwrap_err();
        assert!(error.hint().unwrap().contains("`Control` (1 cells)"), "{error:?}");
        let available = conditions(&cells(&["A"]), "dragon", "A", &[]).unwrap_err().to_string();
        assert!(available.contains("`drug`, `type`"), "{available}");
    }

    #[test]
    fn doubled_names_are_counted() {
        let names = ["a", "b", "a", "a"].map(str::to_owned);
        let message = check_unique(&names, "var_names", "").unwrap_err().to_string();
        assert!(message.contains("2 of 4 values are duplicated") && message.ends_with("example `a`"), "{message}");
        assert!(check_unique(&names[..2], "var_names", "").is_ok());
    }
}

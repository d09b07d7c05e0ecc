//! Which perturbations a column names, and what can be held out.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::matrices::median;
use super::transfer::{Transfer, transfer};
use crate::cells::{Annotations, Column};
use crate::conditions::Perturbation;
use crate::{Error, Result};

/// One perturbation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PerturbationCount {
    /// Its canonical name.
    pub name: String,
    /// Its components.
    pub components: Vec<String>,
    /// Number of its cells.
    pub n_cells: usize,
    /// True for a combination whose components all occur alone.
    pub components_occur_alone: bool,
}

/// The perturbations of one size: singles, pairs, …
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SizeSummary {
    /// Number of components.
    pub n_components: usize,
    /// Number of perturbations.
    pub n_perturbations: usize,
    /// The fewest cells of one of them, the median, the most.
    pub cells: [f64; 3],
}

/// One value of a covariate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CovariateValue {
    /// The value.
    pub value: String,
    /// Number of its cells.
    pub n_cells: usize,
    /// Number of its control cells.
    pub n_controls: usize,
}

/// A label that names no perturbation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Unreadable {
    /// The label.
    pub label: String,
    /// Number of its cells.
    pub n_cells: usize,
    /// Why it cannot be read.
    pub reason: String,
}

/// What a column says of perturbations.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PerturbationSummary {
    /// The column.
    pub column: String,
    /// The value that names the control.
    pub control: String,
    /// True if column and control were suggested by their names, not given by the user.
    pub is_suggested: bool,
    /// Number of control cells.
    pub n_controls: usize,
    /// Number of cells without a value.
    pub n_missing: usize,
    /// All perturbations, most cells first; the control is not among them.
    pub perturbations: Vec<PerturbationCount>,
    /// The same by number of components.
    pub sizes: Vec<SizeSummary>,
    /// Labels that name no perturbation.
    pub unreadable: Vec<Unreadable>,
    /// Labels that look like two names joined by `_`, where both names are labels, too.
    pub joined_by_underscore: Vec<String>,
    /// The values of each covariate.
    pub covariates: BTreeMap<String, Vec<CovariateValue>>,
    /// True if the covariates were suggested by their names.
    pub covariates_are_suggested: bool,
    /// The largest group of cells of one kind with one single perturbation that others have, too.
    pub transfer: Option<Transfer>,
    /// Number of conditions (perturbation and covariate values).
    pub n_conditions: usize,
    /// Those with fewer than `FEW_CELLS` cells, fewest first.
    pub few: Vec<(String, usize)>,
}

/// Conditions with fewer cells get no scores from `scflow evaluate` unless it is told otherwise.
pub const FEW_CELLS: usize = 20;

/// A column with the name of its control, and covariates.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns {
    /// The column that names the perturbation.
    pub perturbation: String,
    /// The control's name there.
    pub control: String,
    /// True if column and control were suggested by their names.
    pub is_suggested: bool,
    /// The covariates.
    pub covariates: Vec<String>,
    /// True if they were suggested by their names.
    pub covariates_are_suggested: bool,
}

impl PerturbationSummary {
    /// Reads every label.
    ///
    /// # Errors
    /// [`Error::MissingColumn`].
    pub fn new(obs: &Annotations, columns: &Columns) -> Result<Self> {
        let labels = obs.column("obs", &columns.perturbation)?.texts();
        let parsed: BTreeMap<&str, Result<Perturbation>> = labels
            .iter()
            .flatten()
            .map(|label| (label.as_str(), Perturbation::parse(label, &columns.control)))
            .collect();
        let of_row: Vec<Option<&Perturbation>> =
            labels.iter().map(|label| parsed.get(label.as_deref()?)?.as_ref().ok()).collect();
        let mut counts = BTreeMap::<&Perturbation, usize>::new();
        of_row.iter().flatten().for_each(|perturbation| *counts.entry(perturbation).or_default() += 1);
        let unreadable = parsed.iter().filter_map(|(&label, parsed)| {
            let error = parsed.as_ref().err()?;
            let reason = match error {
                Error::InvalidParameter { reason, .. } => reason.clone(),
                other => other.to_string(),
            };
            let n_cells = labels.iter().flatten().filter(|other| *other == label).count();
            Some(Unreadable { label: label.to_owned(), n_cells, reason })
        });
        let mut covariates = BTreeMap::new();
        for column in &columns.covariates {
            covariates.insert(column.clone(), covariate(obs.column("obs", column)?, &of_row));
        }
        let (n_conditions, few) = conditions(obs, columns, &of_row)?;
        let perturbations = perturbations(&counts);
        Ok(Self {
            column: columns.perturbation.clone(),
            control: columns.control.clone(),
            is_suggested: columns.is_suggested,
            n_controls: counts.get(&Perturbation::control()).copied().unwrap_or(0),
            n_missing: labels.iter().filter(|label| label.is_none()).count(),
            sizes: sizes(&perturbations),
            perturbations,
            unreadable: unreadable.collect(),
            joined_by_underscore: joined_by_underscore(&parsed.keys().copied().collect()),
            transfer: transfer(obs, &of_row, &covariates)?,
            covariates,
            covariates_are_suggested: columns.covariates_are_suggested,
            n_conditions,
            few,
        })
    }

    /// The combinations whose components all occur alone: what can be held out and still be estimated.
    pub fn candidates(&self) -> Vec<&PerturbationCount> {
        self.perturbations.iter().filter(|perturbation| perturbation.components_occur_alone).collect()
    }
}

/// Checks that some cell has the control's name.
///
/// # Errors
/// [`Error::MissingColumn`]; [`Error::UnknownName`] with the nearest names that occur.
pub fn check_control(obs: &Annotations, column: &str, control: &str) -> Result<()> {
    let labels = obs.column("obs", column)?.texts();
    let control = control.trim();
    if labels.iter().flatten().any(|label| label.trim() == control) {
        return Ok(());
    }
    let mut nearest: Vec<String> = labels.iter().flatten().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    let likeness = |label: &String| strsim::jaro_winkler(&label.to_lowercase(), &control.to_lowercase());
    nearest.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
    nearest.truncate(3);
    Err(Error::UnknownName {
        what: "control".into(),
        name: control.to_owned(),
        place: format!("obs[\"{column}\"]"),
        nearest,
    })
}

fn perturbations(counts: &BTreeMap<&Perturbation, usize>) -> Vec<PerturbationCount> {
    let alone: BTreeSet<&String> =
        counts.keys().filter(|one| one.components().len() == 1).flat_map(|one| one.components()).collect();
    let mut perturbations: Vec<PerturbationCount> = counts
        .iter()
        .filter(|(perturbation, _)| !perturbation.is_control())
        .map(|(perturbation, &n_cells)| PerturbationCount {
            name: perturbation.to_string(),
            components: perturbation.components().to_vec(),
            n_cells,
            components_occur_alone: perturbation.components().len() > 1
                && perturbation.components().iter().all(|component| alone.contains(component)),
        })
        .collect();
    perturbations.sort_by(|a, b| b.n_cells.cmp(&a.n_cells).then_with(|| a.name.cmp(&b.name)));
    perturbations
}

fn sizes(perturbations: &[PerturbationCount]) -> Vec<SizeSummary> {
    let mut by_size = BTreeMap::<usize, Vec<f64>>::new();
    for perturbation in perturbations {
        by_size.entry(perturbation.components.len()).or_default().push(perturbation.n_cells as f64);
    }
    let summary = |(n_components, mut cells): (usize, Vec<f64>)| {
        let middle = median(&mut cells);
        let range = [cells[0], middle, cells[cells.len() - 1]];
        SizeSummary { n_components, n_perturbations: cells.len(), cells: range }
    };
    by_size.into_iter().map(summary).collect()
}

fn covariate(column: &Column, of_row: &[Option<&Perturbation>]) -> Vec<CovariateValue> {
    let mut counts = BTreeMap::<String, (usize, usize)>::new();
    for (value, perturbation) in column.texts().into_iter().zip(of_row) {
        let count = counts.entry(value.unwrap_or_else(|| "(missing)".into())).or_default();
        count.0 += 1;
        count.1 += usize::from(perturbation.is_some_and(Perturbation::is_control));
    }
    counts.into_iter().map(|(value, (n_cells, n_controls))| CovariateValue { value, n_cells, n_controls }).collect()
}

/// The number of conditions, and those with few cells.
fn conditions(
    obs: &Annotations,
    columns: &Columns,
    of_row: &[Option<&Perturbation>],
) -> Result<(usize, Vec<(String, usize)>)> {
    let values: Vec<Vec<Option<String>>> =
        columns.covariates.iter().map(|name| Ok(obs.column("obs", name)?.texts())).collect::<Result<_>>()?;
    let mut counts = BTreeMap::<(&Perturbation, Vec<&str>), usize>::new();
    for (row, perturbation) in of_row.iter().enumerate() {
        let Some(perturbation) = perturbation else { continue };
        let covariates = values.iter().map(|column| column[row].as_deref().unwrap_or("(missing)")).collect();
        *counts.entry((perturbation, covariates)).or_default() += 1;
    }
    let n_conditions = counts.len();
    let mut few: Vec<(String, usize)> = counts
        .into_iter()
        .filter(|&(_, n)| n < FEW_CELLS)
        .map(|((perturbation, covariates), n)| {
            let parts = std::iter::once(perturbation.to_string()).chain(covariates.into_iter().map(str::to_owned));
            (parts.collect::<Vec<_>>().join(" | "), n)
        })
        .collect();
    few.sort_by(|a, b| a.1.cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
    Ok((n_conditions, few))
}

/// Names may contain `_`, so a label counts only if it falls apart into two other labels.
fn joined_by_underscore(labels: &BTreeSet<&str>) -> Vec<String> {
    let falls_apart = |label: &str| {
        label.match_indices('_').any(|(at, _)| labels.contains(&label[..at]) && labels.contains(&label[at + 1..]))
    };
    labels.iter().filter(|label| falls_apart(label)).map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(labels: &[&str], covariate: &[&str]) -> PerturbationSummary {
        let mut obs = Annotations::new((0..labels.len()).map(|row| row.to_string()).collect());
        obs.set("drug", Column::categorical(labels));
        obs.set("cell_type", Column::categorical(covariate));
        let columns = Columns {
            perturbation: "drug".into(),
            control: "ctrl".into(),
            is_suggested: false,
            covariates: vec!["cell_type".into()],
            covariates_are_suggested: true,
        };
        PerturbationSummary::new(&obs, &columns).unwrap()
    }

    #[test]
    fn singles_and_combinations_are_told_apart_and_spellings_merged() {
        let summary = summary(
            &["ctrl", "ctrl", "A+ctrl", "B", "A+B", "B + A", "A+C", "A++"],
            &["T", "B", "T", "T", "T", "T", "B", "B"],
        );
        assert_eq!((summary.n_controls, summary.perturbations.len()), (2, 4));
        let sizes: Vec<_> = summary.sizes.iter().map(|size| (size.n_components, size.n_perturbations)).collect();
        assert_eq!(sizes, [(1, 2), (2, 2)]);
        let candidates: Vec<_> = summary.candidates().iter().map(|one| (one.name.as_str(), one.n_cells)).collect();
        assert_eq!(candidates, [("A+B", 2)]);
        assert_eq!((summary.unreadable.len(), summary.unreadable[0].label.as_str()), (1, "A++"));
        let controls: Vec<_> = summary.covariates["cell_type"].iter().map(|value| value.n_controls).collect();
        assert_eq!(controls, [1, 1]);
        assert_eq!((summary.n_conditions, summary.few.len()), (6, 6));
    }

    #[test]
    fn names_joined_by_underscores_are_noticed() {
        let summary = summary(&["ctrl", "A", "B", "A_B", "C_D"], &["T"; 5]);
        assert_eq!(summary.joined_by_underscore, ["A_B"]);
    }

    #[test]
    fn a_control_that_no_cell_has_is_refused_with_near_names() {
        let mut obs = Annotations::new(vec!["c".into()]);
        obs.set("drug", Column::categorical(&["Control"]));
        let message = check_control(&obs, "drug", "control").unwrap_err().to_string();
        assert!(message.contains("`Control`"), "{message}");
    }
}

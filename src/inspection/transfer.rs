//! What can be held out where there are no combinations: a perturbation in one kind of cell.

use std::collections::BTreeMap;

use serde::Serialize;

use super::perturbations::{CovariateValue, FEW_CELLS};
use crate::Result;
use crate::cells::Annotations;
use crate::conditions::Perturbation;

/// A single perturbation in one kind of cell that occurs in other kinds, too: it can be held out there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Transfer {
    /// The perturbation.
    pub component: String,
    /// The covariate that tells kinds of cells apart.
    pub covariate: String,
    /// The kind of cell.
    pub value: String,
    /// Number of cells of this kind with the perturbation.
    pub n_cells: usize,
}

/// Finds the largest transfer that leaves cells to train on; a covariate with a value without controls offers none.
///
/// # Errors
/// [`Error::MissingColumn`](crate::Error::MissingColumn).
pub fn transfer(
    obs: &Annotations,
    of_row: &[Option<&Perturbation>],
    covariates: &BTreeMap<String, Vec<CovariateValue>>,
) -> Result<Option<Transfer>> {
    let mut largest: Option<Transfer> = None;
    for (column, values) in covariates {
        if values.iter().any(|value| value.n_controls == 0) {
            continue;
        }
        let mut counts = BTreeMap::<(&String, String), usize>::new();
        let mut totals = BTreeMap::<&String, usize>::new();
        for (perturbation, value) in of_row.iter().zip(obs.column("obs", column)?.texts()) {
            let (Some([component]), Some(value)) = (perturbation.map(Perturbation::components), value) else {
                continue;
            };
            *counts.entry((component, value)).or_default() += 1;
            *totals.entry(component).or_default() += 1;
        }
        for ((component, value), n_cells) in counts {
            let is_larger = largest.as_ref().is_none_or(|other| n_cells > other.n_cells);
            if n_cells >= FEW_CELLS && totals[component] - n_cells >= FEW_CELLS && is_larger {
                largest = Some(Transfer { component: component.clone(), covariate: column.clone(), value, n_cells });
            }
        }
    }
    Ok(largest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::Column;

    #[test]
    fn a_transfer_leaves_other_kinds_of_cells_to_train_on() {
        let of = |n_a_in_t: usize| {
            let labels = [vec!["ctrl"; 2], vec!["A"; n_a_in_t], vec!["A"; 30], vec!["B"; 90]].concat();
            let types = [vec!["T", "B"], vec!["T"; n_a_in_t], vec!["B"; 30], vec!["T"; 90]].concat();

            let perturbations: Vec<Perturbation> =
                labels.iter().map(|label| Perturbation::parse(label, "ctrl").unwrap()).collect();
            let mut obs = Annotations::new(labels.iter().map(ToString::to_string).collect());
            obs.set("cell_type", Column::categorical(&types));
            let value = |value: &str| CovariateValue { value: value.into(), n_cells: 9, n_controls: 1 };
            let covariates = BTreeMap::from([("cell_type".to_owned(), vec![value("B"), value("T")])]);
            transfer(&obs, &perturbations.iter().map(Some).collect::<Vec<_>>(), &covariates).unwrap()
        };
        let found = of(40).unwrap();
        assert_eq!((found.component.as_str(), found.value.as_str(), found.n_cells), ("A", "T", 40));
        // With 19 cells of A in T cells left to train on there are too few, and B occurs in T cells only.
        assert_eq!(of(19), None);
    }
}

//! Two files as Arc's cell-eval 0.8 reads them: with the same genes, controls and perturbations.

use std::path::Path;

use super::labels::Labels;
use crate::cells::SparseMatrix;
use crate::{Error, Result};

/// The generated cells, in the folder.
pub(super) const PREDICTION: &str = "prediction.h5ad";
/// The real cells, in the folder.
pub(super) const TRUTH: &str = "truth.h5ad";
/// The words of cell-eval.
const PERTURBATION: &str = "target_gene";
const CONTROL: &str = "non-targeting";
const CELL_TYPE: &str = "celltype";
/// cell-eval takes greater values for another scale than log1p.
const LIMIT: f32 = 15.0;

/// The perturbation, and the covariates in one column if there are any.
pub(super) fn label(labels: &mut Labels, covariates: &[String]) {
    labels.set(PERTURBATION, |condition, _| match condition.perturbation.is_control() {
        true => CONTROL.to_owned(),
        false => condition.perturbation.to_string(),
    });
    if !covariates.is_empty() {
        let joined = |values: Vec<String>| values.join(" | ");
        labels.set(CELL_TYPE, |condition, _| joined(condition.covariates.values().cloned().collect()));
    }
}

/// Fails for values that cell-eval does not take for log1p.
///
/// # Errors
/// [`Error::WrongScale`].
pub(super) fn check(x: &SparseMatrix) -> Result<()> {
    let bad: Vec<f32> = x.values().iter().copied().filter(|value| !(0.0..LIMIT).contains(value)).collect();
    match bad.first() {
        None => Ok(()),
        Some(example) => Err(Error::WrongScale {
            what: "expression for cell-eval".into(),
            expected: format!("log1p values from 0 to below {LIMIT}"),
            found: format!("{} of {} stored values beyond, for example {example}", bad.len(), x.n_stored()),
            hint: "prepare the screen with a lower --target-sum".into(),
        }),
    }
}

/// How cell-eval is called on the folder.
pub(super) fn command(folder: &Path, covariates: &[String]) -> String {
    let place = |name: &str| folder.join(name).display().to_string();
    let types = if covariates.is_empty() { String::new() } else { format!(" --celltype-col {CELL_TYPE}") };
    format!("cell-eval run -ap {} -ar {}{types}", place(PREDICTION), place(TRUTH))
}

#[cfg(test)]
mod tests {
    use super::super::labels::Origin;
    use super::*;
    use crate::conditions::Condition;

    #[test]
    fn controls_and_covariates_take_cell_evals_words() {
        let conditions = ["control | dose=high | type=T", "b+a | dose=high | type=T"]
            .map(|text| Condition::parse(text, "control").unwrap());
        let named = |covariates: &[String]| {
            let mut labels = Labels::new(conditions.clone().into(), std::iter::empty());
            label(&mut labels, covariates);
            labels.of(vec!["x".into(), "y".into()], &conditions, Origin::Real).unwrap()
        };
        let obs = named(&["dose".into(), "type".into()]);
        assert_eq!(obs.texts("obs", "target_gene").unwrap(), ["non-targeting", "a+b"]);
        assert_eq!(obs.texts("obs", "celltype").unwrap(), ["high | T", "high | T"]);
        assert_eq!(named(&[]).names(), ["target_gene"]);
    }

    #[test]
    fn other_scales_are_refused() {
        let matrix = |value: f32| SparseMatrix::from_rows(2, [vec![(0, 1.0)], vec![(1, value)]]);
        assert!(check(&matrix(14.9)).is_ok());
        for wrong in [15.0, -0.5, f32::NAN] {
            assert!(matches!(check(&matrix(wrong)), Err(Error::WrongScale { .. })), "{wrong}");
        }
    }
}

//! Generated and real cells as cell-eval reads them: two files with the same genes, controls and perturbations.

use std::collections::BTreeMap;
use std::path::Path;

use super::cells::Wanted;
use crate::cells::{Annotations, Cells, Column, SparseMatrix, Value};
use crate::conditions::{Condition, Perturbation};
use crate::io::h5ad;
use crate::metrics::predicted::{same_genes, same_preparation};
use crate::models::fitted::FittedModel;
use crate::prepared::Prepared;
use crate::{Error, Result};

/// The generated cells, in the folder.
pub const PREDICTION: &str = "prediction.h5ad";
/// The real cells, in the folder.
pub const TRUTH: &str = "truth.h5ad";
/// The words of cell-eval 0.8.
const PERTURBATION: &str = "target_gene";
const CONTROL: &str = "non-targeting";
const CELL_TYPE: &str = "celltype";
/// cell-eval takes greater values for another scale than log1p.
const LIMIT: f32 = 15.0;

/// The real cells that belong to a prediction.
pub(super) struct Real {
    truth: Prepared,
    /// Training control cells with the covariates of the wanted conditions.
    controls: Vec<usize>,
    /// Held-out cells of the wanted conditions, training cells where none were held out.
    perturbed: Vec<usize>,
}

impl Real {
    /// Chooses the cells.
    ///
    /// # Errors
    /// Those of [`Prepared::new`]; [`Error::ShapeMismatch`] or [`Error::InvalidParameter`] if the model was fitted to
    /// another screen, or if generated controls are asked for; [`Error::TooFew`] for a condition without real cells or
    /// without control cells.
    pub(super) fn choose(truth: Cells, model: &FittedModel, wanted: &[Condition]) -> Result<Self> {
        let truth = Prepared::new(truth)?;
        same_preparation(&model.settings, &truth.settings)?;
        same_genes(&model.genes, &truth.cells.var.index)?;
        let (held_out, training) = (truth.rows_by_condition(false), truth.rows_by_condition(true));
        let (mut controls, mut perturbed) = (Vec::new(), Vec::new());
        for condition in wanted {
            if condition.perturbation.is_control() {
                return Err(Error::InvalidParameter {
                    name: "emit-as".into(),
                    value: condition.to_string(),
                    reason: "cell-eval wants one set of controls, and the real ones stand in both files".into(),
                });
            }
            let control = Condition::new(Perturbation::control(), condition.covariates.clone());
            controls.extend(found(&training, &control, "training control cells")?);
            let real = if held_out.contains_key(condition) { &held_out } else { &training };
            perturbed.extend(found(real, condition, "real cells")?);
        }
        controls.sort_unstable();
        controls.dedup();
        Ok(Self { truth, controls, perturbed })
    }

    /// Writes the real cells: controls first.
    ///
    /// # Errors
    /// Those of writing; [`Error::WrongScale`] for values that cell-eval does not take for log1p.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let rows = [&self.controls[..], &self.perturbed].concat();
        let mut cells = self.cells(&rows)?;
        cells.var = Annotations::new(self.truth.cells.var.index.clone());
        h5ad::write(path, &cells)
    }

    /// Writes the same control cells and then the generated ones, as they come.
    ///
    /// # Errors
    /// Those of the blocks and of writing; [`Error::WrongScale`] as for [`Self::write`].
    pub(super) fn write_prediction(
        &self,
        path: &Path,
        wanted: &Wanted,
        provenance: &serde_json::Value,
        blocks: impl Iterator<Item = Result<Cells>>,
    ) -> Result<()> {
        let told = BTreeMap::from([("predict".to_owned(), Value::Text(provenance.to_string()))]);
        let outline = Cells {
            var: Annotations::new(self.truth.cells.var.index.clone()),
            uns: BTreeMap::from([("scflow".to_owned(), Value::Map(told))]),
            ..self.cells(&[])?
        };
        let covariates = &self.truth.settings.covariates;
        let dress = |block: Result<Cells>| {
            let block = block?;
            let conditions = crate::prepared::conditions(&block.obs, covariates)?;
            dressed(block.x, block.obs.index, &conditions.iter().collect::<Vec<_>>(), !covariates.is_empty())
        };
        let controls = std::iter::once_with(|| self.cells(&self.controls));
        let n_cells = self.controls.len() + wanted.n_cells();
        h5ad::write_blocks(path, &outline, n_cells, controls.chain(blocks.map(dress)))
    }

    fn cells(&self, rows: &[usize]) -> Result<Cells> {
        let conditions: Vec<&Condition> = rows.iter().map(|&row| &self.truth.conditions[row]).collect();
        let names = rows.iter().map(|&row| self.truth.cells.obs.index[row].clone()).collect();
        let has_covariates = !self.truth.settings.covariates.is_empty();
        dressed(self.truth.cells.x.select_rows(rows), names, &conditions, has_covariates)
    }
}

/// How cell-eval is called on the folder.
pub(super) fn command(folder: &Path, model: &FittedModel) -> String {
    let place = |name: &str| folder.join(name).display().to_string();
    let types =
        if model.settings.covariates.is_empty() { String::new() } else { format!(" --celltype-col {CELL_TYPE}") };
    format!("cell-eval run -ap {} -ar {}{types}", place(PREDICTION), place(TRUTH))
}

fn found(rows: &BTreeMap<Condition, Vec<usize>>, condition: &Condition, what: &str) -> Result<Vec<usize>> {
    rows.get(condition).cloned().ok_or_else(|| Error::TooFew {
        what: format!("{what} of `{condition}`"),
        needed: 1,
        got: 0,
        hint: "cell-eval compares perturbations that have real cells; ask for those only, or use --holdout".into(),
    })
}

/// Cells with the columns that cell-eval asks for: the perturbation, and the covariates in one column if there are any.
fn dressed(x: SparseMatrix, names: Vec<String>, conditions: &[&Condition], has_covariates: bool) -> Result<Cells> {
    let bad: Vec<f32> = x.values().iter().copied().filter(|value| !(0.0..LIMIT).contains(value)).collect();
    if let Some(example) = bad.first() {
        return Err(Error::WrongScale {
            what: "expression for cell-eval".into(),
            expected: format!("log1p values from 0 to below {LIMIT}"),
            found: format!("{} of {} stored values beyond, for example {example}", bad.len(), x.n_stored()),
            hint: "prepare the screen with a lower --target-sum".into(),
        });
    }
    let mut obs = Annotations::new(names);
    let label = |condition: &&Condition| match condition.perturbation.is_control() {
        true => CONTROL.to_owned(),
        false => condition.perturbation.to_string(),
    };
    obs.set(PERTURBATION, Column::Text(conditions.iter().map(label).collect()));
    if has_covariates {
        let joined = |condition: &&Condition| condition.covariates.values().cloned().collect::<Vec<_>>().join(" | ");
        obs.set(CELL_TYPE, Column::Text(conditions.iter().map(joined).collect()));
    }
    Ok(Cells { x, obs, ..Cells::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_and_covariates_take_cell_evals_words_and_other_scales_are_refused() {
        let condition = |label: &str| {
            let covariates =
                BTreeMap::from([("dose".to_owned(), "high".to_owned()), ("type".to_owned(), "T".to_owned())]);
            Condition::new(Perturbation::parse(label, "control").unwrap(), covariates)
        };
        let conditions = [condition("control"), condition("b+a")];
        let conditions: Vec<&Condition> = conditions.iter().collect();
        let matrix = |value: f32| SparseMatrix::from_rows(2, [vec![(0, 1.0)], vec![(1, value)]]);
        let names = || vec!["x".to_owned(), "y".to_owned()];
        let cells = dressed(matrix(14.9), names(), &conditions, true).unwrap();
        assert_eq!(cells.obs.texts("obs", "target_gene").unwrap(), ["non-targeting", "a+b"]);
        assert_eq!(cells.obs.texts("obs", "celltype").unwrap(), ["high | T", "high | T"]);
        let plain = dressed(matrix(14.9), names(), &conditions, false).unwrap();
        assert_eq!(plain.obs.names(), ["target_gene"]);
        for wrong in [15.0, -0.5, f32::NAN] {
            assert!(
                matches!(dressed(matrix(wrong), names(), &conditions, true), Err(Error::WrongScale { .. })),
                "{wrong}"
            );
        }
    }
}

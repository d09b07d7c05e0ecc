//! Which real cells belong to a prediction.

use std::collections::{BTreeMap, BTreeSet};

use super::EmitAs;
use crate::cells::Cells;
use crate::conditions::{Condition, Perturbation};
use crate::metrics::predicted::{same_genes, same_preparation};
use crate::models::fitted::FittedModel;
use crate::prepared::Prepared;
use crate::{Error, Result};

/// The real cells that belong to a prediction.
pub(super) struct Real {
    /// The screen.
    pub truth: Prepared,
    /// Training control cells with the covariates of the wanted conditions.
    pub controls: Vec<usize>,
    /// Held-out cells of the wanted conditions, training cells where none were held out.
    perturbed: Vec<usize>,
    without_cells: Vec<Condition>,
}

impl Real {
    /// Chooses the cells.
    ///
    /// # Errors
    /// Those of [`Prepared::new`]; [`Error::ShapeMismatch`] or [`Error::InvalidParameter`] if the model was fitted to
    /// another screen, or if generated controls are asked for; [`Error::TooFew`] for a condition without control cells
    /// or, where the program compares, without real cells.
    pub(super) fn choose(program: EmitAs, truth: Cells, model: &FittedModel, wanted: &[Condition]) -> Result<Self> {
        let truth = Prepared::new(truth)?;
        same_preparation(&model.settings, &truth.settings)?;
        same_genes(&model.genes, &truth.cells.var.index)?;
        let (held_out, training) = (truth.rows_by_condition(false), truth.rows_by_condition(true));
        let (mut controls, mut perturbed, mut without_cells) = (Vec::new(), Vec::new(), Vec::new());
        for condition in wanted {
            if condition.perturbation.is_control() {
                return Err(Error::InvalidParameter {
                    name: "emit-as".into(),
                    value: condition.to_string(),
                    reason: format!("{program} wants one set of controls, and the real ones are there already"),
                });
            }
            let control = Condition::new(Perturbation::control(), condition.covariates.clone());
            controls.extend(found(program, &training, &control, "training control cells")?);
            let real = if held_out.contains_key(condition) { &held_out } else { &training };
            match program {
                EmitAs::Pertpy if !real.contains_key(condition) => without_cells.push(condition.clone()),
                _ => perturbed.extend(found(program, real, condition, "real cells")?),
            }
        }
        controls.sort_unstable();
        controls.dedup();
        Ok(Self { truth, controls, perturbed, without_cells })
    }

    /// All rows of the screen that were chosen, controls first.
    pub(super) fn rows(&self) -> Vec<usize> {
        [&self.controls[..], &self.perturbed].concat()
    }

    /// The conditions of the chosen cells.
    pub(super) fn conditions(&self) -> BTreeSet<Condition> {
        self.rows().into_iter().map(|row| self.truth.conditions[row].clone()).collect()
    }

    /// The wanted conditions that were never measured.
    pub(super) fn without_cells(&self) -> &[Condition] {
        &self.without_cells
    }
}

fn found(
    program: EmitAs,
    rows: &BTreeMap<Condition, Vec<usize>>,
    condition: &Condition,
    what: &str,
) -> Result<Vec<usize>> {
    rows.get(condition).cloned().ok_or_else(|| Error::TooFew {
        what: format!("{what} of `{condition}`"),
        needed: 1,
        got: 0,
        hint: match program {
            EmitAs::Pertpy => "effects are seen against control cells; ask for covariates that have some".into(),
            _ => format!("{program} compares perturbations that have real cells; ask for those only, or use --holdout"),
        },
    })
}

//! Generated cells beside the real ones that belong to them, as other programs read them.
//!
//! What the programs share is here: which real cells ([`real`]), their labels ([`labels`]), and how both are written.

mod cell_eval;
mod labels;
mod perturbench;
mod pertpy;
mod real;

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use self::labels::{Labels, Origin};
use self::real::Real;
use super::cells::Wanted;
use crate::Result;
use crate::cells::{Annotations, Cells, Column, SparseMatrix, Value};
use crate::conditions::Condition;
use crate::io::{atomic, h5ad};
use crate::models::fitted::FittedModel;
use crate::prepared::{self, COUNTS};

/// Where other programs look for principal components.
const COMPONENTS: &str = "X_pca";

/// A form that another program reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmitAs {
    /// A folder with the prediction and the truth of `cell-eval run`.
    CellEval,
    /// A folder with the prediction and the reference of PerturBench's `Evaluation`.
    Perturbench,
    /// One file with real and generated cells side by side, for the distances of pertpy.
    Pertpy,
}

/// As the user writes it.
impl std::fmt::Display for EmitAs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::CellEval => "cell-eval",
            Self::Perturbench => "perturbench",
            Self::Pertpy => "pertpy",
        })
    }
}

impl EmitAs {
    /// Whether the counts stand in the files, too.
    fn has_counts(self) -> bool {
        self != Self::CellEval
    }

    /// Whether the principal components stand in the files, too.
    fn has_components(self) -> bool {
        self == Self::Pertpy
    }
}

/// The files of another program, before they are written.
pub(super) struct Emission {
    program: EmitAs,
    real: Real,
    labels: Labels,
}

impl Emission {
    /// Chooses the real cells and names all of them as the program does.
    ///
    /// # Errors
    /// Those of [`Real::choose`]; [`crate::Error::InvalidParameter`] if a covariate has the name of a column that the program
    /// needs.
    pub(super) fn new(program: EmitAs, truth: Cells, model: &FittedModel, wanted: &[Condition]) -> Result<Self> {
        let real = Real::choose(program, truth, model, wanted)?;
        let mut labels = Labels::new(real.conditions(), wanted.iter().cloned());
        let covariates = &model.settings.covariates;
        match program {
            EmitAs::CellEval => cell_eval::label(&mut labels, covariates),
            EmitAs::Perturbench => perturbench::label(&mut labels, covariates)?,
            EmitAs::Pertpy => pertpy::label(&mut labels, covariates, &model.known.measured())?,
        }
        Ok(Self { program, real, labels })
    }

    /// What the user should know of the choice.
    pub(super) fn remark(&self) -> Option<String> {
        let alone = self.real.without_cells();
        alone.first().map(|condition| {
            format!(
                "{} conditions were not measured, such as `{condition}`: the file holds generated cells of them alone",
                alone.len()
            )
        })
    }

    /// Writes a folder with two files, real cells and the same controls before the generated cells, or one file with all of
    /// them; generated cells come block by block.
    ///
    /// # Errors
    /// Those of the blocks and of writing; [`crate::Error::WrongScale`] for values that cell-eval does not take for log1p.
    pub(super) fn write(
        &self,
        output: &Path,
        wanted: &Wanted,
        provenance: &serde_json::Value,
        blocks: impl Iterator<Item = Result<Cells>>,
    ) -> Result<()> {
        let all = self.real.rows();
        let (truth, prediction) = match self.program {
            EmitAs::CellEval => (cell_eval::TRUTH, cell_eval::PREDICTION),
            EmitAs::Perturbench => (perturbench::REFERENCE, perturbench::PREDICTION),
            EmitAs::Pertpy => {
                return atomic::file(output, |path| {
                    self.write_file(path, &all, wanted.n_cells(), Some(provenance), blocks)
                });
            }
        };
        atomic::folder(output, |folder| {
            self.write_file(&folder.join(truth), &all, 0, None, std::iter::empty())?;
            let path = folder.join(prediction);
            self.write_file(&path, &self.real.controls, wanted.n_cells(), Some(provenance), blocks)
        })
    }

    /// How the program is called on what was written.
    pub(super) fn next(&self, output: &Path, model: &FittedModel) -> String {
        let covariates = &model.settings.covariates;
        match self.program {
            EmitAs::CellEval => cell_eval::command(output, covariates),
            EmitAs::Perturbench => perturbench::call(output, covariates, &self.labels),
            EmitAs::Pertpy => pertpy::call(output),
        }
    }

    /// Writes the given real cells, and then the generated ones.
    fn write_file(
        &self,
        path: &Path,
        rows: &[usize],
        n_generated: usize,
        provenance: Option<&serde_json::Value>,
        generated: impl Iterator<Item = Result<Cells>>,
    ) -> Result<()> {
        let covariates = &self.real.truth.settings.covariates;
        let real = std::iter::once_with(|| self.real_cells(rows));
        let generated = generated.map(|block| {
            let block = block?;
            let conditions = prepared::conditions(&block.obs, covariates)?;
            self.dress(block, &conditions, Origin::Generated)
        });
        h5ad::write_blocks(path, &self.outline(provenance)?, rows.len() + n_generated, real.chain(generated))
    }

    /// A file without its cells. It has no settings of a preparation, so that no stage takes it for a screen or for the
    /// usual prediction, whose cells are all generated.
    fn outline(&self, provenance: Option<&serde_json::Value>) -> Result<Cells> {
        let truth = &self.real.truth;
        let mut outline = self.real_cells(&[])?;
        outline.var = Annotations::new(truth.cells.var.index.clone());
        if self.program.has_components() {
            let pca = truth.pca()?;
            outline.var.set("pca_mean", Column::Float(pca.mean));
            outline.varm.insert("PCs".into(), pca.loadings);
        }
        outline.uns.insert("log1p".into(), Value::Map(BTreeMap::new()));
        if let Some(provenance) = provenance {
            let told = BTreeMap::from([("predict".to_owned(), Value::Text(provenance.to_string()))]);
            outline.uns.insert("scflow".into(), Value::Map(told));
        }
        Ok(outline)
    }

    fn real_cells(&self, rows: &[usize]) -> Result<Cells> {
        let truth = &self.real.truth;
        let conditions: Vec<Condition> = rows.iter().map(|&row| truth.conditions[row].clone()).collect();
        let names = rows.iter().map(|&row| truth.cells.obs.index[row].clone()).collect();
        let counts = truth.counts()?.select_rows(rows);
        // Training cells lie as if the components had not been fitted to them, as generated cells do.
        let components: Array2<f32> = truth.embedding().select(ndarray::Axis(0), rows);
        let cells = Cells {
            x: truth.cells.x.select_rows(rows),
            layers: BTreeMap::from([(COUNTS.to_owned(), counts)]),
            obs: Annotations::new(names),
            obsm: BTreeMap::from([(COMPONENTS.to_owned(), components)]),
            ..Cells::default()
        };
        self.dress(cells, &conditions, Origin::Real)
    }

    /// Leaves what the program reads, under its names.
    fn dress(&self, cells: Cells, conditions: &[Condition], origin: Origin) -> Result<Cells> {
        let Cells { x, mut layers, obs, mut obsm, .. } = cells;
        if self.program == EmitAs::CellEval {
            cell_eval::check(&x)?;
        }
        layers.retain(|name, _: &mut SparseMatrix| self.program.has_counts() && name == COUNTS);
        obsm.retain(|name, _| self.program.has_components() && name == COMPONENTS);
        let obs = self.labels.of(obs.index, conditions, origin)?;
        Ok(Cells { x, layers, obs, obsm, ..Cells::default() })
    }
}

//! Generated cells as the blocks of a file.

use std::collections::BTreeMap;

use ndarray::Array2;

use crate::cells::{Annotations, Cells, Column, SparseMatrix, Value};
use crate::conditions::Condition;
use crate::conditions::status::Status;
use crate::models::fitted::{FittedModel, Generated};
use crate::preprocess::normalize;
use crate::{Error, Result};

/// The slots of the file.
const COUNTS: &str = "counts";
const EMBEDDING: &str = "X_pca";

/// The conditions to predict, each with its number of cells.
pub(super) struct Wanted {
    conditions: Vec<Condition>,
    statuses: Vec<String>,
    n_cells: Vec<usize>,
    /// `obs` with one row per condition.
    obs: Annotations,
}

impl Wanted {
    pub(super) fn new(model: &FittedModel, conditions: Vec<Condition>, n_cells: Vec<usize>) -> Self {
        let measured = model.known.measured();
        let found: Vec<Status> = conditions.iter().map(|condition| measured.status(condition)).collect();
        let statuses: Vec<String> = found.iter().map(ToString::to_string).collect();
        let strata: Vec<String> = found.into_iter().map(Status::stratum).collect();
        let texts =
            |of: &dyn Fn(&Condition) -> String| Column::categorical(&conditions.iter().map(of).collect::<Vec<_>>());
        let mut obs = Annotations::new(conditions.iter().map(ToString::to_string).collect());
        obs.set("perturbation", texts(&|condition| condition.perturbation.to_string()));
        obs.set("is_control", Column::Boolean(conditions.iter().map(|c| c.perturbation.is_control()).collect()));
        let n_components = conditions.iter().map(|c| c.perturbation.components().len() as i64).collect();
        obs.set("n_perts", Column::Integer(n_components));
        for column in &model.settings.covariates {
            obs.set(column, texts(&|condition| condition.covariates.get(column).cloned().unwrap_or_default()));
        }
        obs.set("status", Column::categorical(&statuses));
        obs.set("stratum", Column::categorical(&strata));
        obs.set("library_size", Column::Float(vec![0.0; conditions.len()]));
        Self { conditions, statuses, n_cells, obs }
    }

    /// Cells in all.
    pub(super) fn n_cells(&self) -> usize {
        self.n_cells.iter().sum()
    }

    /// The file without its cells.
    ///
    /// # Errors
    /// [`Error::Backend`] if the settings cannot be written.
    pub(super) fn outline(&self, model: &FittedModel, provenance: &serde_json::Value) -> Result<Cells> {
        let mut var = Annotations::new(model.genes.clone());
        var.set("pca_mean", Column::Float(model.pca.mean.clone()));
        let text = |value: &serde_json::Value| Value::Text(value.to_string());
        let settings =
            serde_json::to_value(&model.settings).map_err(|source| Error::backend("writing settings", source))?;
        let history =
            model.history.iter().map(|(name, values)| (name.clone(), Value::Floats(values.clone()))).collect();
        let scflow = BTreeMap::from([
            ("preprocess".to_owned(), text(&settings)),
            ("predict".to_owned(), text(provenance)),
            ("history".to_owned(), Value::Map(history)),
        ]);
        let none = SparseMatrix::from_rows(model.genes.len(), []);
        Ok(Cells {
            x: none.clone(),
            layers: BTreeMap::from([(COUNTS.to_owned(), none)]),
            obs: self.obs.select(&[]),
            var,
            obsm: BTreeMap::from([(EMBEDDING.to_owned(), Array2::zeros((0, model.pca.loadings.ncols())))]),
            varm: BTreeMap::from([("PCs".to_owned(), model.pca.loadings.clone())]),
            obsp: BTreeMap::new(),
            varp: BTreeMap::new(),
            uns: BTreeMap::from([
                ("scflow".to_owned(), Value::Map(scflow)),
                ("log1p".to_owned(), Value::Map(BTreeMap::new())),
            ]),
        })
    }

    /// The cells, made block by block as they are asked for: `generate` gets a condition, a number of cells and a seed.
    pub(super) fn blocks<'a>(
        &'a self,
        model: &'a FittedModel,
        seed: u64,
        generate: impl Fn(&Condition, usize, u64) -> Result<Generated> + 'a,
        say: &'a dyn Fn(&str),
    ) -> impl Iterator<Item = Result<Cells>> + 'a {
        let blocks = (0..self.conditions.len()).flat_map(move |place| {
            let blocks = model.blocks(self.n_cells[place], seed);
            let n_blocks = blocks.len();
            blocks.into_iter().enumerate().map(move |(block, (seed, n_cells))| (place, block, n_blocks, seed, n_cells))
        });
        let mut n_before = 0;
        blocks.map(move |(place, block, n_blocks, seed, n_cells)| {
            let condition = &self.conditions[place];
            let part = if n_blocks > 1 { format!(", block {} of {n_blocks}", block + 1) } else { String::new() };
            say(&format!("{}/{} {condition} ({}){part}", place + 1, self.conditions.len(), self.statuses[place]));
            let made = generate(condition, n_cells, seed)?;
            let mut obs = self.obs.select(&vec![place; n_cells]);
            obs.index = (n_before..n_before + n_cells).map(|cell| format!("generated_{cell}")).collect();
            n_before += n_cells;
            let x = normalize::log_normalize(&made.counts, &made.library_sizes, model.settings.target_sum);
            obs.set("library_size", Column::Float(made.library_sizes));
            Ok(Cells {
                x,
                layers: BTreeMap::from([(COUNTS.to_owned(), made.counts)]),
                obs,
                obsm: BTreeMap::from([(EMBEDDING.to_owned(), made.embedding)]),
                ..Cells::default()
            })
        })
    }

    /// The conditions with their statuses and numbers of cells.
    pub(super) fn into_conditions(self) -> Vec<(Condition, String, usize)> {
        let of = |((condition, status), n_cells)| (condition, status, n_cells);
        self.conditions.into_iter().zip(self.statuses).zip(self.n_cells).map(of).collect()
    }
}

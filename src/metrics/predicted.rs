//! A prediction file with its contract checked against the prepared screen it is judged by.

use std::collections::BTreeMap;

use ndarray::Array2;

use crate::cells::{Cells, SparseMatrix, Value};
use crate::conditions::Condition;
use crate::prepared::{self, Prepared, Settings};
use crate::{Error, Result};

/// Generated cells.
pub struct Predicted {
    /// log1p expression: (n_cells, n_genes).
    pub x: SparseMatrix,
    /// Principal components: (n_cells, n_components).
    pub embedding: Array2<f32>,
    /// The condition of each cell.
    pub conditions: Vec<Condition>,
    /// How far each cell's condition is from training.
    pub statuses: Vec<String>,
    /// The stratum of each cell's condition.
    pub strata: Vec<String>,
    /// The name of the method that generated them.
    pub method: String,
    /// The history of the fit: column → values.
    pub history: BTreeMap<String, Vec<f64>>,
}

impl Predicted {
    /// Checks that the cells are a prediction on the same genes and the same principal components as the truth.
    ///
    /// # Errors
    /// [`Error::MissingKey`] or [`Error::MissingColumn`] for parts that are absent; [`Error::ShapeMismatch`] if the genes
    /// differ; [`Error::InvalidParameter`] if the preparation differs.
    pub fn new(mut cells: Cells, truth: &Prepared) -> Result<Self> {
        let missing = |key: &str| Error::MissingKey {
            place: "prediction file".into(),
            key: key.to_owned(),
            hint: "make this file with `scflow predict`".into(),
        };
        let scflow = cells.uns.get("scflow").ok_or_else(|| missing("uns[\"scflow\"]"))?;
        let json = |key: &str| {
            let text = scflow.get(key).and_then(Value::as_text);
            text.ok_or_else(|| missing(&format!("uns[\"scflow\"][\"{key}\"]")))
        };
        let broken = |source| Error::backend("reading uns[\"scflow\"] of the prediction", source);
        let predict: serde_json::Value = serde_json::from_str(json("predict")?).map_err(broken)?;
        let settings: Settings = serde_json::from_str(json("preprocess")?).map_err(broken)?;
        same_preparation(&settings, &truth.settings)?;
        same_genes(&cells.var.index, &truth.cells.var.index)?;
        let method = predict.get("method").and_then(serde_json::Value::as_str).unwrap_or("model").to_owned();
        let history = read_history(scflow.get("history"));
        let embedding = cells.obsm.remove("X_pca").ok_or_else(|| missing("obsm[\"X_pca\"]"))?;
        if embedding.ncols() != truth.embedding().ncols() {
            return Err(Error::ShapeMismatch {
                what: "obsm[\"X_pca\"] of the prediction".into(),
                expected: format!("{} components", truth.embedding().ncols()),
                got: format!("{}", embedding.ncols()),
            });
        }
        let conditions = prepared::conditions(&cells.obs, &truth.settings.covariates)?;
        let statuses = cells.obs.texts("obs", "status")?;
        let strata = cells.obs.texts("obs", "stratum")?;
        Ok(Self { x: cells.x, embedding, conditions, statuses, strata, method, history })
    }

    /// The cells of each condition.
    pub fn rows_by_condition(&self) -> BTreeMap<Condition, Vec<usize>> {
        let mut rows = BTreeMap::<Condition, Vec<usize>>::new();
        for (row, condition) in self.conditions.iter().enumerate() {
            rows.entry(condition.clone()).or_default().push(row);
        }
        rows
    }
}

/// Fails unless both come from the same raw file, prepared with the same settings.
///
/// # Errors
/// [`Error::InvalidParameter`].
pub fn same_preparation(prediction: &Settings, truth: &Settings) -> Result<()> {
    // Where the raw file lay does not matter, its content does.
    let content = |settings: &Settings| Settings { input: String::new(), ..settings.clone() };
    if content(prediction) == content(truth) {
        return Ok(());
    }
    let reason = if prediction.input_sha256 != truth.input_sha256 {
        format!(
            "the model was fitted to another screen: raw file {:.12}…, the truth comes from {:.12}…",
            prediction.input_sha256, truth.input_sha256
        )
    } else {
        "the model was fitted to the same raw file prepared with other settings, so its principal components differ"
            .into()
    };
    Err(Error::InvalidParameter { name: "--truth".into(), value: truth.input.clone(), reason })
}

/// Fails unless the prediction has the truth's genes in the same order.
///
/// # Errors
/// [`Error::ShapeMismatch`].
pub fn same_genes(prediction: &[String], truth: &[String]) -> Result<()> {
    if prediction == truth {
        return Ok(());
    }
    let differs = prediction.iter().zip(truth).position(|(a, b)| a != b);
    let got = match differs {
        Some(at) => format!("{} genes; gene {at} is `{}` and not `{}`", prediction.len(), prediction[at], truth[at]),
        None => format!("{} genes", prediction.len()),
    };
    Err(Error::ShapeMismatch {
        what: "genes of the prediction".into(),
        expected: format!("the truth's {} genes in the same order", truth.len()),
        got,
    })
}

fn read_history(history: Option<&Value>) -> BTreeMap<String, Vec<f64>> {
    let Some(Value::Map(columns)) = history else { return BTreeMap::new() };
    let numbers = |value: &Value| match value {
        Value::Floats(values) => Some(values.clone()),
        Value::Integers(values) => Some(values.iter().map(|&value| value as f64).collect()),
        _ => None,
    };
    columns.iter().filter_map(|(name, value)| Some((name.clone(), numbers(value)?))).collect()
}

//! A prepared screen: the contract between `preprocess` and every stage after it.
//!
//! `x` is log1p of counts per `target_sum`; `layers["counts"]` holds the counts; `obs` holds `perturbation` (canonical,
//! `A+B`, `A @ 10 uM+B`, `control`), `is_control`, `split` (`train`, `val` or `test`), `n_perts`, `library_size`, and the
//! covariate columns; where a screen has doses, times or slots also [`amounts`]; `obsm["X_pca"]`, as scanpy has it, and `obsm["X_pca_cross_fitted"]`, where training cells lie as if the
//! components had not been fitted to them and other cells as in `X_pca`; `varm["PCs"]` (zero rows for genes outside the
//! PCA), `var["pca_mean"]` (of every gene, over training cells), `uns["pca"]`; `uns["scflow"]["preprocess"]` holds
//! [`Settings`] as JSON text.

use std::collections::{BTreeMap, HashMap};

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::cells::{Annotations, Cells, Column, SparseMatrix, Value};
use crate::conditions::{Component, Condition, Perturbation, Quantity};
use crate::embedding::pca::Pca;
use crate::preprocess::split::Split;
use crate::{Error, Result};

/// The layer that holds the counts.
pub const COUNTS: &str = "counts";
/// The array of `obsm` that holds the principal components, of training cells as if these had not been fitted to them.
pub const EMBEDDING: &str = "X_pca_cross_fitted";

/// How a screen was prepared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// scflow's version.
    pub version: String,
    /// The raw file.
    pub input: String,
    /// SHA-256 of the raw file, in hexadecimal.
    pub input_sha256: String,
    /// The column of `obs` that named the perturbation.
    pub perturbation_column: String,
    /// The name that the control had there.
    pub control: String,
    /// The covariate columns.
    pub covariates: Vec<String>,
    /// The column of `obs` that gave the library sizes; the row sums if absent.
    pub size_factors: Option<String>,
    /// Every cell was scaled to this many counts before log1p.
    pub target_sum: f64,
    /// Number of highly variable genes.
    pub n_top_genes: usize,
    /// Number of principal components.
    pub n_components: usize,
    /// The conditions of which no cell is a training cell, as [`Condition::parse`] reads them.
    pub held_out: Vec<String>,
    /// What the quality filters removed and why: reason → number.
    pub removed: BTreeMap<String, usize>,
}

/// A prepared screen with its contract checked.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The cells.
    pub cells: Cells,
    /// How they were prepared.
    pub settings: Settings,
    /// The condition of each cell.
    pub conditions: Vec<Condition>,
    /// True for training cells.
    pub is_training: Vec<bool>,
}

impl Prepared {
    /// Checks that the cells fulfil the contract.
    ///
    /// # Errors
    /// [`Error::MissingKey`] or [`Error::MissingColumn`] naming the part that is absent.
    pub fn new(cells: Cells) -> Result<Self> {
        let prepared = Self::without_genes(cells)?;
        prepared.counts()?;
        Ok(prepared)
    }

    /// As [`Self::new`] for a screen of which the expression and the counts were not read.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn without_genes(cells: Cells) -> Result<Self> {
        let missing = |key: &str| Error::MissingKey {
            place: "prepared file".into(),
            key: key.to_owned(),
            hint: "make this file with `scflow preprocess`".into(),
        };
        let text = cells
            .uns
            .get("scflow")
            .and_then(|scflow| scflow.get("preprocess"))
            .and_then(Value::as_text)
            .ok_or_else(|| missing("uns[\"scflow\"][\"preprocess\"]"))?;
        let settings: Settings =
            serde_json::from_str(text).map_err(|source| Error::backend("reading uns[\"scflow\"]", source))?;
        for key in ["X_pca", EMBEDDING] {
            if !cells.obsm.contains_key(key) {
                return Err(missing(&format!("obsm[\"{key}\"]")));
            }
        }
        let conditions = conditions(&cells.obs, &settings.covariates)?;
        let (codes, splits) = cells.obs.coded("obs", "split")?;
        let is_training = codes.iter().map(|&code| splits[code as usize] == "train").collect();
        Ok(Self { cells, settings, conditions, is_training })
    }

    /// The coordinates of the cells on the principal components, of training cells as if these had not been fitted to
    /// them, so that they spread as unseen cells do: (n_cells, n_components).
    pub fn embedding(&self) -> &Array2<f32> {
        &self.cells.obsm[EMBEDDING]
    }

    /// The counts: (n_cells, n_genes).
    ///
    /// # Errors
    /// [`Error::MissingKey`] if they were not read.
    pub fn counts(&self) -> Result<&SparseMatrix> {
        self.cells.layers.get(COUNTS).ok_or_else(|| Error::MissingKey {
            place: "prepared file".into(),
            key: format!("layers[\"{COUNTS}\"]"),
            hint: "make this file with `scflow preprocess`".into(),
        })
    }

    /// The number of counts by which each cell was normalised.
    ///
    /// # Errors
    /// [`Error::MissingColumn`] if the column `library_size` is absent.
    pub fn library_sizes(&self) -> Result<Vec<f64>> {
        self.cells.obs.floats("obs", "library_size")
    }

    /// The principal component analysis that made the embedding.
    ///
    /// # Errors
    /// [`Error::MissingKey`] or [`Error::MissingColumn`] naming the part that is absent.
    pub fn pca(&self) -> Result<Pca> {
        let missing = |key: &str| Error::MissingKey {
            place: "prepared file".into(),
            key: key.to_owned(),
            hint: "make this file with `scflow preprocess`".into(),
        };
        let numbers = |key: &str| {
            let values = self.cells.uns.get("pca").and_then(|pca| pca.get(key)).and_then(Value::as_floats);
            values.map(<[f64]>::to_vec).ok_or_else(|| missing(&format!("uns[\"pca\"][\"{key}\"]")))
        };
        Ok(Pca {
            mean: self.cells.var.floats("var", "pca_mean")?,
            loadings: self.cells.varm.get("PCs").cloned().ok_or_else(|| missing("varm[\"PCs\"]"))?,
            variance: numbers("variance")?,
            variance_ratio: numbers("variance_ratio")?,
        })
    }

    /// The training cells' positions.
    pub fn training_rows(&self) -> Vec<usize> {
        (0..self.conditions.len()).filter(|&row| self.is_training[row]).collect()
    }

    /// The cells of each condition, training or held out.
    pub fn rows_by_condition(&self, training: bool) -> BTreeMap<Condition, Vec<usize>> {
        let mut rows = BTreeMap::<Condition, Vec<usize>>::new();
        for (row, condition) in self.conditions.iter().enumerate() {
            if self.is_training[row] == training {
                rows.entry(condition.clone()).or_default().push(row);
            }
        }
        rows
    }
}

/// The condition of each cell, from `perturbation` and the covariate columns; cells of one condition share it.
///
/// # Errors
/// [`Error::MissingColumn`]; [`Error::BadValues`] for missing values; those of [`Perturbation::parse`].
pub fn conditions(obs: &Annotations, covariates: &[String]) -> Result<Vec<Condition>> {
    let (codes, labels) = obs.coded("obs", "perturbation")?;
    let columns: Vec<_> = covariates.iter().map(|column| obs.coded("obs", column)).collect::<Result<_>>()?;
    let mut known = HashMap::<Vec<i32>, Condition>::new();
    let mut conditions = Vec::with_capacity(codes.len());
    for (row, &code) in codes.iter().enumerate() {
        let key: Vec<i32> = std::iter::once(code).chain(columns.iter().map(|(codes, _)| codes[row])).collect();
        if let Some(condition) = known.get(&key) {
            conditions.push(condition.clone());
            continue;
        }
        let perturbation = Perturbation::parse(&labels[code as usize], Perturbation::CONTROL)?;
        let values = columns.iter().map(|(codes, values)| values[codes[row] as usize].clone());
        let condition = Condition::new(perturbation, covariates.iter().cloned().zip(values).collect());
        known.insert(key, condition.clone());
        conditions.push(condition);
    }
    Ok(conditions)
}

/// Writes the columns of the contract that follow from the conditions.
pub fn annotate(cells: &mut Cells, conditions: &[Condition], is_training: &[bool]) {
    let labels: Vec<String> = conditions.iter().map(|condition| condition.perturbation.to_string()).collect();
    let splits: Vec<&str> = is_training.iter().map(|&training| if training { "train" } else { "test" }).collect();
    let control = conditions.iter().map(|condition| condition.perturbation.is_control()).collect();
    let sizes = conditions.iter().map(|condition| condition.perturbation.components().len() as i64).collect();
    cells.obs.set("perturbation", Column::categorical(&labels));
    cells.obs.set("is_control", Column::Boolean(control));
    cells.obs.set("n_perts", Column::Integer(sizes));
    cells.obs.set("split", Column::categorical(&splits));
}

/// A dose or a time of a component.
type Amount = fn(&Component) -> Option<&Quantity>;

/// What `perturbation` says, in columns of their own, where a screen has doses, times, or a column for each slot:
/// `perturbation_1`, … (names in bytewise order, `control` in slots that are empty), `dose_1`, … and `time_1`, … (numbers; none
/// where there is none), `dose` and `time` (the numbers joined like the components: `10+0.5`), `dose_unit` and `time_unit` (one
/// unit, or several joined likewise). They are read by no later stage, as `perturbation` has it all.
pub fn amounts(conditions: &[Condition], has_slots: bool) -> Vec<(String, Column)> {
    let mut places = HashMap::<&Perturbation, usize>::new();
    let mut distinct = Vec::<Vec<Component>>::new();
    let of_cell: Vec<usize> = conditions
        .iter()
        .map(|condition| {
            *places.entry(&condition.perturbation).or_insert_with(|| {
                distinct.push(condition.perturbation.parts().collect());
                distinct.len() - 1
            })
        })
        .collect();
    let kinds: [(&str, Amount); 2] = [("dose", |part| part.dose.as_ref()), ("time", |part| part.time.as_ref())];
    let occurs = |of: Amount| distinct.iter().flatten().any(|part| of(part).is_some());
    let kinds: Vec<(&str, Amount)> = kinds.into_iter().filter(|(_, of)| occurs(*of)).collect();
    if kinds.is_empty() && !has_slots {
        return Vec::new();
    }
    let n_slots = distinct.iter().map(Vec::len).max().unwrap_or(0);
    let texts = |text: &dyn Fn(&Vec<Component>) -> String| {
        let all: Vec<String> = distinct.iter().map(text).collect();
        Column::categorical(&of_cell.iter().map(|&place| all[place].as_str()).collect::<Vec<_>>())
    };
    let numbers = |number: &dyn Fn(&Vec<Component>) -> f64| {
        let all: Vec<f64> = distinct.iter().map(number).collect();
        Column::Float(of_cell.iter().map(|&place| all[place]).collect())
    };
    let mut columns = Vec::new();
    for (name, of) in &kinds {
        let joined = |text: &dyn Fn(&Quantity) -> String, parts: &Vec<Component>| -> Vec<String> {
            parts.iter().map(|part| of(part).map_or_else(String::new, text)).collect()
        };
        columns.push(((*name).to_owned(), texts(&|parts| joined(&Quantity::number, parts).join("+"))));
        let unit = |parts: &Vec<Component>| {
            let mut units = joined(&|quantity| quantity.unit().to_owned(), parts);
            if units.iter().all(|unit| *unit == units[0]) {
                units.truncate(1);
            }
            units.join("+")
        };
        columns.push((format!("{name}_unit"), texts(&unit)));
    }
    for slot in 0..n_slots {
        let perturbation = |parts: &Vec<Component>| {
            parts.get(slot).map_or_else(|| Perturbation::CONTROL.to_owned(), |part| part.name.clone())
        };
        columns.push((format!("perturbation_{}", slot + 1), texts(&perturbation)));
        for (name, of) in &kinds {
            let number = |parts: &Vec<Component>| parts.get(slot).and_then(*of).map_or(f64::NAN, Quantity::value);
            columns.push((format!("{name}_{}", slot + 1), numbers(&number)));
        }
    }
    columns
}

/// Writes `obs["split"]` where a part of the cells is for validation.
pub fn annotate_split(cells: &mut Cells, splits: &[Split]) {
    let texts: Vec<&str> = splits.iter().map(|split| split.as_str()).collect();
    cells.obs.set("split", Column::categorical(&texts));
}

/// Where the cells lie on the principal components: (n_cells, n_components) each.
pub struct Coordinates {
    /// On the components of all training cells.
    pub seen: Array2<f32>,
    /// The same, but of training cells as if the components had not been fitted to them.
    pub unseen: Array2<f32>,
}

/// Writes the slots of a principal component analysis and the coordinates of every cell.
pub fn annotate_pca(cells: &mut Cells, pca: Pca, coordinates: Coordinates) {
    cells.obsm.insert("X_pca".into(), coordinates.seen);
    cells.obsm.insert(EMBEDDING.into(), coordinates.unseen);
    cells.var.set("pca_mean", Column::Float(pca.mean));
    cells.varm.insert("PCs".into(), pca.loadings);
    let params = BTreeMap::from([
        ("zero_center".to_owned(), Value::Boolean(true)),
        ("mask_var".to_owned(), Value::Text("highly_variable".into())),
    ]);
    let entries = BTreeMap::from([
        ("params".to_owned(), Value::Map(params)),
        ("variance".to_owned(), Value::Floats(pca.variance)),
        ("variance_ratio".to_owned(), Value::Floats(pca.variance_ratio)),
    ]);
    cells.uns.insert("pca".into(), Value::Map(entries));
}

/// Renames a column that is about to be replaced by other values, and returns its new name.
pub fn keep_original(table: &mut Annotations, name: &str, replacement: &Column) -> Option<String> {
    let existing = table.get(name)?;
    if existing.reads_as(replacement) {
        return None;
    }
    let names = std::iter::once(format!("{name}_original")).chain((2..).map(|n| format!("{name}_original_{n}")));
    let kept = names.into_iter().find(|kept| table.get(kept).is_none_or(|column| column.reads_as(existing)))?;
    if table.get(&kept).is_some() {
        table.columns.retain(|(column, _)| column != name);
    } else if let Some(slot) = table.columns.iter_mut().find(|(column, _)| column == name) {
        slot.0.clone_from(&kept);
    }
    Some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_one_condition_share_it_however_the_columns_are_stored() {
        let mut obs = Annotations::new(["a", "b", "c"].map(String::from).to_vec());
        obs.set("perturbation", Column::categorical(&["B+A", "control", "B+A"]));
        obs.set("t", Column::Text(["x", "x", "x"].map(String::from).to_vec()));
        let found = conditions(&obs, &["t".to_owned()]).unwrap();
        let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["A+B | t=x", "control | t=x", "A+B | t=x"]);
        assert!(std::ptr::eq(&found[0].perturbation, &found[2].perturbation));
        obs.set("t", Column::Categorical { codes: vec![0, -1, 0], categories: vec!["x".into()], ordered: false });
        assert!(matches!(conditions(&obs, &["t".to_owned()]), Err(Error::BadValues { n_bad: 1, .. })));
    }

    #[test]
    fn doses_and_times_stand_in_columns_of_their_own() {
        let all = ["control", "B @ 10 uM + A @ 0.5 ng/ml", "A @ 2 ng/ml"]
            .map(|text| Condition::parse(text, "control").unwrap());
        let mut obs = Annotations::new(vec![String::new(); 3]);
        amounts(&all, false).into_iter().for_each(|(name, column)| obs.set(&name, column));
        let names = ["dose", "dose_unit", "perturbation_1", "dose_1", "perturbation_2", "dose_2"];
        assert_eq!(obs.names(), names);
        let texts = |name: &str| obs.texts("obs", name).unwrap();
        assert_eq!(texts("dose"), ["", "0.5+10", "2"]);
        assert_eq!(texts("dose_unit"), ["", "ng/ml+uM", "ng/ml"]);
        assert_eq!(
            (texts("perturbation_1"), texts("perturbation_2")[0].as_str()),
            (vec!["control".into(), "A".into(), "A".into()], "control")
        );
        let doses = obs.floats("obs", "dose_2").unwrap();
        assert!(doses[0].is_nan() && doses[1] == 10.0 && doses[2].is_nan());
        let plain = ["A+B", "control"].map(|text| Condition::parse(text, "control").unwrap());
        assert!(amounts(&plain, false).is_empty());
        assert_eq!(amounts(&plain, true).len(), 2);
    }

    #[test]
    fn a_column_with_other_values_is_kept_under_another_name() {
        let text = |text: &str| Column::Text(vec![text.to_owned()]);
        let mut table = Annotations::new(vec!["c".into()]);
        table.set("split", text("old"));
        assert_eq!(keep_original(&mut table, "split", &Column::categorical(&["old"])), None);
        assert_eq!(keep_original(&mut table, "split", &text("new")).as_deref(), Some("split_original"));
        assert_eq!(table.names(), ["split_original"]);
        table.set("split", text("new"));
        assert_eq!(keep_original(&mut table, "split", &text("newer")).as_deref(), Some("split_original_2"));
        table.set("split", text("old"));
        assert_eq!(keep_original(&mut table, "split", &text("newer")).as_deref(), Some("split_original"));
        assert_eq!(table.names(), ["split_original", "split_original_2"]);
        assert_eq!(keep_original(&mut table, "absent", &text("new")), None);
    }
}

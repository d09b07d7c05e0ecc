//! What is in a file of cells, judged by the evidence in it, and what to do next: [`Cells`] in, [`Inspection`] out.
//!
//! Columns are suggested by the names that the field uses; nothing is chosen silently.

mod columns;
mod matrices;
mod next;
mod perturbations;
mod suggestions;
mod text;
mod transfer;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::Result;
use crate::cells::{Cells, Value};
use crate::conditions::Perturbation;
use crate::prepared::Settings;

pub use columns::ColumnSummary;
pub use matrices::{MatrixSummary, Scale};
pub use perturbations::{Columns, CovariateValue, PerturbationCount, PerturbationSummary, SizeSummary, Unreadable};
pub use suggestions::Suggestion;
pub use transfer::Transfer;

/// What the user says of the columns; what is left out is suggested.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Choices {
    /// The column of obs that names the perturbation.
    pub perturbation_column: Option<String>,
    /// The control's name in this column.
    pub control: Option<String>,
    /// Columns of obs that tell cells apart beside the perturbation.
    pub covariates: Vec<String>,
}

/// Which step of scflow made a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// None: a file from elsewhere.
    Elsewhere,
    /// `scflow simulate`.
    Simulated,
    /// `scflow preprocess`.
    Prepared,
    /// `scflow predict`.
    Predicted,
}

/// What made predicted cells, as far as their provenance tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Maker {
    /// The method.
    pub method: String,
    /// The architecture and the pooling of the network that read descriptions, where their words were not counted.
    pub text_encoder: Option<String>,
}

impl Maker {
    fn read(provenance: &str) -> Option<Self> {
        let provenance: serde_json::Value = serde_json::from_str(provenance).ok()?;
        let text = |path: &str| Some(provenance.pointer(path)?.as_str()?.to_owned());
        let text_encoder = text("/fit/text_encoder/architecture")
            .map(|name| format!("{name} ({})", text("/fit/text_encoder/pooling").unwrap_or_default()));
        Some(Self { method: text("/method")?, text_encoder })
    }
}

/// Names that occur more than once.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Duplicates {
    /// `obs` or `var`.
    pub table: &'static str,
    /// The names with the number of times that they occur.
    pub names: Vec<(String, usize)>,
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// The file, as the user named it.
    pub file: String,
    /// Which step of scflow made it.
    pub origin: Origin,
    /// Number of cells.
    pub n_cells: usize,
    /// Number of genes.
    pub n_genes: usize,
    /// X and every layer.
    pub matrices: Vec<MatrixSummary>,
    /// The columns of obs.
    pub obs: Vec<ColumnSummary>,
    /// The columns of var.
    pub var: Vec<ColumnSummary>,
    /// The first names of cells and of genes.
    pub first_names: [Vec<String>; 2],
    /// Names of cells or genes that occur more than once.
    pub duplicates: Vec<Duplicates>,
    /// Arrays with one row per cell: name → number of columns.
    pub obsm: BTreeMap<String, usize>,
    /// Arrays with one row per gene: name → number of columns.
    pub varm: BTreeMap<String, usize>,
    /// The keys of uns.
    pub uns: Vec<String>,
    /// What the reader noted.
    pub notes: Vec<String>,
    /// How the file was prepared, if it was.
    pub prepared: Option<Settings>,
    /// What made the cells, if they were predicted.
    pub predicted: Option<Maker>,
    /// Numeric columns of obs that are larger than the sums of X: library sizes of all genes, of which X holds a part.
    pub larger_library_sizes: Vec<(String, f64)>,
    /// Columns that may name the perturbation.
    pub suggestions: Vec<Suggestion>,
    /// The perturbations, if it is clear in which column they stand.
    pub perturbations: Option<PerturbationSummary>,
    /// What to type next, and what stands in the way.
    pub next: Next,
}

/// What to type next.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct Next {
    /// What to know or mend first.
    pub remarks: Vec<String>,
    /// The words of the command, each quoted for a shell where it needs to be; a flag and its value are one entry.
    pub command: Vec<String>,
}

/// Looks at everything in a file.
///
/// # Errors
/// [`Error::MissingColumn`](crate::Error::MissingColumn) or [`Error::UnknownName`](crate::Error::UnknownName) if the
/// user's choices do not fit the file.
pub fn inspect(file: &str, cells: &Cells, notes: Vec<String>, choices: &Choices) -> Result<Inspection> {
    let mut matrices = vec![MatrixSummary::new("X", &cells.x)];
    matrices.extend(cells.layers.iter().map(|(name, layer)| MatrixSummary::new(&format!("layers[\"{name}\"]"), layer)));
    let duplicates = [("obs", &cells.obs), ("var", &cells.var)]
        .map(|(table, annotations)| Duplicates { table, names: columns::duplicated(&annotations.index) });
    let suggestions = suggestions::perturbation_columns(&cells.obs);
    let prepared: Option<Settings> = scflow_text(cells, "preprocess").and_then(|text| serde_json::from_str(text).ok());
    let perturbations = match choose(cells, choices, &suggestions, prepared.as_ref())? {
        Some(columns) => Some(PerturbationSummary::new(&cells.obs, &columns)?),
        None => None,
    };
    let first = |names: &[String]| names.iter().take(3).cloned().collect::<Vec<_>>();
    let mut inspection = Inspection {
        file: file.to_owned(),
        origin: origin(cells),
        n_cells: cells.n_cells(),
        n_genes: cells.n_genes(),
        obs: columns::summarize(&cells.obs),
        var: columns::summarize(&cells.var),
        first_names: [first(&cells.obs.index), first(&cells.var.index)],
        duplicates: duplicates.into_iter().filter(|duplicates| !duplicates.names.is_empty()).collect(),
        obsm: cells.obsm.iter().map(|(name, array)| (name.clone(), array.ncols())).collect(),
        varm: cells.varm.iter().map(|(name, array)| (name.clone(), array.ncols())).collect(),
        uns: cells.uns.keys().cloned().collect(),
        notes,
        prepared,
        predicted: scflow_text(cells, "predict").and_then(Maker::read),
        larger_library_sizes: larger_library_sizes(cells, &matrices[0]),
        matrices,
        suggestions,
        perturbations,
        next: Next::default(),
    };
    inspection.next = next::next(&inspection);
    Ok(inspection)
}

fn scflow_text<'a>(cells: &'a Cells, key: &str) -> Option<&'a str> {
    cells.uns.get("scflow").and_then(|scflow| scflow.get(key)).and_then(Value::as_text)
}

fn origin(cells: &Cells) -> Origin {
    let has = |key: &str| cells.uns.get("scflow").is_some_and(|scflow| scflow.get(key).is_some());
    match (has("predict"), has("preprocess"), has("simulation")) {
        (true, ..) => Origin::Predicted,
        (_, true, _) => Origin::Prepared,
        (_, _, true) => Origin::Simulated,
        _ => Origin::Elsewhere,
    }
}

/// Columns and control: the user's, those of the contract in files that scflow made, or the only complete suggestion.
fn choose(
    cells: &Cells,
    choices: &Choices,
    suggestions: &[Suggestion],
    prepared: Option<&Settings>,
) -> Result<Option<Columns>> {
    for column in &choices.covariates {
        cells.obs.column("obs", column)?;
    }
    let complete: Vec<&Suggestion> = suggestions.iter().filter(|suggestion| suggestion.is_complete()).collect();
    let (perturbation, control, is_suggested) = match (&choices.perturbation_column, &choices.control) {
        (Some(column), Some(control)) => {
            perturbations::check_control(&cells.obs, column, control)?;
            (column.clone(), control.clone(), false)
        }
        (Some(column), None) => match suggestions::controls(cells.obs.column("obs", column)?).as_slice() {
            [control] => (column.clone(), control.clone(), true),
            _ => return Ok(None),
        },
        (None, _) if prepared.is_some() && cells.obs.get("perturbation").is_some() => {
            ("perturbation".to_owned(), Perturbation::CONTROL.to_owned(), false)
        }
        (None, _) => match complete.as_slice() {
            [suggestion] => (suggestion.column.clone(), suggestion.controls[0].clone(), true),
            _ => return Ok(None),
        },
    };
    let (covariates, covariates_are_suggested) = match (choices.covariates.as_slice(), prepared) {
        ([], Some(settings)) => (settings.covariates.clone(), false),
        ([], None) => (suggestions::covariate_columns(&cells.obs), true),
        (given, _) => (given.to_vec(), false),
    };
    let is_there = |column: &String| *column != perturbation && cells.obs.get(column).is_some();
    let covariates = covariates.into_iter().filter(is_there).collect();
    Ok(Some(Columns { perturbation, control, is_suggested, covariates, covariates_are_suggested }))
}

const LIBRARY_SIZE_COLUMNS: [&str; 7] =
    ["total_counts", "n_counts", "ncounts", "ncount_rna", "n_umi", "umi_count", "library_size"];
/// A library size that exceeds the sum of X by this factor says that genes are missing from X.
const MARKEDLY_LARGER: f64 = 1.05;

fn larger_library_sizes(cells: &Cells, x: &MatrixSummary) -> Vec<(String, f64)> {
    if x.looks_like != Scale::Counts {
        return Vec::new();
    }
    let is_named = |name: &str| LIBRARY_SIZE_COLUMNS.contains(&name.to_lowercase().as_str());
    let columns = cells.obs.columns.iter().filter(|(name, _)| is_named(name));
    let middle = |name: &String| Some(matrices::median(&mut cells.obs.floats("obs", name).ok()?));
    columns
        .filter_map(|(name, _)| Some((name.clone(), middle(name)?)))
        .filter(|&(_, middle)| middle > MARKEDLY_LARGER * x.median_sum)
        .collect()
}

//! The slots of a prepared screen; what they replace is kept under another name or told.

use std::collections::BTreeMap;
use std::path::Path;

use super::kept::Kept;
use super::{PreprocessParams, PreprocessSummary};
use crate::cells::{Annotations, Cells, Column, Value};
use crate::io::h5ad::{Matrix, Partial};
use crate::prepared::{self, COUNTS, Settings, keep_original};
use crate::preprocess::quality::Quality;
use crate::preprocess::split::Split;
use crate::preprocess::variable_genes::{Flavor, VariableGenes};
use crate::{Error, Result};

/// Tells what becomes of the layers; returns the layer `counts` of the file if it holds other values than the counts.
///
/// # Errors
/// Those of reading.
pub(super) fn other_counts<'a>(
    file: &'a Partial,
    counts: &Matrix,
    params: &PreprocessParams,
    say: &dyn Fn(&str),
) -> Result<Option<Matrix<'a>>> {
    if let Some(name) = &params.counts_layer {
        say(&format!("layers[\"{name}\"] becomes layers[\"counts\"]; X is replaced by its log-normalised values"));
    }
    let is_there = file.layers()?.iter().any(|layer| layer == COUNTS);
    if params.counts_layer.as_deref() == Some(COUNTS) || !is_there {
        return Ok(None);
    }
    let other = file.matrix(Some(COUNTS))?;
    if other.equals(counts)? {
        return Ok(None);
    }
    say("layers[\"counts\"] holds other values than the counts used; it is kept as layers[\"counts_original\"]");
    Ok(Some(other))
}

/// Writes the columns of `obs`.
pub(super) fn annotate_cells(
    cells: &mut Cells,
    own: &mut Own,
    kept: &Kept,
    measured: Quality,
    library_sizes: Vec<f64>,
    params: &PreprocessParams,
    say: &dyn Fn(&str),
) {
    let mut scratch = Cells::default();
    let is_training: Vec<bool> = kept.splits.iter().map(|&split| split == Split::Train).collect();
    prepared::annotate(&mut scratch, &kept.conditions, &is_training);
    prepared::annotate_split(&mut scratch, &kept.splits);
    for (name, column) in prepared::amounts(&kept.conditions, params.labels().perturbation.len() > 1) {
        scratch.obs.set(&name, column);
    }
    scratch.obs.set("library_size", Column::Float(library_sizes));
    scratch.obs.set("total_counts", Column::Float(measured.total_counts));
    scratch.obs.set("n_genes_by_counts", Column::Integer(measured.n_genes.iter().map(|&n| n as i64).collect()));
    scratch.obs.set("pct_counts_mt", Column::Float(measured.percent_mitochondrial));
    for (name, column) in scratch.obs.columns {
        // A column that the user declared to hold the total counts stays what it is.
        if params.size_factors.as_ref() != Some(&name) {
            own.set_of_cells(cells, &name, column, say);
        }
    }
}

/// Writes what is known of the genes' variability.
pub(super) fn annotate_genes(
    cells: &mut Cells,
    own: &mut Own,
    genes: VariableGenes,
    flavor: Flavor,
    say: &dyn Fn(&str),
) {
    let chosen = [("highly_variable", Column::Boolean(genes.is_variable))];
    for (name, column) in chosen.into_iter().chain(genes.statistics) {
        own.set_of_genes(cells, name, column, say);
    }
    let flavor = BTreeMap::from([("flavor".to_owned(), Value::Text(flavor.name().into()))]);
    cells.uns.insert("hvg".into(), Value::Map(flavor));
    // scanpy writes the base here; None, for e, is what anndata leaves out.
    cells.uns.insert("log1p".into(), Value::Map(BTreeMap::new()));
}

/// The columns that the file itself has and that stay as they are.
pub(super) struct Own {
    obs: Vec<String>,
    var: Vec<String>,
}

impl Own {
    pub(super) fn of(cells: &Cells) -> Self {
        Self { obs: cells.obs.names(), var: cells.var.names() }
    }

    /// Sets a column of `obs`.
    pub(super) fn set_of_cells(&mut self, cells: &mut Cells, name: &str, column: Column, say: &dyn Fn(&str)) {
        self.obs.retain(|own| own != name);
        replace(&mut cells.obs, "obs", name, column, say);
    }

    /// Sets a column of `var`.
    pub(super) fn set_of_genes(&mut self, cells: &mut Cells, name: &str, column: Column, say: &dyn Fn(&str)) {
        self.var.retain(|own| own != name);
        replace(&mut cells.var, "var", name, column, say);
    }

    /// Leaves these columns away: they come along as they lie in the file, with their types.
    pub(super) fn leave_to_the_file(self, cells: &mut Cells) {
        cells.obs.columns.retain(|(name, _)| !self.obs.contains(name));
        cells.var.columns.retain(|(name, _)| !self.var.contains(name));
    }
}

fn replace(table: &mut Annotations, of: &str, name: &str, column: Column, say: &dyn Fn(&str)) {
    if let Some(kept) = keep_original(table, name, &column) {
        say(&format!("{of}[\"{name}\"] held other values; they are kept as {of}[\"{kept}\"]"));
    }
    table.set(name, column);
}

/// Writes the provenance.
///
/// # Errors
/// [`Error::Backend`] if the settings cannot become JSON.
pub(super) fn annotate_settings(
    cells: &mut Cells,
    summary: &PreprocessSummary,
    target_sum: f64,
    sha256: &str,
    params: &PreprocessParams,
) -> Result<()> {
    let columns = params.labels();
    let settings = Settings {
        version: env!("CARGO_PKG_VERSION").into(),
        input: file_name(&params.input),
        input_sha256: sha256.to_owned(),
        perturbation_column: columns.perturbation.join(", "),
        control: columns.control,
        covariates: columns.covariates,
        size_factors: params.size_factors.clone(),
        target_sum,
        n_top_genes: summary.n_variable_genes,
        n_components: params.n_components,
        held_out: summary.held_out.iter().map(|(condition, _)| condition.clone()).collect(),
        removed: summary.removed.clone(),
    };
    let json = |value: std::result::Result<String, serde_json::Error>| {
        value.map(Value::Text).map_err(|source| Error::backend("writing uns[\"scflow\"]", source))
    };
    // Where files lie does not belong to the content: the same screen gives the same bytes in any folder.
    let recorded = PreprocessParams {
        input: file_name(&params.input).into(),
        output: "".into(),
        split: params.split.as_deref().map(|path| file_name(path).into()),
        force: false,
        ..params.clone()
    };
    let entries = [
        ("preprocess".to_owned(), json(serde_json::to_string(&settings))?),
        ("preprocess_parameters".to_owned(), json(serde_json::to_string(&recorded))?),
    ];
    cells.uns.insert("scflow".into(), Value::Map(BTreeMap::from(entries)));
    Ok(())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

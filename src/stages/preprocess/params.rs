//! What `preprocess` is told.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::names::Names;
use crate::cells::Annotations;
use crate::error::refuse;
use crate::preprocess::labels::Schema;
use crate::preprocess::mitochondrial::MitochondrialGenes;
use crate::preprocess::normalize::TargetSum;
use crate::preprocess::quality::Limits;
use crate::preprocess::variable_genes::Flavor;
use crate::{Error, Result};

/// What to prepare, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PreprocessParams {
    /// The raw screen.
    pub input: PathBuf,
    /// The prepared screen.
    pub output: PathBuf,
    /// Whose files name their columns so; what is given beside it comes first.
    pub schema: Option<Schema>,
    /// The column of `obs` that names what was done to each cell, or one column for each slot; `perturbation`, or the schema's,
    /// if empty.
    pub perturbation_column: Names,
    /// What the control is called there; `control`, or the schema's, if empty.
    pub control: String,
    /// A column of `obs` that is true for control cells, whatever their labels.
    pub control_column: Option<String>,
    /// What stands between the components of a label, a plus or the schema's if absent; empty where a label is one name.
    pub separator: Option<String>,
    /// Columns of `obs` with doses: one, where those of a combination are joined like its components, or one for each slot.
    pub dose_column: Names,
    /// The unit of doses that have none: a column of `obs`, or the unit itself.
    pub dose_unit: Option<String>,
    /// A column of `obs` that says for how long cells were perturbed.
    pub time_column: Option<String>,
    /// The unit of times that have none: a column of `obs`, or the unit itself.
    pub time_unit: Option<String>,
    /// Columns of `obs` that are part of the condition, such as `cell_type`.
    pub covariates: Vec<String>,
    /// A column of `obs` with the total counts of each cell; the sums over the file's genes if absent.
    pub size_factors: Option<String>,
    /// The layer that holds the counts; X if absent.
    pub counts_layer: Option<String>,
    /// Accept counts that are no whole numbers, such as those corrected for ambient RNA.
    pub accept_fractional_counts: bool,
    /// Conditions to hold out, such as `A + B` or `A | cell_type=T cell`.
    pub holdout: Vec<String>,
    /// A table that says which cells or conditions are `train`, `val` and `test`.
    pub split: Option<PathBuf>,
    /// Train on every cell.
    pub no_holdout: bool,
    /// Cells with counts in fewer genes are removed; 1, as panels of some hundred genes leave a dozen per cell.
    pub min_genes: usize,
    /// Cells with counts in more genes are removed.
    pub max_genes: Option<usize>,
    /// Cells with fewer counts are removed.
    pub min_counts: Option<f64>,
    /// Cells with more counts are removed.
    pub max_counts: Option<f64>,
    /// Genes with counts in fewer training cells are removed; 3, as in most published pipelines.
    pub min_cells: usize,
    /// Cells with a larger percentage of mitochondrial counts are removed.
    pub max_percent_mitochondrial: Option<f64>,
    /// Cells are removed whose ln(1 + counts) or ln(1 + genes) lies further from the median of the training cells than this
    /// many of their median absolute deviations; 5 in common pipelines.
    pub max_deviations: Option<f64>,
    /// Cells are removed whose percentage of mitochondrial counts lies further above the median of the training cells than
    /// this many of their median absolute deviations; 3 in common pipelines.
    pub max_deviations_mitochondrial: Option<f64>,
    /// How the names of mitochondrial genes start.
    pub mitochondrial_prefixes: Vec<String>,
    /// The column of `var` that marks mitochondrial genes; then prefixes do not matter.
    pub mitochondrial_column: Option<String>,
    /// The column of `var` that holds gene symbols, in which prefixes are looked for; the names of the genes if absent.
    pub gene_symbols: Option<String>,
    /// Every cell is scaled to this many counts before log1p: a number, or `median`.
    pub target_sum: TargetSum,
    /// How highly variable genes are found.
    pub flavor: Flavor,
    /// How many highly variable genes the components are fitted to.
    pub n_top_genes: usize,
    /// The column of `obs` that names batches, in each of which highly variable genes are found by themselves.
    pub batch_key: Option<String>,
    /// How many principal components are fitted.
    pub n_components: usize,
    /// Write the neighbours of all cells, by their components.
    pub neighbors: bool,
    /// Write Leiden clusters, and the neighbours.
    pub leiden: bool,
    /// Write a UMAP, and the neighbours.
    pub umap: bool,
    /// Neighbours of each cell, counting the cell itself as scanpy does.
    pub n_neighbors: usize,
    /// Resolution of the clusters.
    pub resolution: f64,
    /// Seed of clusters and map; nothing else is drawn, as the components are exact.
    pub seed: u64,
    /// Replace the output if it exists.
    pub force: bool,
}

impl Default for PreprocessParams {
    fn default() -> Self {
        Self {
            input: "screen.h5ad".into(),
            output: "prepared.h5ad".into(),
            schema: None,
            perturbation_column: Names::default(),
            control: String::new(),
            control_column: None,
            separator: None,
            dose_column: Names::default(),
            dose_unit: None,
            time_column: None,
            time_unit: None,
            covariates: Vec::new(),
            size_factors: None,
            counts_layer: None,
            accept_fractional_counts: false,
            holdout: Vec::new(),
            split: None,
            no_holdout: false,
            min_genes: 1,
            max_genes: None,
            min_counts: None,
            max_counts: None,
            min_cells: 3,
            max_percent_mitochondrial: None,
            max_deviations: None,
            max_deviations_mitochondrial: None,
            mitochondrial_prefixes: vec!["MT-".into()],
            mitochondrial_column: None,
            gene_symbols: None,
            target_sum: TargetSum::Counts(1e4),
            flavor: Flavor::Seurat,
            n_top_genes: 2000,
            batch_key: None,
            n_components: 50,
            neighbors: false,
            leiden: false,
            umap: false,
            n_neighbors: 15,
            resolution: 1.0,
            seed: 0,
            force: false,
        }
    }
}

impl PreprocessParams {
    /// Fails if a setting cannot work with any data.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`], or [`Error::MissingKey`] if nothing says what is held out.
    pub fn check(&self) -> Result<()> {
        let ways =
            usize::from(!self.holdout.is_empty()) + usize::from(self.split.is_some()) + usize::from(self.no_holdout);
        if ways == 0 {
            return Err(Error::MissingKey {
                place: "preprocess".into(),
                key: "--holdout".into(),
                hint: "hold out conditions with --holdout \"A + B\", give a --split FILE.csv, or say --no-holdout"
                    .into(),
            });
        }
        if ways > 1 {
            return refuse(
                "--holdout",
                self.holdout.join(", "),
                "only one of --holdout, --split and --no-holdout can be",
            );
        }
        if !self.control.is_empty() && self.control.trim().is_empty() {
            return refuse("control", &self.control, "the control needs a name");
        }
        self.check_labels()?;
        if matches!(self.target_sum, TargetSum::Counts(counts) if !(counts.is_finite() && counts > 0.0)) {
            return refuse("target_sum", self.target_sum, "must be positive and finite, or `median`");
        }
        if self.n_top_genes == 0 {
            return refuse("n_top_genes", "0", "must be 1 at least");
        }
        if self.n_components == 0 {
            return refuse("n_components", "0", "must be 1 at least");
        }
        if self.n_neighbors < 2 {
            return refuse("n_neighbors", self.n_neighbors, "it counts the cell itself, so it must be 2 at least");
        }
        if !(self.resolution.is_finite() && self.resolution > 0.0) {
            return refuse("resolution", self.resolution, "must be positive and finite");
        }
        if let Some(most) = self.max_genes.filter(|&most| most < self.min_genes) {
            return refuse("max_genes", most, "is smaller than min_genes");
        }
        if let Some(percent) = self.max_percent_mitochondrial.filter(|percent| !(0.0..=100.0).contains(percent)) {
            return refuse("max_percent_mitochondrial", percent, "must be between 0 and 100");
        }
        for (name, limit) in [("min_counts", self.min_counts), ("max_counts", self.max_counts)] {
            if let Some(limit) = limit.filter(|limit| !(limit.is_finite() && *limit >= 0.0)) {
                return refuse(name, limit, "must be finite and not negative");
            }
        }
        if let (Some(least), Some(most)) = (self.min_counts, self.max_counts)
            && most < least
        {
            return refuse("max_counts", most, "is smaller than min_counts");
        }
        for (name, limit) in [
            ("max_deviations", self.max_deviations),
            ("max_deviations_mitochondrial", self.max_deviations_mitochondrial),
        ] {
            if let Some(limit) = limit.filter(|limit| !(limit.is_finite() && *limit > 0.0)) {
                return refuse(name, limit, "must be positive and finite");
            }
        }
        if self.mitochondrial_prefixes.is_empty() || self.mitochondrial_prefixes.contains(&String::new()) {
            return refuse("mitochondrial_prefixes", "", "every gene starts with an empty prefix");
        }
        if let (Some(column), Some(_)) = (&self.mitochondrial_column, &self.gene_symbols) {
            return refuse("mitochondrial_column", column, "marks the genes by itself: leave gene_symbols out");
        }
        Ok(())
    }

    /// The mitochondrial genes.
    ///
    /// # Errors
    /// Those of [`MitochondrialGenes::by_column`] and [`MitochondrialGenes::by_prefix`].
    pub(super) fn mitochondrial_genes(&self, var: &Annotations) -> Result<MitochondrialGenes> {
        match &self.mitochondrial_column {
            Some(column) => MitochondrialGenes::by_column(var, column),
            None => MitochondrialGenes::by_prefix(var, &self.mitochondrial_prefixes, self.gene_symbols.as_deref()),
        }
    }

    /// The limits of the quality filters.
    pub(super) fn limits(&self) -> Limits {
        Limits {
            min_genes: self.min_genes,
            max_genes: self.max_genes,
            min_counts: self.min_counts,
            max_counts: self.max_counts,
            max_percent_mitochondrial: self.max_percent_mitochondrial,
            max_deviations: self.max_deviations,
            max_deviations_mitochondrial: self.max_deviations_mitochondrial,
            min_cells: self.min_cells,
        }
    }
}

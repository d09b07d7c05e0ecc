//! What `preprocess` is told.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::names::Names;
use crate::cells::Annotations;
use crate::conditions::Perturbation;
use crate::error::refuse;
use crate::preprocess::labels::{LabelColumns, Schema, SchemaColumns};
use crate::preprocess::mitochondrial::MitochondrialGenes;
use crate::preprocess::normalize::TargetSum;
use crate::preprocess::quality::Limits;
use crate::preprocess::variable_genes::Flavor;
use crate::{Error, Result};

/// The columns of `obs` that a prepared screen owns.
const OWN_COLUMNS: [&str; 8] = [
    "perturbation",
    "is_control",
    "n_perts",
    "split",
    "library_size",
    "total_counts",
    "n_genes_by_counts",
    "pct_counts_mt",
];

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
        let labels = self.labels();
        let (n_slots, n_doses) = (labels.perturbation.len(), labels.dose.len());
        if n_doses > 0 && n_doses != n_slots {
            let reason =
                format!("there are {n_slots} columns of perturbations: give as many of doses, in the same order");
            return refuse("dose_column", labels.dose.join(", "), &reason);
        }
        if labels.dose_unit.is_some() && n_doses == 0 {
            return refuse(
                "dose_unit",
                self.dose_unit.as_deref().unwrap_or(""),
                "there is no dose_column whose unit it could be",
            );
        }
        if labels.time_unit.is_some() && labels.time.is_none() {
            return refuse(
                "time_unit",
                self.time_unit.as_deref().unwrap_or(""),
                "there is no time_column whose unit it could be",
            );
        }
        let own = labels.perturbation.iter().chain(&labels.dose).chain(&labels.time).collect::<Vec<_>>();
        if let Some(twice) = (0..own.len()).find(|&place| own[..place].contains(&own[place])) {
            return refuse("perturbation_column", own[twice], "the column is named twice");
        }
        for (position, covariate) in labels.covariates.iter().enumerate() {
            if labels.covariates[..position].contains(covariate) {
                return refuse("covariate", covariate, "the covariate is named twice");
            }
            if labels.dose.contains(covariate) {
                return refuse("covariate", covariate, "this is a column of doses, which are part of the perturbation");
            }
            if labels.perturbation.contains(covariate) {
                return refuse("covariate", covariate, "this is the perturbation column");
            }
            if OWN_COLUMNS.contains(&covariate.as_str()) {
                return refuse("covariate", covariate, "preprocess writes a column of this name; rename yours first");
            }
        }
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

    /// What stands in the columns of conditions: what is given, then the schema, then what is usual. A name that is given as
    /// nothing means that there is no such column.
    pub fn labels(&self) -> LabelColumns {
        let schema = self.schema.map(Schema::columns);
        let names = |given: &[String], of: &dyn Fn(&SchemaColumns) -> &'static [&'static str]| -> Vec<String> {
            match given {
                [] => schema
                    .as_ref()
                    .map_or(Vec::new(), |schema| of(schema).iter().map(|&name| name.to_owned()).collect()),
                given => given.iter().filter(|name| !name.is_empty()).cloned().collect(),
            }
        };
        let text = |given: &Option<String>, of: &dyn Fn(&SchemaColumns) -> Option<&'static str>| -> Option<String> {
            match given {
                Some(given) => Some(given.clone()).filter(|given| !given.is_empty()),
                None => schema.as_ref().and_then(of).map(str::to_owned),
            }
        };
        let mut perturbation = names(&self.perturbation_column.0, &|schema| schema.perturbation);
        if perturbation.is_empty() {
            perturbation.push("perturbation".into());
        }
        let control = match self.control.is_empty() {
            true => schema.as_ref().map_or(Perturbation::CONTROL, |schema| schema.control).to_owned(),
            false => self.control.clone(),
        };
        let dose = names(&self.dose_column.0, &|schema| schema.dose);
        LabelColumns {
            perturbation,
            control,
            control_column: text(&self.control_column, &|schema| schema.control_column),
            separator: match (&self.separator, &schema) {
                (Some(separator), _) => separator.clone(),
                (None, Some(schema)) => schema.separator.to_owned(),
                (None, None) => "+".into(),
            },
            // A schema's unit is that of its doses.
            dose_unit: text(&self.dose_unit, &|schema| schema.dose_unit.filter(|_| !dose.is_empty())),
            dose,
            time: self.time_column.clone().filter(|name| !name.is_empty()),
            time_unit: self.time_unit.clone().filter(|name| !name.is_empty()),
            covariates: names(&self.covariates, &|schema| schema.covariates),
        }
    }

    /// Fails if the schema names a column that the screen does not have.
    ///
    /// # Errors
    /// [`Error::MissingColumn`] with the columns that exist, and the flag that names another.
    pub(super) fn check_columns(&self, obs: &Annotations) -> Result<()> {
        let Some(schema) = self.schema else { return Ok(()) };
        let labels = self.labels();
        let wanted = [
            ("--perturbation-column", &labels.perturbation, self.perturbation_column.0.is_empty()),
            ("--control-column", &labels.control_column.into_iter().collect(), self.control_column.is_none()),
            ("--dose-column", &labels.dose, self.dose_column.0.is_empty()),
            ("--covariate", &labels.covariates, self.covariates.is_empty()),
        ];
        for (flag, columns, is_of_schema) in wanted {
            if let Some(missing) = columns.iter().find(|column| is_of_schema && obs.get(column).is_none()) {
                let none = match flag {
                    "--perturbation-column" => String::new(),
                    flag => format!(", or say {flag} \"\" if there is none"),
                };
                return Err(Error::MissingColumn {
                    table: format!("obs, where --schema {} has it; name another with {flag}{none}", schema.name()),
                    column: missing.clone(),
                    available: obs.names(),
                });
            }
        }
        Ok(())
    }

    /// Fails if a covariate has the name of a column that is written beside `perturbation`.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`].
    pub(super) fn check_written<'a>(&self, mut written: impl Iterator<Item = &'a String>) -> Result<()> {
        let covariates = self.labels().covariates;
        match written.find(|name| covariates.contains(name)) {
            Some(name) => refuse("covariate", name, "preprocess writes a column of this name; rename yours first"),
            None => Ok(()),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(section: &str) -> LabelColumns {
        toml::from_str::<PreprocessParams>(section).unwrap().labels()
    }

    #[test]
    fn a_file_of_settings_names_columns_as_flags_do() {
        assert_eq!(labels(""), LabelColumns::plain("perturbation", "control", &[]));
        let cpa = labels("schema = \"cpa\"\ncontrol = \"DMSO\"\ndose_unit = \"uM\"");
        assert_eq!(
            (cpa.perturbation, cpa.control, cpa.dose),
            (vec!["condition".into()], "DMSO".into(), vec!["dose_val".into()])
        );
        assert_eq!((cpa.dose_unit.as_deref(), cpa.covariates), (Some("uM"), vec!["cell_type".to_owned()]));
        let slots = labels("perturbation_column = [\"a\", \"b\"]\ndose_column = [\"c\", \"d\"]\nseparator = \"_\"");
        assert_eq!(
            (slots.perturbation, slots.dose, slots.separator),
            (vec!["a".into(), "b".into()], vec!["c".into(), "d".into()], "_".into())
        );
        let none = labels("schema = \"scperturb\"\ndose_column = [\"\"]\ncovariates = [\"\"]");
        assert!(none.dose.is_empty() && none.dose_unit.is_none() && none.covariates.is_empty());
        assert!(toml::from_str::<PreprocessParams>("schema = \"geers\"").is_err());
    }
}

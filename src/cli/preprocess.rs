//! The flags of `scflow preprocess`.

use std::path::PathBuf;

use crate::preprocess::normalize::TargetSum;
use crate::preprocess::variable_genes::Flavor;
use crate::stages::preprocess::{PreprocessParams, preprocess};
use crate::stages::split::describe;

/// The flags of `scflow preprocess`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The raw screen: counts in X or in a layer.
    #[arg(value_name = "IN.h5ad")]
    input: PathBuf,
    /// The prepared screen.
    #[arg(long, short, value_name = "OUT.h5ad")]
    output: PathBuf,
    #[command(flatten)]
    choices: Choices,
    /// Condition to hold out, such as "A + B" or "A | cell_type=T cell"; may be repeated.
    #[arg(long, value_name = "CONDITION")]
    holdout: Vec<String>,
    /// Table with the columns obs_name,split or perturbation[,COVARIATE…],split and the values train, val, test.
    #[arg(long, value_name = "FILE.csv")]
    split: Option<PathBuf>,
    /// Hold out nothing.
    #[arg(long)]
    no_holdout: bool,
    /// Seed of clusters and map; nothing else is drawn.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// How a screen is prepared, whatever is held out.
#[derive(Debug, clap::Args)]
pub(super) struct Choices {
    /// Column of obs that names what was done to each cell; combinations are written A+B.
    #[arg(long, value_name = "COLUMN")]
    perturbation_column: String,
    /// What the control is called in that column.
    #[arg(long, value_name = "NAME")]
    control: String,
    /// Column of obs that is part of the condition, such as cell_type; may be repeated.
    #[arg(long = "covariate", value_name = "COLUMN")]
    covariates: Vec<String>,
    /// Column of obs with the total counts of each cell; without it, the sums over the file's genes.
    #[arg(long, value_name = "COLUMN")]
    size_factors: Option<String>,
    /// Layer that holds the counts; without it, X does.
    #[arg(long, value_name = "NAME")]
    counts_layer: Option<String>,
    /// Accept counts that are no whole numbers, such as those corrected for ambient RNA.
    #[arg(long)]
    accept_fractional_counts: bool,
    /// Remove cells with counts in fewer genes.
    #[arg(long, value_name = "N", default_value_t = 1)]
    min_genes: usize,
    /// Remove cells with counts in more genes.
    #[arg(long, value_name = "N")]
    max_genes: Option<usize>,
    /// Remove cells with fewer counts.
    #[arg(long, value_name = "N")]
    min_counts: Option<f64>,
    /// Remove cells with more counts.
    #[arg(long, value_name = "N")]
    max_counts: Option<f64>,
    /// Remove genes with counts in fewer training cells.
    #[arg(long, value_name = "N", default_value_t = 3)]
    min_cells: usize,
    /// Remove cells with a larger percentage of mitochondrial counts.
    #[arg(long, value_name = "PERCENT")]
    max_percent_mitochondrial: Option<f64>,
    /// Remove cells whose log counts or log genes lie more than N median absolute deviations from the median of the training
    /// cells (5 is common).
    #[arg(long, value_name = "N")]
    max_deviations: Option<f64>,
    /// Remove cells whose mitochondrial percentage lies more than N median absolute deviations above the median of the
    /// training cells (3 is common).
    #[arg(long, value_name = "N")]
    max_deviations_mitochondrial: Option<f64>,
    /// How the names of mitochondrial genes start; may be repeated.
    #[arg(long = "mitochondrial-prefix", value_name = "TEXT", default_value = "MT-")]
    mitochondrial_prefixes: Vec<String>,
    /// Column of var that marks mitochondrial genes, instead of a prefix.
    #[arg(long, value_name = "COLUMN", conflicts_with = "mitochondrial_prefixes")]
    mitochondrial_column: Option<String>,
    /// Column of var with gene symbols, where names are identifiers: the prefix is looked for there.
    #[arg(long, value_name = "COLUMN")]
    gene_symbols: Option<String>,
    /// Scale every cell to this many counts before log1p, or to the `median` of the training cells.
    #[arg(long, value_name = "N", default_value = "10000")]
    target_sum: TargetSum,
    /// How highly variable genes are found, as scanpy does under these names.
    #[arg(long, value_enum, default_value_t = FlavorName::Seurat)]
    flavor: FlavorName,
    /// How many highly variable genes the components are fitted to.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    n_top_genes: usize,
    /// Column of obs that names batches: highly variable genes are found in each by itself.
    #[arg(long, value_name = "COLUMN")]
    batch_key: Option<String>,
    /// How many principal components are fitted.
    #[arg(long, value_name = "N", default_value_t = 50)]
    n_components: usize,
    /// Write the neighbours of all cells: obsp["distances"] and obsp["connectivities"], as scanpy does.
    #[arg(long)]
    neighbors: bool,
    /// Write Leiden clusters into obs["leiden"], and the neighbours.
    #[arg(long)]
    leiden: bool,
    /// Write a UMAP into obsm["X_umap"], and the neighbours.
    #[arg(long)]
    umap: bool,
    /// Neighbours of each cell, counting the cell itself.
    #[arg(long, value_name = "N", default_value_t = 15)]
    n_neighbors: usize,
    /// Resolution of the Leiden clusters.
    #[arg(long, value_name = "R", default_value_t = 1.0)]
    resolution: f64,
}

/// The names of the flavours.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum FlavorName {
    /// Dispersion of normalised counts.
    Seurat,
    /// Dispersion of logarithms, by medians.
    #[value(name = "cell_ranger")]
    CellRanger,
    /// Variance of counts about a fitted curve.
    #[value(name = "seurat_v3")]
    SeuratV3,
}

impl From<FlavorName> for Flavor {
    fn from(name: FlavorName) -> Self {
        match name {
            FlavorName::Seurat => Self::Seurat,
            FlavorName::CellRanger => Self::CellRanger,
            FlavorName::SeuratV3 => Self::SeuratV3,
        }
    }
}

impl Choices {
    /// The parameters of the stage, which hold nothing out yet.
    pub(super) fn params(self, input: PathBuf, output: PathBuf, force: bool) -> PreprocessParams {
        PreprocessParams {
            input,
            output,
            perturbation_column: self.perturbation_column,
            control: self.control,
            covariates: self.covariates,
            size_factors: self.size_factors,
            counts_layer: self.counts_layer,
            accept_fractional_counts: self.accept_fractional_counts,
            min_genes: self.min_genes,
            max_genes: self.max_genes,
            min_counts: self.min_counts,
            max_counts: self.max_counts,
            min_cells: self.min_cells,
            max_percent_mitochondrial: self.max_percent_mitochondrial,
            max_deviations: self.max_deviations,
            max_deviations_mitochondrial: self.max_deviations_mitochondrial,
            mitochondrial_prefixes: self.mitochondrial_prefixes,
            mitochondrial_column: self.mitochondrial_column,
            gene_symbols: self.gene_symbols,
            target_sum: self.target_sum,
            flavor: self.flavor.into(),
            n_top_genes: self.n_top_genes,
            batch_key: self.batch_key,
            n_components: self.n_components,
            neighbors: self.neighbors,
            leiden: self.leiden,
            umap: self.umap,
            n_neighbors: self.n_neighbors,
            resolution: self.resolution,
            force,
            ..PreprocessParams::default()
        }
    }
}

impl Arguments {
    /// Runs the stage.
    pub fn run(self, shared: &super::shared::Shared) -> anyhow::Result<()> {
        let params = self.choices.params(self.input, self.output, shared.force);
        let params = PreprocessParams {
            holdout: self.holdout,
            split: self.split,
            no_holdout: self.no_holdout,
            seed: self.seed,
            ..params
        };
        let summary = preprocess(&params, &|message| shared.say(message))?;
        shared.say(format!(
            "{} cells ({} for training) x {} genes; {} components hold {:.1} % of the variance of {} variable genes",
            summary.n_cells,
            summary.n_training_cells,
            summary.n_genes,
            params.n_components,
            100.0 * summary.variance_ratio,
            summary.n_variable_genes,
        ));
        if !summary.strata.is_empty() {
            shared.say(format!("held out: {}", describe(&summary.strata)));
        }
        let seconds: Vec<String> = summary.seconds.iter().map(|(step, took)| format!("{step} {took:.2}")).collect();
        shared.say(format!("seconds: {}", seconds.join(", ")));
        shared.say(format!("wrote {}", params.output.display()));
        Ok(())
    }
}

//! Makes a prepared screen from a raw one: checks, split, quality filters, normalisation, variable genes, components; on
//! request neighbours, clusters and a map.

mod params;
mod kept;
mod slots;
mod graph;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use params::PreprocessParams;

use crate::cells::Cells;
use crate::embedding::pca::CrossFitted;
use crate::io::{atomic, digest, h5ad, split_table};
use crate::prepared;
use crate::preprocess::gene_moments::GeneMoments;
use crate::preprocess::quality::{self, Quality};
use crate::preprocess::split::{self, Split};
use crate::preprocess::split_table::{SplitTable, by_table};
use crate::preprocess::variable_genes::{BatchMoments, Batches, Search};
use crate::preprocess::{counts, labels, normalize};
use crate::{Error, Result};
use kept::Kept;

/// What came out.
#[derive(Debug, Clone, PartialEq)]
pub struct PreprocessSummary {
    /// Cells in the output.
    pub n_cells: usize,
    /// Genes in the output.
    pub n_genes: usize,
    /// Cells to which everything was fitted.
    pub n_training_cells: usize,
    /// Genes to which the components were fitted.
    pub n_variable_genes: usize,
    /// The share of the variable genes' variance that the components hold.
    pub variance_ratio: f64,
    /// The conditions without a training cell, and their numbers of cells.
    pub held_out: Vec<(String, usize)>,
    /// What the quality filters removed: reason → number.
    pub removed: BTreeMap<String, usize>,
}

/// Writes the prepared screen; `say` tells what was held out, removed and renamed.
///
/// # Errors
/// Those of reading and writing, of [`PreprocessParams::check`] and of [`prepare`].
pub fn preprocess(params: &PreprocessParams, say: &dyn Fn(&str)) -> Result<PreprocessSummary> {
    params.check()?;
    let same = |path: &PathBuf| path.canonicalize().ok();
    if same(&params.output).is_some() && same(&params.output) == same(&params.input) {
        return Err(Error::InvalidParameter {
            name: "output".into(),
            value: params.output.display().to_string(),
            reason: "the output is the input itself".into(),
        });
    }
    atomic::check(&params.output, params.force)?;
    let table = params.split.as_deref().map(split_table::read).transpose()?;
    let (raw, notes) = h5ad::read_noting(&params.input)?;
    for note in &notes {
        say(&format!("{}: {note}", params.input.display()));
    }
    let (cells, summary) = prepare(raw, table.as_ref(), &digest::sha256(&params.input)?, params, say)?;
    atomic::file(&params.output, |beside| h5ad::write(beside, &cells))?;
    Ok(summary)
}

/// Prepares a screen in memory; `sha256` is the checksum of its file.
///
/// # Errors
/// Those of [`crate::preprocess`], of [`CrossFitted::fit`] and of the graph, each naming what to change.
pub fn prepare(
    raw: Cells,
    table: Option<&SplitTable>,
    sha256: &str,
    params: &PreprocessParams,
    say: &dyn Fn(&str),
) -> Result<(Cells, PreprocessSummary)> {
    labels::check_unique(&raw.obs.index, "obs_names", "give every cell a name of its own, such as sample and barcode")?;
    labels::check_unique(&raw.var.index, "var_names", "add up the counts of genes of one name, or name them apart")?;
    let (counts, note) = counts::find(&raw, params.counts_layer.as_deref(), params.accept_fractional_counts)?;
    note.iter().for_each(|note| say(note));
    let mitochondrial = params.mitochondrial_genes(&raw.var)?;
    if mitochondrial.are_identifiers {
        say(&format!("pct_counts_mt is 0: {}", mitochondrial.absence));
    }
    let conditions = labels::conditions(&raw, &params.perturbation_column, &params.control, &params.covariates)?;
    let splits = match table {
        Some(table) => by_table(table, &raw.obs.index, &conditions, &params.control)?,
        None => split::by_patterns(&conditions, &params.holdout, &params.control)?,
    };
    if !params.no_holdout && splits.iter().all(|&split| split == Split::Train) {
        return Err(Error::TooFew {
            what: "cells that the split holds out".into(),
            needed: 1,
            got: 0,
            hint: "mark some as `test`, or say --no-holdout".into(),
        });
    }
    let mut measured = Quality::new();
    measured.measure(counts, &mitochondrial.is);
    let is_training: Vec<bool> = splits.iter().map(|&split| split == Split::Train).collect();
    let (rows, mut removed) = measured.passing_cells(&params.limits(), &is_training, &mitochondrial)?;
    let kept = Kept::new(&conditions, &splits, &rows, say)?;
    let mut expression = GeneMoments::new(raw.n_genes());
    let training: Vec<usize> = kept.training.iter().map(|&row| rows[row]).collect();
    expression.add(counts, &training, |_, count| f64::from(count));
    let (columns, removed_genes) = quality::passing_genes(&expression.n_expressing(), &params.limits())?;
    removed.extend(removed_genes);
    for (reason, n) in &removed {
        say(&format!("removed {n} {reason}"));
    }
    let measured = measured.select(&rows);
    let mut cells = slots::with_counts(raw, &rows, &columns, params, say);
    let library_sizes = match &params.size_factors {
        Some(column) => normalize::library_sizes_from(&cells, column, &measured.total_counts)?,
        None => measured.total_counts.clone(),
    };
    let target_sum = params.target_sum.resolve(kept.training.iter().map(|&row| library_sizes[row]))?;
    cells.x = normalize::log_normalize(&cells.layers["counts"], &library_sizes, target_sum);
    let is_training: Vec<bool> = kept.splits.iter().map(|&split| split == Split::Train).collect();
    let batches = match &params.batch_key {
        None => Batches::one(&is_training),
        Some(column) => {
            let (codes, names) = cells.obs.coded("obs", column)?;
            Batches::new(&codes, &names, &is_training)?
        }
    };
    let factors: Vec<f64> = library_sizes.iter().map(|size| target_sum / size).collect();
    let mut moments = BatchMoments::new(params.flavor, batches, cells.n_genes());
    moments.add(&cells.layers["counts"], 0, &factors);
    let genes = match moments.search(params.n_top_genes)? {
        Search::Found(genes) => genes,
        Search::Again(mut sums) => {
            sums.add(&cells.layers["counts"], 0);
            sums.finish()
        }
    };
    let chosen = genes.columns();
    if chosen.len() < params.n_top_genes {
        say(&format!(
            "all {} genes that vary are used as variable genes, fewer than {}",
            chosen.len(),
            params.n_top_genes
        ));
    }
    let mut sums = CrossFitted::sums(cells.x.column_means(&kept.training), &chosen)?;
    sums.add(&cells.x, &kept.training);
    let fitted = CrossFitted::fit(sums, params.n_components)?;
    let cross_fitted = fitted.coordinates(&cells.x, &kept.training, 0);
    let pca = fitted.pca;
    let summary = PreprocessSummary {
        n_cells: cells.n_cells(),
        n_genes: cells.n_genes(),
        n_training_cells: kept.training.len(),
        n_variable_genes: chosen.len(),
        variance_ratio: pca.variance_ratio.iter().sum(),
        held_out: kept.held_out.iter().map(|(condition, &n)| (condition.to_string(), n)).collect(),
        removed,
    };
    slots::annotate_cells(&mut cells, &kept, measured, library_sizes, params, say);
    slots::annotate_genes(&mut cells, genes, params.flavor, say);
    prepared::annotate_pca(&mut cells, pca, &kept.training, &cross_fitted)?;
    graph::annotate(&mut cells, params, say)?;
    slots::annotate_settings(&mut cells, &summary, target_sum, sha256, params)?;
    Ok((cells, summary))
}

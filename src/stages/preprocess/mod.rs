//! Makes a prepared screen from a raw one: checks, split, quality filters, normalisation, variable genes, components; on
//! request neighbours, clusters and a map.

mod names;
mod params;
mod columns;
mod kept;
mod laps;
mod slots;
mod graph;
mod passes;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

pub use names::Names;
pub use params::PreprocessParams;

use crate::cells::Cells;
use crate::embedding::pca::Pca;
use crate::io::h5ad::Partial;
use crate::io::{atomic, digest, h5ad, split_table};
use crate::prepared;
use crate::preprocess::split::{self, Split};
use crate::preprocess::split_table::{SplitTable, by_table};
use crate::preprocess::variable_genes::Batches;
use crate::preprocess::{labels, normalize, quality};
use crate::stages::split::Strata;
use crate::{Error, Result};
use kept::Kept;
use laps::Laps;
use passes::{KeptCells, Passes};
use slots::Own;

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
    /// The same by stratum.
    pub strata: Strata,
    /// What the quality filters removed: reason → number.
    pub removed: BTreeMap<String, usize>,
    /// What each step took, in seconds, in their order.
    pub seconds: Vec<(&'static str, f64)>,
}

/// Writes the prepared screen; `say` tells what was held out, removed and renamed.
///
/// The counts are read in blocks of rows, once for each of measuring, finding variable genes, fitting components and
/// writing, so that the memory does not grow with the number of cells but for their annotations and coordinates; the first
/// 128 MiB of packed counts stay in memory.
///
/// # Errors
/// Those of reading and writing, of [`PreprocessParams::check`], of [`crate::preprocess`], of [`Pca::fit`] and of
/// the graph, each naming what to change.
pub fn preprocess(params: &PreprocessParams, say: &dyn Fn(&str)) -> Result<PreprocessSummary> {
    preprocess_in_blocks(params, h5ad::BLOCK, say)
}

/// [`preprocess`] with blocks of about `n_values` counts: fewer take less memory and more time.
///
/// # Errors
/// Those of [`preprocess`].
pub fn preprocess_in_blocks(
    params: &PreprocessParams,
    n_values: usize,
    say: &dyn Fn(&str),
) -> Result<PreprocessSummary> {
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
    // Reading the file once more for its checksum takes as long as all else that one thread does; a mistake does not wait
    // for it.
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sha256 = scope.spawn(|| digest::sha256_unless(&params.input, &stop));
        let prepared = prepare(params, table.as_ref(), n_values, say, || match sha256.join() {
            Ok(digest) => Ok(digest?.unwrap_or_default()),
            Err(panic) => std::panic::resume_unwind(panic),
        });
        stop.store(true, Ordering::Relaxed);
        prepared
    })
}

fn prepare(
    params: &PreprocessParams,
    table: Option<&SplitTable>,
    n_values: usize,
    say: &dyn Fn(&str),
    sha256: impl FnOnce() -> Result<String>,
) -> Result<PreprocessSummary> {
    let (file, outline) = Partial::open(&params.input, &[])?;
    let screen = Screen { file: &file, outline, n_values };
    let summary = screen.prepare(table, params, say, sha256)?;
    // What was not understood at first may have been carried over in the end.
    file.notes().iter().for_each(|note| say(&format!("{}: {note}", params.input.display())));
    Ok(summary)
}

/// A raw screen on disk.
struct Screen<'a> {
    file: &'a Partial,
    /// Everything but the matrices.
    outline: Cells,
    n_values: usize,
}

impl Screen<'_> {
    fn prepare(
        self,
        table: Option<&SplitTable>,
        params: &PreprocessParams,
        say: &dyn Fn(&str),
        sha256: impl FnOnce() -> Result<String>,
    ) -> Result<PreprocessSummary> {
        let Self { file, outline, n_values } = self;
        let mut laps = Laps::begin();
        let distinct = |names, of, hint| labels::check_unique(names, of, hint);
        distinct(&outline.obs.index, "obs_names", "give every cell a name of its own, such as sample and barcode")?;
        distinct(&outline.var.index, "var_names", "add up the counts of genes of one name, or name them apart")?;
        let matrix = file.matrix(params.counts_layer.as_deref())?.remembering(passes::REMEMBERED);
        let mitochondrial = params.mitochondrial_genes(&outline.var)?;
        params.check_columns(&outline.obs)?;
        let columns = params.labels();
        let conditions = labels::conditions(&outline, &columns)?;
        let amounts = prepared::amounts(&conditions, columns.perturbation.len() > 1);
        params.check_written(amounts.iter().map(|(name, _)| name))?;
        labels::units(&outline.obs, &columns).iter().for_each(|remark| say(remark));
        let splits = match table {
            Some(table) => by_table(table, &outline.obs.index, &conditions, &columns.control)?,
            None => split::by_patterns(&conditions, &params.holdout, &columns.control)?,
        };
        if !params.no_holdout && splits.iter().all(|&split| split == Split::Train) {
            return Err(Error::TooFew {
                what: "cells that the split holds out".into(),
                needed: 1,
                got: 0,
                hint: "mark some as `test`, or say --no-holdout".into(),
            });
        }
        let passes = Passes { file, matrix: &matrix, n_values };
        let measured = passes.measure(&outline, &mitochondrial.is, params, say)?;
        laps.end("quality");
        if mitochondrial.are_identifiers {
            say(&format!("pct_counts_mt is 0: {}", mitochondrial.absence));
        }
        let is_training: Vec<bool> = splits.iter().map(|&split| split == Split::Train).collect();
        let (rows, mut removed) = measured.passing_cells(&params.limits(), &is_training, &mitochondrial)?;
        let kept = Kept::new(&conditions, &splits, &rows, say)?;
        drop((conditions, splits, amounts));
        let is_training: Vec<bool> = kept.splits.iter().map(|&split| split == Split::Train).collect();
        let measured = measured.select(&rows);
        let Cells { obs, var, .. } = outline;
        let obs = if rows.len() == obs.index.len() { obs } else { obs.select(&rows) };
        let library_sizes = match &params.size_factors {
            Some(column) => normalize::library_sizes_from(&obs, column, &measured.total_counts)?,
            None => measured.total_counts.clone(),
        };
        let target_sum = params.target_sum.resolve(kept.training.iter().map(|&row| library_sizes[row]))?;
        let factors: Vec<f64> = library_sizes.iter().map(|size| target_sum / size).collect();
        let batches = match &params.batch_key {
            None => Batches::one(&is_training),
            Some(column) => {
                let (codes, names) = obs.coded("obs", column)?;
                Batches::new(&codes, &names, &is_training)?
            }
        };
        let cells = KeptCells { rows: &rows, training: &kept.training, factors: &factors };
        let moments = passes.moments(&cells, params.flavor, batches, var.index.len())?;
        let (columns, removed_genes) = quality::passing_genes(&moments.n_expressing(), &params.limits())?;
        removed.extend(removed_genes);
        removed.iter().for_each(|(reason, n)| say(&format!("removed {n} {reason}")));
        let genes = passes.variable_genes(&cells, &columns, &moments, params.n_top_genes)?;
        laps.end("variable genes");
        let chosen = genes.columns();
        if chosen.len() < params.n_top_genes {
            let n = chosen.len();
            say(&format!("all {n} genes that vary are used as variable genes, fewer than {}", params.n_top_genes));
        }
        let means = moments.logarithms.select(&columns).means();
        let fitted = passes.components(&cells, &columns, means, &chosen, params.n_components)?;
        if fitted.error > Pca::TOLERANCE {
            say(&format!(
                "the last components are near: the variance of one may be off by {:.1e} of it",
                fitted.error.powi(2)
            ));
        }
        laps.end("components");
        let mut summary = PreprocessSummary {
            n_cells: rows.len(),
            n_genes: columns.len(),
            n_training_cells: kept.training.len(),
            n_variable_genes: chosen.len(),
            variance_ratio: fitted.pca.variance_ratio.iter().sum(),
            held_out: kept.held_out.iter().map(|(condition, &n)| (condition.to_string(), n)).collect(),
            strata: kept.strata.clone(),
            removed,
            seconds: Vec::new(),
        };
        let original = slots::other_counts(file, &matrix, params, say)?;
        // What else the file holds, `uns` included, comes along as it lies there.
        let mut out = Cells { obs, var: var.select(&columns), ..Cells::default() };
        let mut own = Own::of(&out);
        let former = params.counts_layer.as_ref().map(|name| format!("layers/{name}"));
        let except: Vec<&str> = former.iter().map(String::as_str).collect();
        let selection = h5ad::Kept { rows: &rows, columns: &columns, except: &except };
        atomic::file(&params.output, |beside| {
            h5ad::write_derived(beside, file, &selection, |derived| {
                let coordinates = passes.write(&cells, &columns, &fitted, derived, original.as_ref())?;
                laps.end("writing matrices");
                slots::annotate_cells(&mut out, &mut own, &kept, measured, library_sizes, params, say);
                slots::annotate_genes(&mut out, &mut own, genes, params.flavor, say);
                prepared::annotate_pca(&mut out, fitted.pca, coordinates);
                graph::annotate(&mut out, &mut own, params, &mut laps, say)?;
                slots::annotate_settings(&mut out, &summary, target_sum, &sha256()?, params)?;
                own.leave_to_the_file(&mut out);
                Ok(out)
            })
        })?;
        laps.end("writing the rest");
        summary.seconds = laps.seconds();
        Ok(summary)
    }
}

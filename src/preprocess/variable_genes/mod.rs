//! Highly variable genes by the three flavours of scanpy, with its names, its defaults and its choice of genes.
//!
//! First [`BatchMoments`] takes the counts in blocks. For `seurat` and `cell_ranger` that is all; `seurat_v3` fits a curve to
//! the moments and asks for the counts once more ([`BatchMoments::search`]).

mod batches;
mod cell_ranger;
mod clipped;
mod dispersion;
mod loess;
mod seurat;

pub use batches::{BatchMoments, Batches};
pub use clipped::ClippedSums;
pub use loess::loess;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::cells::Column;

/// How genes are compared; scanpy's `flavor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flavor {
    /// Dispersion of normalised counts, against genes of similar mean in bins of equal width (Satija et al. 2015,
    /// doi:10.1038/nbt.3192).
    #[default]
    Seurat,
    /// Dispersion of the logarithms, against genes of similar mean in bins of equal size, by median and median absolute
    /// deviation (Zheng et al. 2017, doi:10.1038/ncomms14049).
    CellRanger,
    /// Variance of counts that are standardised by a curve of variances over means, and clipped (Stuart et al. 2019,
    /// doi:10.1016/j.cell.2019.05.031).
    SeuratV3,
}

impl Flavor {
    /// scanpy's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seurat => "seurat",
            Self::CellRanger => "cell_ranger",
            Self::SeuratV3 => "seurat_v3",
        }
    }
}

/// What is known of each gene's variability.
#[derive(Debug, Clone, PartialEq)]
pub struct VariableGenes {
    /// Whether the gene is among the chosen: (n_genes).
    pub is_variable: Vec<bool>,
    /// What speaks for it, under scanpy's names and in its order: (n_genes) each.
    ///
    /// By dispersion: `means`, `dispersions`, `dispersions_norm`; with several batches these are averages over batches, and
    /// `highly_variable_nbatches`, `highly_variable_intersection` follow. By variance: `highly_variable_rank` (from 0; NaN if
    /// it is not among the first of any batch), `means`, `variances`, `variances_norm`, `highly_variable_nbatches`.
    pub statistics: Vec<(&'static str, Column)>,
}

impl VariableGenes {
    /// The positions of the chosen genes, rising.
    pub fn columns(&self) -> Vec<usize> {
        (0..self.is_variable.len()).filter(|&gene| self.is_variable[gene]).collect()
    }

    /// The numbers of this name, where this flavour has them.
    pub fn statistic(&self, name: &str) -> Option<&[f64]> {
        self.statistics.iter().find_map(|(known, column)| match column {
            Column::Float(values) if *known == name => Some(&values[..]),
            _ => None,
        })
    }
}

/// What follows from the moments.
#[derive(Debug, Clone)]
pub enum Search {
    /// The genes are found.
    Found(VariableGenes),
    /// The counts of the same cells and genes are needed once more.
    Again(ClippedSums),
}

impl BatchMoments {
    /// Chooses `n_top` genes, or tells what to measure next. If fewer vary at all, all that vary are chosen.
    ///
    /// By dispersion, ties at the limit are all in. With told batches, as many are chosen in each; then exactly `n_top`: first
    /// those that were chosen in most batches, among these those with the largest mean of normalised dispersions.
    ///
    /// # Errors
    /// Those of [`loess`], for `seurat_v3`.
    pub fn search(&self, n_top: usize) -> Result<Search> {
        Ok(match self.flavor {
            Flavor::Seurat => Search::Found(dispersion::choose(self, n_top, seurat::dispersions)),
            Flavor::CellRanger => Search::Found(dispersion::choose(self, n_top, cell_ranger::dispersions)),
            Flavor::SeuratV3 => Search::Again(ClippedSums::fit(self, n_top)?),
        })
    }
}

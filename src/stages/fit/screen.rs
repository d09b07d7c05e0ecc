//! What a fit reads of a prepared screen: everything but the genes' expression and counts.

use std::collections::BTreeSet;

use ndarray::{Array2, Axis};

use super::FitParams;
use super::validation::Validation;
use crate::cells::{Annotations, SparseMatrix};
use crate::conditions::Condition;
use crate::embedding::pca::Pca;
use crate::io::h5ad::Partial;
use crate::models::gene_decoder::{GeneDecoder, GeneDecoderParams};
use crate::models::known::Known;
use crate::models::training_data::{TrainingCounts, TrainingData};
use crate::prepared::{COUNTS, EMBEDDING, Prepared, Settings};
use crate::{Error, Result};

/// The training cells of a prepared screen. The counts stay in the file; the few rows of them that the gene decoder needs
/// are read when it is fitted.
pub(super) struct Screen {
    file: Partial,
    /// The training cells' places in the file.
    rows: Vec<usize>,
    library_sizes: Vec<f64>,
    /// Cells that are not training cells.
    pub(super) n_held_out: usize,
    /// The principal components of training cells: (n_cells, n_components).
    pub(super) embedding: Array2<f32>,
    /// The condition of each training cell.
    pub(super) conditions: Vec<Condition>,
    /// What judges the model as it learns.
    pub(super) validation: Option<Validation>,
    pub(super) settings: Settings,
    pub(super) known: Known,
    pub(super) pca: Pca,
    pub(super) genes: Vec<String>,
    /// Symbols of the genes, where they are chosen instead of their names.
    symbols: Option<Vec<String>>,
}

impl Screen {
    /// Reads a prepared screen.
    ///
    /// # Errors
    /// Those of reading and of [`Prepared::without_genes`]; [`Error::BadValues`] if cells of a held-out condition are
    /// marked as training cells.
    pub(super) fn read(params: &FitParams) -> Result<Self> {
        let (file, cells) = Partial::open(&params.input, &["X_pca", EMBEDDING])?;
        let mut prepared = Prepared::without_genes(cells)?;
        refuse_leaks(&prepared)?;
        let validation = Validation::take(params, &mut prepared)?;
        let kept: BTreeSet<Condition> = validation.iter().flat_map(Validation::conditions).cloned().collect();
        let rows = prepared.training_rows();
        let sizes = prepared.library_sizes()?;
        let embedding = prepared.cells.obsm.remove(EMBEDDING).unwrap_or_default();
        Ok(Self {
            file,
            library_sizes: rows.iter().map(|&row| sizes[row]).collect(),
            n_held_out: prepared.conditions.len() - rows.len(),
            embedding: keep_rows(embedding, &rows)?,
            conditions: rows.iter().map(|&row| prepared.conditions[row].clone()).collect(),
            known: Known::of(&prepared, &kept, params.seed)?,
            validation,
            pca: prepared.pca()?,
            symbols: params.gene_symbols.as_deref().map(|column| symbols(&prepared.cells.var, column)).transpose()?,
            genes: prepared.cells.var.index,
            settings: prepared.settings,
            rows,
        })
    }

    /// What a method is given.
    pub(super) fn training_data(&self) -> TrainingData<'_> {
        TrainingData {
            embedding: self.embedding.view(),
            conditions: &self.conditions,
            counts: self,
            genes: self.symbols.as_deref().unwrap_or(&self.genes),
            pca: &self.pca,
            target_sum: self.settings.target_sum,
        }
    }

    /// Fits the gene decoder, and returns it with the number of cells that it was fitted to.
    ///
    /// # Errors
    /// Those of reading and of [`GeneDecoder::fit`].
    pub(super) fn fit_gene_decoder(&self, params: &GeneDecoderParams) -> Result<(GeneDecoder, usize)> {
        let cells = params.cells(self.rows.len());
        let counts = TrainingCounts::rows(self, &cells)?;
        let sizes: Vec<f64> = cells.iter().map(|&cell| self.library_sizes[cell]).collect();
        let decoder = match cells.len() == self.rows.len() {
            true => GeneDecoder::fit(self.embedding.view(), &counts, &sizes, params)?,
            false => GeneDecoder::fit(self.embedding.select(Axis(0), &cells).view(), &counts, &sizes, params)?,
        };
        Ok((decoder, cells.len()))
    }
}

impl TrainingCounts for Screen {
    fn library_sizes(&self) -> &[f64] {
        &self.library_sizes
    }

    fn rows(&self, cells: &[usize]) -> Result<SparseMatrix> {
        let rows: Vec<usize> = cells.iter().map(|&cell| self.rows[cell]).collect();
        self.file.layer_rows(COUNTS, &rows)
    }
}

/// The symbols of genes from a column of `var`; a gene without one keeps its name.
fn symbols(var: &Annotations, column: &str) -> Result<Vec<String>> {
    let symbols = var.column("var", column)?.texts().into_iter().zip(&var.index);
    Ok(symbols.map(|(symbol, name)| symbol.filter(|text| !text.is_empty()).unwrap_or_else(|| name.clone())).collect())
}

/// Keeps some rows, in rising order, without a second array.
fn keep_rows(array: Array2<f32>, rows: &[usize]) -> Result<Array2<f32>> {
    let width = array.ncols();
    let mut values = array.into_raw_vec_and_offset().0;
    for (to, &from) in rows.iter().enumerate() {
        values.copy_within(from * width..(from + 1) * width, to * width);
    }
    values.truncate(rows.len() * width);
    Array2::from_shape_vec((rows.len(), width), values)
        .map_err(|source| Error::backend("keeping the training cells", source))
}

/// Fails if a cell of a condition that was held out when the screen was prepared is marked as a training cell.
fn refuse_leaks(prepared: &Prepared) -> Result<()> {
    let held_out = &prepared.settings.held_out;
    let training = prepared.rows_by_condition(true);
    let leaks = training.into_iter().filter(|(condition, _)| held_out.contains(&condition.to_string()));
    let mut leaks: Vec<usize> = leaks.flat_map(|(_, rows)| rows).collect();
    leaks.sort_unstable();
    if leaks.is_empty() {
        return Ok(());
    }
    Err(Error::BadValues {
        place: "obs[\"split\"]".into(),
        problem: "`train` although the cell's condition was held out".into(),
        n_bad: leaks.len(),
        n_total: prepared.conditions.len(),
        examples: leaks.iter().take(3).map(|&row| prepared.cells.obs.index[row].clone()).collect(),
        hint: "prepare the screen again: genes and components were chosen without these cells".into(),
    })
}

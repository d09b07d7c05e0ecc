//! The batches of the training cells, and the moments of each.

use super::Flavor;
use crate::cells::SparseMatrix;
use crate::preprocess::gene_moments::GeneMoments;
use crate::preprocess::normalize::log_scaled;
use crate::{Error, Result};

/// Which cells count, and in which batch: variable genes are found in each batch apart, then put together.
#[derive(Debug, Clone, PartialEq)]
pub struct Batches {
    names: Vec<String>,
    /// The batch of each cell; none for cells that were held out.
    of: Vec<Option<u32>>,
    is_told: bool,
}

impl Batches {
    /// All training cells together.
    pub fn one(is_training: &[bool]) -> Self {
        let of = is_training.iter().map(|&is| is.then_some(0)).collect();
        Self { names: vec!["all".into()], of, is_told: false }
    }

    /// The training cells by batch, in the order of `names`; batches without training cells are left out.
    ///
    /// **Shapes** `codes`, `is_training`: (n_cells); `codes` are positions in `names`
    ///
    /// # Errors
    /// [`Error::TooFew`] for a batch with a single training cell, in which nothing varies.
    pub fn new(codes: &[i32], names: &[String], is_training: &[bool]) -> Result<Self> {
        let mut n_cells = vec![0_usize; names.len()];
        let training = || codes.iter().zip(is_training).filter(|&(_, &is)| is).map(|(&code, _)| code as usize);
        training().for_each(|code| n_cells[code] += 1);
        if let Some(single) = n_cells.iter().position(|&n| n == 1) {
            return Err(Error::TooFew {
                what: format!("training cells of batch `{}`, in which variable genes are found", names[single]),
                needed: 2,
                got: 1,
                hint: "leave --batch-key out, or remove this batch first".into(),
            });
        }
        let used: Vec<usize> = (0..names.len()).filter(|&code| n_cells[code] > 0).collect();
        let mut new = vec![0; names.len()];
        used.iter().zip(0..).for_each(|(&code, position)| new[code] = position);
        Ok(Self {
            names: used.iter().map(|&code| names[code].clone()).collect(),
            of: codes.iter().zip(is_training).map(|(&code, &is)| is.then(|| new[code as usize])).collect(),
            is_told: true,
        })
    }

    /// The names of the batches.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether the user told batches; one that is told still gets scanpy's columns of batches.
    pub fn is_told(&self) -> bool {
        self.is_told
    }

    /// The rows of each batch in a block whose first row is the cell `first`.
    pub(super) fn rows(&self, block: &SparseMatrix, first: usize) -> Vec<Vec<usize>> {
        let mut rows = vec![Vec::new(); self.names.len()];
        for (row, batch) in self.of[first..first + block.n_rows()].iter().enumerate() {
            if let Some(batch) = batch {
                rows[*batch as usize].push(row);
            }
        }
        rows
    }
}

/// The moments of each gene in each batch, of the values that a flavour looks at: normalised counts for `seurat`, their
/// logarithms for `cell_ranger`, counts for `seurat_v3`.
#[derive(Debug, Clone)]
pub struct BatchMoments {
    pub(super) flavor: Flavor,
    pub(super) batches: Batches,
    pub(super) moments: Vec<GeneMoments>,
}

impl BatchMoments {
    /// No cells yet.
    pub fn new(flavor: Flavor, batches: Batches, n_genes: usize) -> Self {
        let moments = vec![GeneMoments::new(n_genes); batches.names.len()];
        Self { flavor, batches, moments }
    }

    /// Adds the training cells of a block of counts whose first row is the cell `first`; `factors` turn the counts of each
    /// row into normalised ones (target sum / library size).
    ///
    /// **Shapes** `counts`: (n_rows, n_genes); `factors`: (n_rows)
    pub fn add(&mut self, counts: &SparseMatrix, first: usize, factors: &[f64]) {
        let logarithms = (self.flavor == Flavor::CellRanger).then(|| {
            let mut values = counts.clone();
            log_scaled(&mut values, factors);
            values
        });
        let values = logarithms.as_ref().unwrap_or(counts);
        for (moments, rows) in self.moments.iter_mut().zip(self.batches.rows(counts, first)) {
            match self.flavor {
                Flavor::Seurat => moments.add(values, &rows, |row, count| f64::from(count) * factors[row]),
                Flavor::CellRanger | Flavor::SeuratV3 => moments.add(values, &rows, |_, value| f64::from(value)),
            }
        }
    }

    /// The number of training cells that express each gene: (n_genes).
    pub fn n_expressing(&self) -> Vec<usize> {
        self.pooled().n_expressing()
    }

    /// Keeps the given genes, in the given order.
    pub fn select(&self, genes: &[usize]) -> Self {
        let moments = self.moments.iter().map(|moments| moments.select(genes)).collect();
        Self { moments, batches: self.batches.clone(), ..*self }
    }

    /// The moments over all batches.
    pub(super) fn pooled(&self) -> GeneMoments {
        let mut pooled = self.moments[0].clone();
        self.moments[1..].iter().for_each(|moments| pooled.join(moments));
        pooled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_training_cells_only() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let batches = Batches::new(&[2, 0, 2, 1, 0, 2], &names, &[true, true, true, false, true, false]).unwrap();
        assert_eq!(batches.names(), ["a", "c"]);
        let block = SparseMatrix::from_rows(1, vec![vec![(0, 1.0)]; 4]);
        assert_eq!(batches.rows(&block, 2), [vec![2], vec![0]]);
        let message = Batches::new(&[0, 1, 1], &names, &[true; 3]).unwrap_err().to_string();
        assert!(message.contains("batch `a`"), "{message}");
    }

    #[test]
    fn each_flavour_measures_its_own_values() {
        let counts = SparseMatrix::from_rows(1, [vec![(0, 1.0)], vec![], vec![(0, 8.0)]]);
        let mean = |flavor| {
            let mut moments = BatchMoments::new(flavor, Batches::one(&[true, true, false]), 1);
            moments.add(&counts, 0, &[3.0, 1.0, 1.0]);
            assert_eq!(moments.n_expressing(), [1]);
            moments.pooled().means()[0]
        };
        assert_eq!((mean(Flavor::Seurat), mean(Flavor::SeuratV3)), (1.5, 0.5));
        assert!((mean(Flavor::CellRanger) - 4_f64.ln() / 2.0).abs() < 1e-7);
    }
}

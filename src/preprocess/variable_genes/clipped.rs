//! Variances of standardised counts, as the flavour `seurat_v3` has them: the second pass over the counts.

use super::batches::{BatchMoments, Batches};
use super::{VariableGenes, loess};
use crate::cells::{Column, SparseMatrix};
use crate::preprocess::gene_moments::{GeneMoments, sum_genes};
use crate::preprocess::median::median;
use crate::{Error, Result};

/// The share of the genes in each neighbourhood of the curve; scanpy's `span`.
const SPAN: f64 = 0.3;
/// Variances that differ by less than this share are equal.
const ROUNDING: f64 = 1e-12;

/// Sums of counts that are clipped at mean + √n_cells · expected standard deviation, of each gene in each batch.
#[derive(Debug, Clone)]
pub struct ClippedSums {
    n_top: usize,
    batches: Batches,
    of: Vec<Batch>,
    /// Of all training cells.
    means: Vec<f64>,
    variances: Vec<f64>,
}

/// What is summed in one batch. **Shapes** (n_genes) each.
#[derive(Debug, Clone)]
struct Batch {
    n_cells: usize,
    means: Vec<f64>,
    /// The standard deviation that the curve gives to a gene of this mean.
    deviations: Vec<f64>,
    /// No count is taken for more than this.
    limits: Vec<f64>,
    /// The sum of counts and that of their squares.
    sums: Vec<(f64, f64)>,
}

impl Batch {
    /// Fits log₁₀ variance over log₁₀ mean; genes that do not vary get the deviation 1, as in scanpy.
    fn fit(counts: &GeneMoments) -> Result<Self> {
        let (means, variances) = (counts.means(), counts.variances());
        let varying: Vec<usize> = (0..means.len()).filter(|&gene| variances[gene] > 0.0).collect();
        let logarithms = |of: &[f64]| varying.iter().map(|&gene| of[gene].log10()).collect::<Vec<f64>>();
        let curve = loess(&logarithms(&means), &logarithms(&variances), SPAN)?;
        let mut deviations = vec![1.0; means.len()];
        varying.iter().zip(curve).for_each(|(&gene, fitted)| deviations[gene] = 10_f64.powf(fitted).sqrt());
        let most = (counts.n_cells() as f64).sqrt();
        let limits = means.iter().zip(&deviations).map(|(mean, deviation)| deviation * most + mean).collect();
        let sums = vec![(0.0, 0.0); means.len()];
        Ok(Self { n_cells: counts.n_cells(), means, deviations, limits, sums })
    }

    /// The variance of the clipped, standardised counts about the mean of the unclipped ones.
    fn variances_norm(&self) -> Vec<f64> {
        let n = self.n_cells as f64;
        (0..self.means.len())
            .map(|gene| {
                let (mean, (sum, squares)) = (self.means[gene], self.sums[gene]);
                (n * mean * mean + squares - 2.0 * sum * mean) / ((n - 1.0) * self.deviations[gene].powi(2))
            })
            .collect()
    }
}

/// Names the batch in which there is too little.
fn in_batch(error: Error, name: &str, batches: &Batches) -> Error {
    match error {
        Error::TooFew { what, needed, got, hint } if batches.is_told() => {
            Error::TooFew { what: format!("{what} (in batch `{name}`)"), needed, got, hint }
        }
        other => other,
    }
}

impl ClippedSums {
    /// Fits the curve of each batch to its moments of counts.
    pub(super) fn fit(moments: &BatchMoments, n_top: usize) -> Result<Self> {
        let pooled = moments.pooled();
        Ok(Self {
            n_top,
            batches: moments.batches.clone(),
            of: moments
                .moments
                .iter()
                .zip(moments.batches.names())
                .map(|(counts, name)| Batch::fit(counts).map_err(|error| in_batch(error, name, &moments.batches)))
                .collect::<Result<_>>()?,
            means: pooled.means(),
            variances: pooled.variances(),
        })
    }

    /// Adds the training cells of a block of counts whose first row is the cell `first`; the same cells and genes as those of
    /// the moments.
    ///
    /// **Shapes** `counts`: (n_rows, n_genes)
    pub fn add(&mut self, counts: &SparseMatrix, first: usize) {
        for (batch, rows) in self.of.iter_mut().zip(self.batches.rows(counts, first)) {
            let limits = &batch.limits;
            let add = |sums: &mut (f64, f64), _, gene: usize, count: f32| {
                let count = f64::from(count).min(limits[gene]);
                sums.0 += count;
                sums.1 += count * count;
            };
            sum_genes(counts, &rows, &mut batch.sums, add, |total, sums| {
                total.0 += sums.0;
                total.1 += sums.1;
            });
        }
    }

    /// Chooses the genes whose variance has the smallest rank in its batch: the median over the batches in which it is among
    /// the first `n_top`; among equals those that are so in more batches, then the first in the file. If fewer genes vary at
    /// all, all that vary are chosen.
    pub fn finish(self) -> VariableGenes {
        let n_genes = self.means.len();
        let variances_norm: Vec<Vec<f64>> = self.of.iter().map(Batch::variances_norm).collect();
        let mut ranks = vec![Vec::new(); n_genes];
        for variances in &variances_norm {
            let first = falling(variances).into_iter().take(self.n_top);
            first.zip(0..).for_each(|(gene, rank)| ranks[gene].push(f64::from(rank)));
        }
        let n_batches: Vec<i64> = ranks.iter().map(|ranks| ranks.len() as i64).collect();
        let medians: Vec<f64> = ranks.iter_mut().map(|ranks| median(ranks)).collect();
        // NaN, the rank of those that are in no batch among the first, comes last.
        let mut order: Vec<usize> = (0..n_genes).filter(|&gene| self.variances[gene] > 0.0).collect();
        order.sort_by(|&a, &b| medians[a].total_cmp(&medians[b]).then(n_batches[b].cmp(&n_batches[a])));
        let mut is_variable = vec![false; n_genes];
        order.iter().take(self.n_top).for_each(|&gene| is_variable[gene] = true);
        let mean_norm = |gene: usize| variances_norm.iter().map(|v| v[gene]).sum::<f64>() / variances_norm.len() as f64;
        let mut statistics = vec![
            ("highly_variable_rank", Column::Float(medians)),
            ("means", Column::Float(self.means)),
            ("variances", Column::Float(self.variances)),
            ("variances_norm", Column::Float((0..n_genes).map(mean_norm).collect())),
        ];
        if self.batches.is_told() {
            statistics.push(("highly_variable_nbatches", Column::Integer(n_batches)));
        }
        VariableGenes { is_variable, statistics }
    }
}

/// The positions of the values, the largest first, equal ones in their order. Rare genes often have the same counts in other
/// cells; their variances are equal but for the order of sums.
fn falling(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    let mut start = 0;
    for end in 1..=order.len() {
        let is_equal =
            |end: usize| values[order[end - 1]] - values[order[end]] <= ROUNDING * values[order[end - 1]].abs();
        if end == order.len() || !is_equal(end) {
            order[start..end].sort_unstable();
            start = end;
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::super::{Flavor, Search};
    use super::*;

    /// Counts of 60 genes whose variance follows their mean, but for the gene 7, in 200 cells.
    fn counts() -> SparseMatrix {
        let value = |cell: usize, gene: usize| {
            let step = ((cell * (2 * gene + 3) * 7919) % 101) as f32 / 101.0;
            let scale = 1.0 + gene as f32;
            (scale * step * if gene == 7 && cell.is_multiple_of(20) { 30.0 } else { 1.0 }).floor()
        };
        SparseMatrix::from_rows(60, (0..200).map(|cell| (0..60).map(|g| (g as u32, value(cell, g))).collect()))
    }

    fn clipped(block: usize) -> ClippedSums {
        let counts = counts();
        let is_training: Vec<bool> = (0..200).map(|cell| cell < 180).collect();
        let mut moments = BatchMoments::new(Flavor::SeuratV3, Batches::one(&is_training), 60);
        moments.add(&counts, 0, &[1.0; 200]);
        let Search::Again(mut clipped) = moments.search(5).unwrap() else { panic!() };
        for first in (0..200).step_by(block) {
            let rows: Vec<usize> = (first..(first + block).min(200)).collect();
            clipped.add(&counts.select_rows(&rows), first);
        }
        clipped
    }

    #[test]
    fn counts_are_clipped_and_the_variable_gene_comes_first() {
        let clipped = clipped(200);
        let batch = &clipped.of[0];
        let dense = counts().to_dense();
        for gene in [3, 7] {
            let sum: f64 = (0..180).map(|cell| f64::from(dense[[cell, gene]]).min(batch.limits[gene])).sum();
            assert!((batch.sums[gene].0 - sum).abs() < 1e-9);
        }
        let genes = clipped.finish();
        assert_eq!(genes.columns().len(), 5);
        assert_eq!(genes.statistic("highly_variable_rank").unwrap()[7], 0.0);
        assert!(genes.statistic("highly_variable_rank").unwrap().iter().filter(|rank| rank.is_nan()).count() == 55);
    }

    #[test]
    fn equal_variances_keep_the_order_of_the_genes() {
        assert_eq!(falling(&[1.0, 3.0, 1.0 + 1e-15, 2.0, 1.0]), [1, 3, 0, 2, 4]);
        assert!(falling(&[]).is_empty());
    }

    #[test]
    fn blocks_do_not_matter() {
        let (whole, pieces) = (clipped(200).finish(), clipped(33).finish());
        assert_eq!(whole.is_variable, pieces.is_variable);
        let norm = |genes: &VariableGenes| genes.statistic("variances_norm").unwrap().to_vec();
        for (a, b) in norm(&whole).iter().zip(norm(&pieces)) {
            assert!((a - b).abs() <= 1e-12 * a.abs(), "{a} {b}");
        }
    }
}

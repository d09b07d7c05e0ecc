//! Highly variable genes, as scanpy's flavour `seurat` finds them (Satija et al. 2015, doi:10.1038/nbt.3192).

use crate::cells::SparseMatrix;

/// Genes are compared with those of similar mean, in this many bins of equal width; scanpy's `n_bins`.
const N_BINS: usize = 20;
/// pandas' `cut` moves the lowest edge down by this share of the range, so that the least value falls into the first bin.
const EDGE_SHARE: f64 = 0.001;

/// What is known of each gene's variability, under scanpy's names. **Shapes** (n_genes) each.
#[derive(Debug, Clone, PartialEq)]
pub struct VariableGenes {
    /// ln(1 + mean of the normalised counts).
    pub means: Vec<f64>,
    /// ln(variance / mean) of the normalised counts; NaN where the variance is 0.
    pub dispersions: Vec<f64>,
    /// The dispersion, centred and scaled within its bin; NaN where the variance is 0.
    pub dispersions_norm: Vec<f64>,
    /// Whether the gene is among the chosen.
    pub is_variable: Vec<bool>,
}

impl VariableGenes {
    /// Chooses the `n_top` genes with the largest normalised dispersion over the given rows; ties at the limit are all in.
    /// If fewer genes vary at all, all that vary are chosen.
    ///
    /// **Shapes** `x`: (n_cells, n_genes), log1p of normalised counts; `rows`: the training cells
    pub fn find(x: &SparseMatrix, rows: &[usize], n_top: usize) -> Self {
        let (raw_means, variances) = moments(x, rows);
        let means: Vec<f64> = raw_means.iter().map(|&mean| floor(mean).ln_1p()).collect();
        let dispersions: Vec<f64> = raw_means
            .iter()
            .zip(&variances)
            .map(|(&mean, &variance)| if variance == 0.0 { f64::NAN } else { (variance / floor(mean)).ln() })
            .collect();
        let dispersions_norm = normalize(&dispersions, &bins(&means));
        let mut ranked: Vec<f64> = dispersions_norm.iter().copied().filter(|value| !value.is_nan()).collect();
        ranked.sort_by(|a, b| b.total_cmp(a));
        let limit = ranked.get(n_top.min(ranked.len()).wrapping_sub(1)).copied().unwrap_or(f64::INFINITY);
        let is_variable = dispersions_norm.iter().map(|&value| value >= limit).collect();
        Self { means, dispersions, dispersions_norm, is_variable }
    }

    /// The positions of the chosen genes, rising.
    pub fn columns(&self) -> Vec<usize> {
        (0..self.is_variable.len()).filter(|&gene| self.is_variable[gene]).collect()
    }
}

/// Means of zero are replaced as in scanpy.
fn floor(mean: f64) -> f64 {
    if mean == 0.0 { 1e-12 } else { mean }
}

/// Mean and variance (divisor n − 1) of exp(x) − 1 of each gene over the given rows.
fn moments(x: &SparseMatrix, rows: &[usize]) -> (Vec<f64>, Vec<f64>) {
    let n = rows.len() as f64;
    let mut means = vec![0.0; x.n_columns()];
    let mut n_stored = vec![0_usize; x.n_columns()];
    let each = |visit: &mut dyn FnMut(usize, f64)| {
        for &row in rows {
            let (columns, values) = x.row(row);
            columns.iter().zip(values).for_each(|(&gene, &value)| visit(gene as usize, f64::from(value).exp_m1()));
        }
    };
    each(&mut |gene, value| {
        means[gene] += value;
        n_stored[gene] += 1;
    });
    means.iter_mut().for_each(|mean| *mean /= n);
    // The squares of the values that are not stored, then those that are.
    let mut sums: Vec<f64> =
        means.iter().zip(&n_stored).map(|(mean, &stored)| mean * mean * (n - stored as f64)).collect();
    each(&mut |gene, value| sums[gene] += (value - means[gene]).powi(2));
    sums.iter_mut().for_each(|sum| *sum /= n - 1.0);
    (means, sums)
}

/// The bin of each value, as pandas' `cut` with a number of bins finds it: edges on the right belong to the bin.
fn bins(values: &[f64]) -> Vec<usize> {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let edges = |low: f64, high: f64| -> Vec<f64> {
        let step = (high - low) / N_BINS as f64;
        (0..=N_BINS).map(|edge| if edge == N_BINS { high } else { edge as f64 * step + low }).collect()
    };
    let edges = if low == high {
        let margin = if low == 0.0 { EDGE_SHARE } else { EDGE_SHARE * low.abs() };
        edges(low - margin, high + margin)
    } else {
        let mut edges = edges(low, high);
        edges[0] -= EDGE_SHARE * (high - low);
        edges
    };
    values.iter().map(|&value| edges.partition_point(|&edge| edge < value).saturating_sub(1)).collect()
}

/// (dispersion − mean of the bin) / standard deviation of the bin; the only gene of a bin gets 1.
fn normalize(dispersions: &[f64], bins: &[usize]) -> Vec<f64> {
    let mut members = vec![Vec::new(); N_BINS];
    for (&dispersion, &bin) in dispersions.iter().zip(bins).filter(|(dispersion, _)| !dispersion.is_nan()) {
        members[bin].push(dispersion);
    }
    let statistics: Vec<(f64, f64)> = members
        .iter()
        .map(|members| {
            let n = members.len() as f64;
            let mean = members.iter().sum::<f64>() / n;
            let variance = members.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
            if members.len() == 1 { (0.0, mean) } else { (mean, variance.sqrt()) }
        })
        .collect();
    dispersions.iter().zip(bins).map(|(value, &bin)| (value - statistics[bin].0) / statistics[bin].1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(columns: &[&[f64]]) -> SparseMatrix {
        let row =
            |cell: usize| (0..columns.len()).map(|gene| (gene as u32, columns[gene][cell].ln_1p() as f32)).collect();
        SparseMatrix::from_rows(columns.len(), (0..columns[0].len()).map(row))
    }

    #[test]
    fn bins_are_those_of_pandas_cut() {
        let values: Vec<f64> = (0..=40).map(f64::from).collect();
        let bins = bins(&values);
        // pandas.cut(range(41), 20).codes
        assert_eq!(&bins[..6], [0, 0, 0, 1, 1, 2]);
        assert_eq!(bins[40], 19);
        assert_eq!(super::bins(&[3.0, 3.0]), [9, 9]);
    }

    #[test]
    fn the_gene_that_varies_more_than_its_peers_is_chosen() {
        let x = matrix(&[
            &[4.0, 6.0, 4.0, 6.0],
            &[4.1, 6.1, 4.0, 6.0],
            &[1.0, 9.2, 1.0, 9.0],
            &[5.0, 5.0, 5.0, 5.0],
            &[90.0, 110.0, 90.0, 110.0],
        ]);
        let genes = VariableGenes::find(&x, &[0, 1, 2, 3], 1);
        assert_eq!(genes.columns(), [2]);
        assert!(genes.dispersions_norm[3].is_nan() && genes.dispersions_norm[4] == 1.0, "{genes:?}");
        assert_eq!(VariableGenes::find(&x, &[0, 1, 2, 3], 99).columns(), [0, 1, 2, 4]);
    }

    #[test]
    fn other_rows_do_not_matter() {
        let x = matrix(&[&[1.0, 2.0, 3.0, 900.0], &[0.0, 9.0, 1.0, 0.0], &[2.0, 2.5, 3.0, 5.0]]);
        let few = x.select_rows(&[0, 1, 2]);
        let (all, few) = (VariableGenes::find(&x, &[0, 1, 2], 1), VariableGenes::find(&few, &[0, 1, 2], 1));
        assert_eq!(all.means, few.means);
        assert_eq!(all.columns(), few.columns());
    }
}

//! Choosing genes by their dispersion, variance / mean, among genes of similar mean.

use super::{BatchMoments, VariableGenes};
use crate::cells::Column;
use crate::preprocess::gene_moments::GeneMoments;

/// What is known of the genes of one batch. **Shapes** (n_genes) each.
pub(super) struct Dispersions {
    /// ln(1 + mean) for `seurat`, the mean for `cell_ranger`.
    pub means: Vec<f64>,
    /// ln(variance / mean) for `seurat`, NaN where the variance is 0; variance / mean for `cell_ranger`.
    pub dispersions: Vec<f64>,
    /// The dispersion, centred and scaled among genes of similar mean; NaN where that means nothing.
    pub normalized: Vec<f64>,
}

/// Means of zero are replaced as in scanpy.
pub(super) fn floor(mean: f64) -> f64 {
    if mean == 0.0 { 1e-12 } else { mean }
}

/// The genes with the largest normalised dispersions of `of`, in one batch or several.
pub(super) fn choose(moments: &BatchMoments, n_top: usize, of: impl Fn(&GeneMoments) -> Dispersions) -> VariableGenes {
    if moments.batches.is_told() {
        return across(&moments.moments, n_top, of);
    }
    let found = of(&moments.moments[0]);
    let is_variable = largest(&found.normalized, n_top);
    VariableGenes { is_variable, statistics: statistics(found) }
}

fn statistics(found: Dispersions) -> Vec<(&'static str, Column)> {
    vec![
        ("means", Column::Float(found.means)),
        ("dispersions", Column::Float(found.dispersions)),
        ("dispersions_norm", Column::Float(found.normalized)),
    ]
}

/// Whether each value is among the `n_top` largest; ties at the limit are all in, NaN is out.
fn largest(values: &[f64], n_top: usize) -> Vec<bool> {
    let mut ranked: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    ranked.sort_by(|a, b| b.total_cmp(a));
    match ranked.get(n_top.min(ranked.len()).wrapping_sub(1)) {
        Some(&limit) => values.iter().map(|&value| value >= limit).collect(),
        None => vec![false; values.len()],
    }
}

/// Each batch by itself, over the genes that it expresses, then put together as scanpy does: numbers are averaged, with 0 for
/// genes that a batch does not express.
fn across(batches: &[GeneMoments], n_top: usize, of: impl Fn(&GeneMoments) -> Dispersions) -> VariableGenes {
    let n_genes = batches[0].n_genes();
    let mut sums = [(); 3].map(|()| vec![Average::default(); n_genes]);
    let mut n_batches = vec![0_i64; n_genes];
    for moments in batches {
        let n_expressing = moments.n_expressing();
        let (expressed, silent): (Vec<usize>, Vec<usize>) = (0..n_genes).partition(|&gene| n_expressing[gene] > 0);
        let found = of(&moments.select(&expressed));
        for (gene, is_chosen) in expressed.iter().zip(largest(&found.normalized, n_top)) {
            n_batches[*gene] += i64::from(is_chosen);
        }
        for (sums, values) in sums.iter_mut().zip([found.means, found.dispersions, found.normalized]) {
            expressed.iter().zip(values).for_each(|(&gene, value)| sums[gene].add(value));
            silent.iter().for_each(|&gene| sums[gene].add(0.0));
        }
    }
    let [means, dispersions, normalized] = sums.map(|sums| sums.into_iter().map(Average::mean).collect::<Vec<f64>>());
    // Genes that vary in no batch have no place; among equals, the first in the file comes first.
    let varies = |gene: usize| !normalized[gene].is_nan() && batches.iter().any(|b| b.n_expressing_of(gene) > 0);
    let mut ranked: Vec<usize> = (0..n_genes).filter(|&gene| varies(gene)).collect();
    ranked.sort_by(|&a, &b| n_batches[b].cmp(&n_batches[a]).then(normalized[b].total_cmp(&normalized[a])));
    let mut is_variable = vec![false; n_genes];
    ranked.iter().take(n_top).for_each(|&gene| is_variable[gene] = true);
    let in_all = n_batches.iter().map(|&n| n as usize == batches.len()).collect();
    let mut statistics = statistics(Dispersions { means, dispersions, normalized });
    statistics.push(("highly_variable_nbatches", Column::Integer(n_batches)));
    statistics.push(("highly_variable_intersection", Column::Boolean(in_all)));
    VariableGenes { is_variable, statistics }
}

/// A mean without the values that are missing, as pandas takes it.
#[derive(Clone, Copy, Default)]
struct Average {
    n: usize,
    sum: f64,
}

impl Average {
    fn add(&mut self, value: f64) {
        if !value.is_nan() {
            self.n += 1;
            self.sum += value;
        }
    }

    fn mean(self) -> f64 {
        self.sum / self.n as f64
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Batches, Flavor, Search};
    use super::*;
    use crate::cells::SparseMatrix;

    fn found(columns: &[&[f64]], batches: Batches, n_top: usize) -> VariableGenes {
        let row = |cell: usize| (0..columns.len()).map(|gene| (gene as u32, columns[gene][cell] as f32)).collect();
        let counts = SparseMatrix::from_rows(columns.len(), (0..columns[0].len()).map(row));
        let mut moments = BatchMoments::new(Flavor::Seurat, batches, columns.len());
        moments.add(&counts, 0, &vec![1.0; counts.n_rows()]);
        let Search::Found(genes) = moments.search(n_top).unwrap() else { panic!() };
        genes
    }

    #[test]
    fn the_gene_that_varies_more_than_its_peers_is_chosen() {
        let columns: [&[f64]; 5] = [
            &[4.0, 6.0, 4.0, 6.0, 900.0],
            &[4.125, 6.125, 4.0, 6.0, 0.0],
            &[1.0, 9.25, 1.0, 9.0, 0.0],
            &[5.0, 5.0, 5.0, 5.0, 70.0],
            &[90.0, 110.0, 90.0, 110.0, 0.0],
        ];
        let training = [true, true, true, true, false];
        let genes = found(&columns, Batches::one(&training), 1);
        assert_eq!(genes.columns(), [2]);
        let normalized = genes.statistic("dispersions_norm").unwrap();
        assert!(normalized[3].is_nan() && normalized[4] == 1.0, "{genes:?}");
        assert_eq!(found(&columns, Batches::one(&training), 99).columns(), [0, 1, 2, 4]);
    }

    #[test]
    fn genes_chosen_in_more_batches_come_first() {
        // Genes of one mean in each batch. The third varies in both, the first most, but in one batch only.
        let columns: [&[f64]; 4] = [
            &[4.5, 5.5, 4.5, 5.5, 0.0, 40.0, 0.0, 40.0],
            &[4.0, 6.0, 4.0, 6.0, 19.0, 21.0, 19.0, 21.0],
            &[1.0, 9.0, 1.0, 9.0, 1.0, 39.0, 1.0, 39.0],
            &[0.0; 8],
        ];
        let names = ["x", "y"].map(str::to_owned);
        let batches = Batches::new(&[0, 0, 0, 0, 1, 1, 1, 1], &names, &[true; 8]).unwrap();
        let genes = found(&columns, batches.clone(), 2);
        assert_eq!(genes.columns(), [0, 2]);
        let column = |name: &str| genes.statistics.iter().find(|(known, _)| *known == name).map(|(_, column)| column);
        assert_eq!(column("highly_variable_nbatches"), Some(&Column::Integer(vec![1, 1, 2, 0])));
        assert_eq!(column("highly_variable_intersection"), Some(&Column::Boolean(vec![false, false, true, false])));
        assert_eq!(genes.statistic("means").unwrap()[3], 0.0);
        assert_eq!(found(&columns, batches.clone(), 1).columns(), [2]);
        assert_eq!(found(&columns, batches, 9).columns(), [0, 1, 2], "a silent gene is never chosen");
    }
}

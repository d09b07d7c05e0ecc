//! Where the fit starts: shares and dispersions of genes in closed form.

use serde::{Deserialize, Serialize};

use crate::cells::SparseMatrix;

/// Dispersions 1 / θ at the start lie within these.
const DISPERSIONS: (f64, f64) = (0.05, 10.0);

/// How library sizes relate to the counts that the screen holds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Depth {
    /// The counts of a cell are at most its library size times this.
    pub factor: f32,
    /// Whether they can be fewer, so that one more share stands for counts that the screen does not hold.
    pub has_rest: bool,
}

/// Closed-form starts of a network's last layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// How library sizes are read.
    pub depth: Depth,
    /// ln of the share of each gene among all training counts, and of the rest where there is one.
    pub log_shares: Vec<f32>,
    /// ln θ by moments: the counts' variance beyond Poisson around the gene's share of each library size.
    pub log_inverse_dispersions: Vec<f32>,
}

impl Start {
    /// Takes the moments of training counts.
    ///
    /// **Shapes** `counts`: (n_cells, n_genes); `library_sizes`: (n_cells), above zero.
    pub fn fit(counts: &SparseMatrix, library_sizes: &[f64]) -> Self {
        let n_genes = counts.n_columns();
        let ratios = || counts.row_sums().into_iter().zip(library_sizes).map(|(sum, size)| sum / size);
        let factor = ratios().fold(0.0, f64::max);
        let factor = if factor > 0.0 { factor } else { 1.0 };
        let has_rest = ratios().any(|ratio| ratio < factor * (1.0 - 1e-6));
        let (mut sums, mut squares, mut products) = (vec![0.0; n_genes], vec![0.0; n_genes], vec![0.0; n_genes]);
        let (mut total, mut total_squares) = (0.0, 0.0);
        for (row, size) in library_sizes.iter().enumerate() {
            let depth = factor * size;
            total += depth;
            total_squares += depth * depth;
            let (genes, values) = counts.row(row);
            for (&gene, &count) in genes.iter().zip(values) {
                let (gene, count) = (gene as usize, f64::from(count));
                sums[gene] += count;
                squares[gene] += count * count;
                products[gene] += count * depth;
            }
        }
        // Half a count more, so that no share is zero.
        let share = |gene: usize| (sums[gene] + 0.5) / total;
        let mut log_shares: Vec<f32> = (0..n_genes).map(|gene| share(gene).ln() as f32).collect();
        if has_rest {
            let held = (0..n_genes).map(share).sum::<f64>();
            log_shares.push((1.0 - held).max(1e-3).ln() as f32);
        }
        let log_inverse_dispersion = |gene: usize| {
            let share = share(gene);
            let variance = squares[gene] - 2.0 * share * products[gene] + share * share * total_squares;
            let dispersion = (variance - share * total) / (share * share * total_squares);
            -(dispersion.clamp(DISPERSIONS.0, DISPERSIONS.1).ln() as f32)
        };
        Self {
            depth: Depth { factor: factor as f32, has_rest },
            log_shares,
            log_inverse_dispersions: (0..n_genes).map(log_inverse_dispersion).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, Gamma, Poisson};

    use super::*;

    #[test]
    fn shares_and_dispersions_are_found_and_a_rest_where_counts_are_missing() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let (shares, sizes) = ([0.5_f64, 0.3, 0.2], [0.5, 2.0, 8.0]);
        let wanted: Vec<f64> = (0..4000).map(|cell| f64::from(20 + cell % 60)).collect();
        let mut draw = |library: f64, gene: usize| {
            let wobble: f64 = Gamma::new(sizes[gene], 1.0 / sizes[gene]).unwrap().sample(&mut rng);
            Poisson::new(library * shares[gene] * wobble + 1e-9).unwrap().sample(&mut rng) as f32
        };
        let rows: Vec<Vec<(u32, f32)>> =
            wanted.iter().map(|&library| (0..3).map(|gene| (gene as u32, draw(library, gene))).collect()).collect();
        let counts = SparseMatrix::from_rows(3, rows);
        let sums: Vec<f64> = counts.row_sums().into_iter().map(|sum| sum.max(1.0)).collect();
        let start = Start::fit(&counts, &sums);
        assert!(!start.depth.has_rest || counts.row_sums().contains(&0.0));
        for (log, share) in start.log_shares.iter().zip(shares) {
            assert!((f64::from(log.exp()) - share).abs() < 0.03, "{start:?}");
        }
        // Library sizes that the scatter of counts did not make tell the dispersions.
        let wider: Vec<f64> = wanted.iter().map(|size| 20.0 * size).collect();
        let start = Start::fit(&counts, &wider);
        assert!(start.depth.has_rest && start.log_shares.len() == 4);
        for (gene, size) in sizes.into_iter().enumerate() {
            let got = f64::from(start.log_inverse_dispersions[gene].exp());
            assert!((got / size - 1.0).abs() < 0.2, "gene {gene}: {got} {size}");
        }
        let total: f32 = start.log_shares.iter().map(|log| log.exp()).sum();
        assert!((total - 1.0).abs() < 1e-3, "{total}");
    }
}

//! Wilcoxon's rank-sum test of every gene, with the false discovery rate of Benjamini and Hochberg.

use super::{GeneColumns, normal_tail};
use crate::{Error, Result};

/// A gene is significant below this false discovery rate, as in cell-eval.
pub const SIGNIFICANT: f64 = 0.05;

/// How each gene of some cells differs from control cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Differential {
    /// Two-sided p-values: (n_genes).
    pub p_values: Vec<f64>,
    /// p-values adjusted over all genes: (n_genes).
    pub false_discovery_rates: Vec<f64>,
    /// log₂ of the ratio of expm1(mean log1p expression), as pdex computes it with `epsilon=0`; infinite where one side is
    /// zero, 0 where both are: (n_genes).
    pub log2_fold_changes: Vec<f64>,
    /// |rank sum − its expectation| in standard deviations: (n_genes).
    pub deviations: Vec<f64>,
}

impl Differential {
    /// Tests the cells against the control cells.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if the genes differ in number; [`Error::TooFew`] without cells on a side.
    pub fn between(cells: &GeneColumns, control: &GeneColumns) -> Result<Self> {
        let n_genes = cells.n_genes();
        if n_genes != control.n_genes() {
            return Err(Error::ShapeMismatch {
                what: "genes of a rank-sum test".into(),
                expected: n_genes.to_string(),
                got: control.n_genes().to_string(),
            });
        }
        if cells.n_cells == 0 || control.n_cells == 0 {
            return Err(Error::TooFew {
                what: "cells for a rank-sum test".into(),
                needed: 1,
                got: 0,
                hint: "generate more cells".into(),
            });
        }
        let tests = (0..n_genes).map(|gene| rank_sum(cells, control, gene));
        let (p_values, deviations): (Vec<f64>, Vec<f64>) = tests.unzip();
        // Estimates of a mean may fall below zero, expression cannot.
        let linear = |mean: f64| mean.max(0.0).exp_m1();
        let change = |(mean, base): (&f64, &f64)| match (linear(*mean), linear(*base)) {
            (mean, base) if mean == base => 0.0,
            (mean, base) => (mean / base).log2(),
        };
        Ok(Self {
            false_discovery_rates: benjamini_hochberg(&p_values),
            log2_fold_changes: cells.means.iter().zip(&control.means).map(change).collect(),
            p_values,
            deviations,
        })
    }

    /// The significant genes, those with the greatest |log₂ fold change| first; ties in the order of the genes.
    pub fn significant(&self) -> Vec<usize> {
        let size = |gene: usize| self.log2_fold_changes[gene].abs();
        let mut genes: Vec<usize> =
            (0..self.p_values.len()).filter(|&gene| self.false_discovery_rates[gene] < SIGNIFICANT).collect();
        genes.sort_by(|&a, &b| size(b).total_cmp(&size(a)));
        genes
    }

    /// The `k` genes whose ranks deviate most, significant or not; ties in the order of the genes.
    pub fn most_deviating(&self, k: usize) -> Vec<usize> {
        let mut genes: Vec<usize> = (0..self.deviations.len()).collect();
        genes.sort_by(|&a, &b| self.deviations[b].total_cmp(&self.deviations[a]));
        genes.truncate(k);
        genes
    }
}

/// The p-value of the rank-sum test of one gene, by the normal limit with corrections for ties and continuity (SciPy:
/// `mannwhitneyu(method="asymptotic")`), and the deviation in standard deviations. Without variation p = 1.
fn rank_sum(cells: &GeneColumns, control: &GeneColumns, gene: usize) -> (f64, f64) {
    let (own, other) = (cells.runs(gene), control.runs(gene));
    let (mut i, mut j) = (0, 0);
    let (mut before, mut rank_sum, mut ties) = (0.0, 0.0, 0.0);
    while i < own.len() || j < other.len() {
        let value = match (own.get(i), other.get(j)) {
            (Some(a), Some(b)) => a.0.min(b.0),
            (Some(a), None) => a.0,
            (None, Some(b)) => b.0,
            (None, None) => break,
        };
        let take = |runs: &[(f32, u32)], place: &mut usize| match runs.get(*place) {
            Some(&(found, n)) if found <= value => {
                *place += 1;
                f64::from(n)
            }
            _ => 0.0,
        };
        let n_own = take(own, &mut i);
        let n = n_own + take(other, &mut j);
        rank_sum += n_own * (before + (n + 1.0) / 2.0);
        ties += n * n * n - n;
        before += n;
    }
    let (n, m) = (cells.n_cells as f64, control.n_cells as f64);
    let all = n + m;
    let variance = n * m / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
    if variance <= 1e-9 * n * m {
        return (1.0, 0.0);
    }
    let deviation = (rank_sum - n * (all + 1.0) / 2.0).abs();
    let p_value = normal_tail::two_sided(((deviation - 0.5) / variance.sqrt()).max(0.0));
    (p_value, deviation / variance.sqrt())
}

/// Adjusted p-values: q_(i) = min over j ≥ i of p_(j) n / j (Benjamini & Hochberg 1995, J. R. Stat. Soc. B 57:289).
pub fn benjamini_hochberg(p_values: &[f64]) -> Vec<f64> {
    let n = p_values.len();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let (mut adjusted, mut least) = (vec![0.0; n], 1.0_f64);
    for (place, &gene) in order.iter().enumerate().rev() {
        least = least.min(p_values[gene] * n as f64 / (place + 1) as f64);
        adjusted[gene] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::SparseMatrix;

    fn columns(values: &[f32]) -> GeneColumns {
        let rows = values.iter().map(|&value| if value == 0.0 { vec![] } else { vec![(0, value)] });
        let x = SparseMatrix::from_rows(1, rows);
        GeneColumns::new(&x, &(0..values.len()).collect::<Vec<_>>(), None)
    }

    #[test]
    fn ranks_without_ties_have_the_closed_form() {
        // All of 3 cells above all of 4: U = 12, mean 6, variance 3·4·8/12 = 8.
        let test = Differential::between(&columns(&[5.0, 6.0, 7.0]), &columns(&[1.0, 2.0, 3.0, 0.0])).unwrap();
        assert!((test.deviations[0] - 6.0 / 8.0_f64.sqrt()).abs() < 1e-12);
        assert!((test.p_values[0] - normal_tail::two_sided(5.5 / 8.0_f64.sqrt())).abs() < 1e-12);
        assert_eq!(test.false_discovery_rates, test.p_values);
        let ratio = 6.0_f64.exp_m1() / 1.5_f64.exp_m1();
        assert!((test.log2_fold_changes[0] - ratio.log2()).abs() < 1e-12);
    }

    #[test]
    fn a_gene_that_does_not_vary_is_not_significant_and_one_that_appears_has_an_infinite_change() {
        let test = Differential::between(&columns(&[0.0, 0.0]), &columns(&[0.0, 0.0, 0.0])).unwrap();
        assert_eq!((test.p_values[0], test.log2_fold_changes[0], test.significant().len()), (1.0, 0.0, 0));
        let test = Differential::between(&columns(&[1.0, 2.0]), &columns(&[0.0, 0.0])).unwrap();
        assert_eq!(test.log2_fold_changes[0], f64::INFINITY);
        assert!(Differential::between(&columns(&[]), &columns(&[0.0])).is_err());
    }

    #[test]
    fn adjusted_p_values_never_fall_with_the_p_value() {
        let adjusted = benjamini_hochberg(&[0.01, 0.04, 0.03, 0.9]);
        for (got, expected) in adjusted.iter().zip([0.04, 0.16 / 3.0, 0.16 / 3.0, 0.9]) {
            assert!((got - expected).abs() < 1e-15, "{adjusted:?}");
        }
        assert!(benjamini_hochberg(&[]).is_empty());
    }
}

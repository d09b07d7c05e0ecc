//! Whether generated cells show the differences that real cells show, as cell-eval defines it.

use super::Differential;
use super::differential::SIGNIFICANT;
use crate::Result;
use crate::metrics::means::correlation::spearman;

/// The part of the first k real significant genes that is among the first k generated ones, k at most the number of real
/// ones (all of them without `k`); 0 without significant genes.
pub fn overlap_at(real: &Differential, generated: &Differential, k: Option<usize>) -> f64 {
    let (real, generated) = (real.significant(), generated.significant());
    let k = k.unwrap_or(real.len()).min(real.len());
    shared(&real, &generated, k)
}

/// As [`overlap_at`], k at most the number of generated significant genes.
pub fn precision_at(real: &Differential, generated: &Differential, k: Option<usize>) -> f64 {
    let (real, generated) = (real.significant(), generated.significant());
    let k = k.unwrap_or(generated.len()).min(generated.len());
    shared(&real, &generated, k)
}

fn shared(real: &[usize], generated: &[usize], k: usize) -> f64 {
    let (real, generated) = (&real[..k.min(real.len())], &generated[..k.min(generated.len())]);
    if k == 0 { 0.0 } else { real.iter().filter(|gene| generated.contains(gene)).count() as f64 / k as f64 }
}

/// The part of the real significant genes that changes in the same direction; none without real significant genes.
pub fn direction_match(real: &Differential, generated: &Differential) -> Option<f64> {
    // The sign of no change is none.
    let sign = |value: f64| if value == 0.0 { 0.0 } else { value.signum() };
    let same = |gene: &usize| sign(real.log2_fold_changes[*gene]) == sign(generated.log2_fold_changes[*gene]);
    part(&real.significant(), same)
}

/// The part of the real significant genes that is significant in generated cells; none without real significant genes.
pub fn recall(real: &Differential, generated: &Differential) -> Option<f64> {
    part(&real.significant(), |&gene| generated.false_discovery_rates[gene] < SIGNIFICANT)
}

fn part(genes: &[usize], fits: impl Fn(&usize) -> bool) -> Option<f64> {
    let n = genes.iter().filter(|gene| fits(gene)).count();
    (!genes.is_empty()).then(|| n as f64 / genes.len() as f64)
}

/// Spearman's correlation of the log₂ fold changes over the real significant genes; none with fewer than two.
///
/// # Errors
/// [`crate::Error::BadValues`] if the changes do not vary.
pub fn spearman_of_changes(real: &Differential, generated: &Differential) -> Option<Result<f64>> {
    let genes = real.significant();
    let of = |test: &Differential| -> Vec<f64> { genes.iter().map(|&gene| test.log2_fold_changes[gene]).collect() };
    (genes.len() > 1).then(|| spearman(&of(real), &of(generated), "log2 fold changes"))
}

/// The least false discovery rate that a gene is ranked by: those below are equally sure.
const LEAST_RATE: f64 = 1e-10;

/// Area under the curve of precision over recall (average precision, Σ (R_n − R_(n−1)) P_n over falling thresholds): the real
/// significant genes are to be found by −log₁₀ of the false discovery rate in generated cells, which is held between 1e-10 and
/// 1. None unless some genes are significant in the real cells, and some are not.
pub fn pr_auc(real: &Differential, generated: &Differential) -> Option<f64> {
    let steps = found_by_threshold(real, generated)?;
    let n_all: f64 = steps.iter().map(|[found, _]| found).sum();
    let (mut found, mut taken, mut area) = (0.0, 0.0, 0.0);
    for [right, wrong] in steps {
        found += right;
        taken += right + wrong;
        area += right / n_all * found / taken;
    }
    Some(area)
}

/// Area under the curve of the true over the false positive rate, for the genes and ranks of [`pr_auc`]; half without knowledge.
pub fn roc_auc(real: &Differential, generated: &Differential) -> Option<f64> {
    let steps = found_by_threshold(real, generated)?;
    let [n_right, n_wrong] = [0, 1].map(|side| steps.iter().map(|step| step[side]).sum::<f64>());
    let (mut found, mut area) = (0.0, 0.0);
    for [right, wrong] in steps {
        area += wrong / n_wrong * (found + right / 2.0) / n_right;
        found += right;
    }
    Some(area)
}

/// Of every threshold of the generated cells' false discovery rate, surest first: the genes that it adds, significant in the real
/// cells and not. None where the real cells do not know both kinds.
fn found_by_threshold(real: &Differential, generated: &Differential) -> Option<Vec<[f64; 2]>> {
    let is_real = |gene: usize| real.false_discovery_rates[gene] < SIGNIFICANT;
    let rates = &generated.false_discovery_rates;
    // The rank is that of the score: rates that differ by rounding of their logarithm alone are equal.
    let score = |gene: usize| -rates[gene].clamp(LEAST_RATE, 1.0).log10();
    let mut genes: Vec<(f64, bool)> = (0..rates.len()).map(|gene| (score(gene), is_real(gene))).collect();
    let n_real = genes.iter().filter(|(_, real)| *real).count();
    if n_real == 0 || n_real == genes.len() {
        return None;
    }
    genes.sort_by(|a, b| b.0.total_cmp(&a.0));
    let steps = genes.chunk_by(|a, b| a.0 == b.0).map(|equal| {
        let n_real = equal.iter().filter(|(_, real)| *real).count();
        [n_real as f64, (equal.len() - n_real) as f64]
    });
    Some(steps.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Genes with these changes; those with a change of at least one are significant.
    fn tests(changes: &[f64]) -> Differential {
        let rates: Vec<f64> = changes.iter().map(|change| if change.abs() >= 1.0 { 0.01 } else { 0.5 }).collect();
        Differential {
            p_values: rates.clone(),
            false_discovery_rates: rates,
            log2_fold_changes: changes.to_vec(),
            deviations: changes.iter().map(|change| change.abs()).collect(),
        }
    }

    #[test]
    fn shares_are_counted_over_the_right_side() {
        let real = tests(&[4.0, -3.0, 2.0, 0.1, 0.0]);
        let generated = tests(&[1.0, 2.0, 0.5, -3.0, 0.0]);
        assert_eq!(real.significant(), [0, 1, 2]);
        assert_eq!(generated.significant(), [3, 1, 0]);
        assert!((overlap_at(&real, &generated, None) - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(overlap_at(&real, &generated, Some(2)), 0.5);
        assert!((precision_at(&real, &generated, Some(100)) - 2.0 / 3.0).abs() < 1e-12);
        assert!((direction_match(&real, &generated).unwrap() - 2.0 / 3.0).abs() < 1e-12);
        assert!((recall(&real, &generated).unwrap() - 2.0 / 3.0).abs() < 1e-12);
        // Ranks 3, 1, 2 against 2, 3, 1.
        assert!((spearman_of_changes(&real, &generated).unwrap().unwrap() + 0.5).abs() < 1e-12);
    }

    #[test]
    fn areas_follow_from_the_order_of_genes_and_ties_are_taken_together() {
        let with =
            |rates: &[f64]| Differential { false_discovery_rates: rates.to_vec(), ..tests(&vec![0.0; rates.len()]) };
        let real = with(&[0.01, 0.01, 0.9, 0.9]);
        let areas = |rates: &[f64]| (pr_auc(&real, &with(rates)).unwrap(), roc_auc(&real, &with(rates)).unwrap());
        assert_eq!(areas(&[0.001, 0.01, 0.5, 0.7]), (1.0, 1.0));
        // All alike: the share of significant genes, and chance. Below 1e-10 there is no order.
        assert_eq!(areas(&[0.5; 4]), (0.5, 0.5));
        assert_eq!(areas(&[1e-20, 1e-30, 1e-40, 1e-11]), (0.5, 0.5));
        // Right, wrong, right, wrong: 1/2·1 + 1/2·2/3, and three of four pairs in order.
        let (precision, rate) = areas(&[0.1, 0.3, 0.2, 0.4]);
        assert!((precision - 5.0 / 6.0).abs() < 1e-12 && (rate - 0.75).abs() < 1e-12);
        for rates in [[0.9; 4], [0.01; 4]] {
            assert!(pr_auc(&with(&rates), &real).is_none() && roc_auc(&with(&rates), &real).is_none());
        }
    }

    #[test]
    fn without_significant_genes_shares_are_zero_and_directions_are_open() {
        let (none, some) = (tests(&[0.1, 0.2]), tests(&[1.0, 2.0]));
        assert_eq!((overlap_at(&none, &some, None), precision_at(&some, &none, Some(50))), (0.0, 0.0));
        assert!(direction_match(&none, &some).is_none() && recall(&none, &some).is_none());
        assert!(spearman_of_changes(&tests(&[2.0, 0.1]), &some).is_none());
    }
}

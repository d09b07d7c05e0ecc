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
    fn without_significant_genes_shares_are_zero_and_directions_are_open() {
        let (none, some) = (tests(&[0.1, 0.2]), tests(&[1.0, 2.0]));
        assert_eq!((overlap_at(&none, &some, None), precision_at(&some, &none, Some(50))), (0.0, 0.0));
        assert!(direction_match(&none, &some).is_none() && recall(&none, &some).is_none());
        assert!(spearman_of_changes(&tests(&[2.0, 0.1]), &some).is_none());
    }
}

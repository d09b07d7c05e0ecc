//! Dispersions as the flavour `seurat` has them: logarithms, compared in bins of equal width by mean and standard deviation.

use super::dispersion::{Dispersions, floor};
use crate::preprocess::gene_moments::GeneMoments;

/// Genes are compared with those of similar mean, in this many bins; scanpy's `n_bins`.
const N_BINS: usize = 20;
/// pandas' `cut` moves the lowest edge down by this share of the range, so that the least value falls into the first bin.
const EDGE_SHARE: f64 = 0.001;

/// The dispersions of normalised counts.
pub(super) fn dispersions(normalized_counts: &GeneMoments) -> Dispersions {
    let (raw_means, variances) = (normalized_counts.means(), normalized_counts.variances());
    let means: Vec<f64> = raw_means.iter().map(|&mean| floor(mean).ln_1p()).collect();
    let dispersions: Vec<f64> = raw_means
        .iter()
        .zip(&variances)
        .map(|(&mean, &variance)| if variance == 0.0 { f64::NAN } else { (variance / floor(mean)).ln() })
        .collect();
    let normalized = normalize(&dispersions, &bins(&means));
    Dispersions { means, dispersions, normalized }
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
    fn the_only_gene_of_a_bin_gets_1() {
        let normalized = normalize(&[1.0, 3.0, 7.0, f64::NAN], &[0, 0, 1, 1]);
        assert!((normalized[0] + 0.5_f64.sqrt()).abs() < 1e-15 && (normalized[1] - 0.5_f64.sqrt()).abs() < 1e-15);
        assert!(normalized[2] == 1.0 && normalized[3].is_nan());
    }
}

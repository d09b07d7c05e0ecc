//! Dispersions as the flavour `cell_ranger` has them: compared in bins of as many genes, by median and median absolute
//! deviation.

use super::dispersion::{Dispersions, floor};
use crate::preprocess::gene_moments::GeneMoments;
use crate::preprocess::median::{median, quantile};

/// The standard normal quantile of 3/4, by which median absolute deviations are divided, as in statsmodels.
const NORMAL_QUARTILE: f64 = 0.674_489_750_196_081_7;

/// The dispersions of logarithms.
pub(super) fn dispersions(logarithms: &GeneMoments) -> Dispersions {
    let means: Vec<f64> = logarithms.means().into_iter().map(floor).collect();
    let dispersions: Vec<f64> =
        logarithms.variances().iter().zip(&means).map(|(variance, mean)| variance / mean).collect();
    let bins = bins(&means);
    let mut members = vec![Vec::new(); bins.iter().max().map_or(0, |most| most + 1)];
    for (&dispersion, &bin) in dispersions.iter().zip(&bins) {
        members[bin].push(dispersion);
    }
    let statistics: Vec<(f64, f64)> = members
        .iter_mut()
        .map(|members| {
            let middle = median(members);
            members.iter_mut().for_each(|value| *value = (*value - middle).abs());
            (middle, median(members) / NORMAL_QUARTILE)
        })
        .collect();
    let normalized =
        dispersions.iter().zip(&bins).map(|(value, &bin)| (value - statistics[bin].0) / statistics[bin].1).collect();
    Dispersions { means, dispersions, normalized }
}

/// The bin of each mean, whose right edges are the percentiles 10, 15, …, 100. Where many genes share a mean, edges fall
/// together and the bin between them is empty; scanpy refuses that.
fn bins(means: &[f64]) -> Vec<usize> {
    let mut sorted = means.to_vec();
    sorted.sort_by(f64::total_cmp);
    let edges: Vec<f64> = (2..=20).map(|twentieth| quantile(&sorted, 5.0 * f64::from(twentieth) / 100.0)).collect();
    means.iter().map(|&mean| edges.partition_point(|&edge| edge < mean)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::SparseMatrix;

    #[test]
    fn edges_are_percentiles() {
        let means: Vec<f64> = (0..=100).map(f64::from).collect();
        let bins = bins(&means);
        assert_eq!((bins[0], bins[10], bins[11], bins[15], bins[16], bins[100]), (0, 0, 1, 1, 2, 18));
    }

    #[test]
    fn a_gene_is_compared_with_the_median_of_its_bin() {
        // Three genes of one mean, 2, with variances 0, 2 and 8 of two cells: the median is 1, the deviations 1, 0 and 3.
        let counts = SparseMatrix::from_rows(3, [vec![(0, 2.0), (1, 1.0)], vec![(0, 2.0), (1, 3.0), (2, 4.0)]]);
        let mut moments = GeneMoments::new(3);
        moments.add(&counts, &[0, 1], |_, value| f64::from(value));
        let found = dispersions(&moments);
        assert_eq!(found.dispersions, [0.0, 1.0, 4.0]);
        for (normalized, expected) in found.normalized.iter().zip([-1.0, 0.0, 3.0]) {
            assert!((normalized - expected * NORMAL_QUARTILE).abs() < 1e-15, "{normalized}");
        }
    }
}

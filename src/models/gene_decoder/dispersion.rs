//! How far counts scatter about their means: one law per gene, chosen on training cells.

use ndarray::{ArrayView1, ArrayView2};
use rayon::prelude::*;

use super::law::CountLaw;

/// The scatter of one gene.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scatter {
    /// See [`CountLaw::dispersion`].
    pub dispersion: f64,
    /// See [`CountLaw::rounding`].
    pub rounding: f64,
}

impl Scatter {
    /// The law of a count with this mean.
    pub fn law(self, mean: f64) -> CountLaw {
        CountLaw { mean, dispersion: self.dispersion, rounding: self.rounding }
    }
}

/// Cells on which the zero fraction is matched; more would only cost time.
const MOST_CELLS: usize = 2000;
const DISPERSIONS: (f64, f64) = (1e-6, 50.0);

/// Chooses each gene's scatter.
///
/// Where at least a fifth of the cells have no count, and ten have one, the expected number of zeros equals the observed
/// one: it decides sparsity and rank tests. Elsewhere the expected squared residual equals the observed one.
///
/// **Shapes** both: (n_cells, n_genes); `n_parameters`: fitted numbers per gene.
pub(super) fn scatter(counts: ArrayView2<f32>, means: ArrayView2<f64>, n_parameters: usize) -> Vec<Scatter> {
    (0..counts.ncols())
        .into_par_iter()
        .map(|gene| {
            let (counts, means) = (counts.column(gene), means.column(gene));
            let stride = counts.len().div_ceil(MOST_CELLS);
            let zeros = counts.iter().step_by(stride).filter(|&&count| count == 0.0).count();
            let others = counts.len().div_ceil(stride) - zeros;
            if others >= 10 && zeros * 5 >= zeros + others {
                return by_zeros(zeros as f64, means, stride);
            }
            by_moments(counts, means, n_parameters)
        })
        .collect()
}

fn by_zeros(zeros: f64, means: ArrayView1<f64>, stride: usize) -> Scatter {
    let expected = |scatter: Scatter| -> f64 {
        means.iter().step_by(stride).map(|&mean| scatter.law(mean).zero_probability()).sum()
    };
    let poisson = expected(Scatter { dispersion: 0.0, rounding: 0.0 });
    if zeros <= poisson {
        let rounded = expected(Scatter { dispersion: 0.0, rounding: 1.0 });
        let share = (poisson - zeros) / (poisson - rounded).max(f64::MIN_POSITIVE);
        return Scatter { dispersion: 0.0, rounding: share.clamp(0.0, 1.0) };
    }
    let (mut low, mut high) = (DISPERSIONS.0.ln(), DISPERSIONS.1.ln());
    for _ in 0..18 {
        let middle = 0.5 * (low + high);
        if expected(Scatter { dispersion: middle.exp(), rounding: 0.0 }) < zeros { low = middle } else { high = middle }
    }
    Scatter { dispersion: (0.5 * (low + high)).exp(), rounding: 0.0 }
}

fn by_moments(counts: ArrayView1<f32>, means: ArrayView1<f64>, n_parameters: usize) -> Scatter {
    let n = counts.len();
    // Residuals of fitted means are too small by the fitted numbers.
    let correction = n as f64 / n.saturating_sub(n_parameters).max(n.div_ceil(2)) as f64;
    let (mut observed, mut poisson, mut squares, mut least) = (0.0, 0.0, 0.0, 0.0);
    for (&count, &mean) in counts.iter().zip(means) {
        let fraction = mean - mean.floor();
        observed += correction * (f64::from(count) - mean).powi(2);
        poisson += mean;
        squares += mean * mean;
        least += fraction * (1.0 - fraction);
    }
    if observed >= poisson {
        let dispersion = (observed - poisson) / squares.max(f64::MIN_POSITIVE);
        return Scatter { dispersion: dispersion.min(DISPERSIONS.1), rounding: 0.0 };
    }
    let rounding = (poisson - observed) / (poisson - least).max(f64::MIN_POSITIVE);
    Scatter { dispersion: 0.0, rounding: rounding.clamp(0.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    /// Counts at the even quantiles of a law with the given scatter, for means of several sizes.
    fn counts(scatter: Scatter, means: &Array2<f64>) -> Array2<f32> {
        let n = means.nrows() as f64;
        // A stride that has no factor in common with the number of cells spreads the quantiles over the means.
        Array2::from_shape_fn(means.dim(), |(i, j)| {
            scatter.law(means[[i, j]]).quantile(((i * 617) as f64 % n + 0.5) / n) as f32
        })
    }

    #[test]
    fn the_scatter_that_made_the_counts_is_found() {
        for (level, tolerance) in [(0.5, 0.15), (20.0, 0.1)] {
            let means = Array2::from_shape_fn((2000, 1), |(i, _)| level * (0.5 + (i % 7) as f64 / 6.0));
            for truth in [(0.8, 0.0), (0.0, 0.5), (0.0, 1.0)] {
                let truth = Scatter { dispersion: truth.0, rounding: truth.1 };
                let found = scatter(counts(truth, &means).view(), means.view(), 1)[0];
                assert!((found.dispersion - truth.dispersion).abs() < tolerance, "{truth:?} {found:?}");
                assert!((found.rounding - truth.rounding).abs() < tolerance, "{truth:?} {found:?}");
            }
        }
    }
}

//! Which of the given library sizes fits which cell.

use super::least_squares;
use ndarray::{Array1, Array2, ArrayView2, s};

/// A ridge regression of ln(library size) on components and on the rates' pattern.
///
/// Components of sparse cells tell the depth: a cell with few counts shows fewer genes, each at a higher normalised value.
/// A library size that contradicts them would make zeros of ones or ones of zeros.
#[derive(Debug, Clone)]
pub(super) struct LibraryModel {
    /// Mean of each feature.
    pub centre: Array1<f32>,
    /// Standard deviation of each feature.
    pub scale: Array1<f32>,
    /// The intercept, then one number per feature.
    pub coefficients: Array1<f32>,
    /// The median library size of the training cells.
    pub median: f32,
}

/// Features beside the components.
pub(super) const N_PATTERNS: usize = 14;
const THRESHOLDS: [f32; 4] = [0.1, 0.25, 0.5, 0.75];
const WINDOWS: [(f32, f32); 4] = [(0.25, 1.0), (0.5, 2.0), (1.0, 3.0), (0.3, 0.6)];

/// The components, how many genes pass some counts, and the mean count in some windows: (n_cells, n_features).
pub(super) fn features(scaled: ArrayView2<f32>, rates: ArrayView2<f32>, median: f32) -> Array2<f64> {
    let n_components = scaled.ncols();
    let mut features = Array2::zeros((scaled.nrows(), n_components + N_PATTERNS));
    features.slice_mut(s![.., ..n_components]).assign(&scaled.mapv(f64::from));
    for (mut row, rates) in features.rows_mut().into_iter().zip(rates.rows()) {
        let mut pattern = [0.0_f64; N_PATTERNS];
        for &rate in rates {
            let count = rate * median;
            for (slot, &threshold) in pattern[..4].iter_mut().zip(&THRESHOLDS) {
                *slot += f64::from(1.0 / (1.0 + ((threshold - count) / 0.05).exp()));
            }
            for (window, &(low, high)) in WINDOWS.iter().enumerate() {
                if count > low && count < high {
                    pattern[4 + 2 * window] += f64::from(count);
                    pattern[5 + 2 * window] += 1.0;
                }
            }
            pattern[12] += f64::from(count);
            pattern[13] += f64::from(count * count);
        }
        for window in 0..WINDOWS.len() {
            pattern[4 + 2 * window] /= pattern[5 + 2 * window].max(1.0);
        }
        for (feature, value) in row.slice_mut(s![n_components..]).iter_mut().zip(pattern) {
            *feature = value.ln_1p();
        }
    }
    features
}

/// The number of features of a cell.
pub(super) fn n_features(n_components: usize) -> usize {
    n_components + N_PATTERNS
}

/// The median library size.
pub(super) fn median(libraries: &[f64]) -> f32 {
    let mut sorted = libraries.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2] as f32
}

impl LibraryModel {
    /// A model that suggests the same library size to every cell.
    pub fn unfitted(n_components: usize) -> Self {
        let n_features = n_features(n_components);
        Self {
            centre: Array1::zeros(n_features),
            scale: Array1::ones(n_features),
            coefficients: Array1::zeros(n_features + 1),
            median: 1.0,
        }
    }

    /// Fits training cells, given their [`features`] and the [`median`] of their library sizes.
    pub fn fit(mut design: Array2<f64>, libraries: &[f64], median: f32) -> Self {
        let (n_cells, n_features) = design.dim();
        let (mut centre, mut scale) = (Array1::<f32>::zeros(n_features), Array1::<f32>::zeros(n_features));
        for (feature, mut column) in design.columns_mut().into_iter().enumerate() {
            let mean = column.sum() / n_cells as f64;
            let deviation = (column.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n_cells as f64).sqrt();
            centre[feature] = mean as f32;
            scale[feature] = if deviation > 1e-6 { deviation as f32 } else { 1.0 };
            column.mapv_inplace(|value| (value - f64::from(centre[feature])) / f64::from(scale[feature]));
        }
        let logs = Array1::from_iter(libraries.iter().map(|library| library.ln()));
        let intercept = logs.sum() / n_cells as f64;
        let target = design.t().dot(&(&logs - intercept));
        let ridge = vec![10.0; n_features]; // ten cells' worth
        let solved =
            least_squares::solve(design.t().dot(&design).view(), &ridge, target.insert_axis(ndarray::Axis(0)).view());
        let mut coefficients = Array1::from_elem(n_features + 1, intercept as f32);
        coefficients.slice_mut(s![1..]).assign(&solved.row(0).mapv(|value| value as f32));
        Self { centre, scale, coefficients, median }
    }

    /// ln(library size) that the components suggest.
    fn suggest(&self, scaled: ArrayView2<f32>, rates: ArrayView2<f32>) -> Vec<f64> {
        let features = features(scaled, rates, self.median);
        features
            .rows()
            .into_iter()
            .map(|row| {
                let mut suggested = f64::from(self.coefficients[0]);
                for (feature, &value) in row.iter().enumerate() {
                    let standard = (value - f64::from(self.centre[feature])) / f64::from(self.scale[feature]);
                    suggested += f64::from(self.coefficients[feature + 1]) * standard;
                }
                suggested
            })
            .collect()
    }

    /// Hands the library sizes of each group to its cells: the largest to the cell that suggests the largest.
    pub fn assign(
        &self,
        scaled: ArrayView2<f32>,
        rates: ArrayView2<f32>,
        library_sizes: &[f64],
        members: &[Vec<usize>],
    ) -> Vec<f64> {
        let suggested = self.suggest(scaled, rates);
        let mut assigned = library_sizes.to_vec();
        for cells in members {
            let mut by_suggestion = cells.clone();
            by_suggestion.sort_by(|&a, &b| suggested[a].total_cmp(&suggested[b]).then(a.cmp(&b)));
            let mut sizes: Vec<f64> = cells.iter().map(|&cell| library_sizes[cell]).collect();
            sizes.sort_by(f64::total_cmp);
            for (cell, size) in by_suggestion.into_iter().zip(sizes) {
                assigned[cell] = size;
            }
        }
        assigned
    }
}

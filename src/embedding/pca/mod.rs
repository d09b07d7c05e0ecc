//! Principal components: fitted on training cells, applied to any cell.

mod chosen;
mod cross_fitted;
mod eigen;
mod krylov;
mod leading;
mod products;
mod projection;
mod sums;

use faer::Mat;
use ndarray::{Array1, Array2, ArrayView2, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use self::chosen::{Chosen, Spectrum};
pub use self::cross_fitted::CrossFitted;
pub(crate) use self::eigen::eigen;
use self::leading::{Effort, leading};
use self::projection::Projection;
use self::sums::CovarianceSums;
use crate::cells::{NOWHERE, SparseMatrix};
use crate::{Error, Result};

/// The covariance of more genes would take gigabytes; products with it do.
const MOST_GENES: usize = 5_000;
/// A component with a smaller share of the largest variance than this is rounding error of sums in 32 bits.
const LEAST_VARIANCE: f64 = 1e-7;

/// Directions that are followed for each component wanted, so that the last components come out well.
const DIRECTIONS_PER_COMPONENT: usize = 2;
/// Of no more genes, all eigenvectors are computed.
const DENSE_GENES: usize = 400;
/// Nor of fewer genes than so many times the directions.
const MOST_DIRECTIONS_SHARE: usize = 4;
/// The error of a component, ‖C v − θ v‖ as a share of its variance θ.
const TOLERANCE: f64 = 1e-6;
/// Rounds after which the components are taken as they are; a few do.
const MOST_ROUNDS: usize = 40;
/// The largest degree of a filter in a round.
const MOST_DEGREE: usize = 10;

/// Takes a block of cells, and which rows of it are training cells.
pub type Visit<'a> = dyn FnMut(&SparseMatrix, &[usize]) + 'a;

/// A fitted principal component analysis.
///
/// **Units** coordinates are log-normalised expression along orthonormal directions, centred on the training cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Pca {
    /// The mean of each gene over the training cells: (n_genes); of every gene, also of those outside the analysis.
    pub mean: Vec<f64>,
    /// The directions: (n_genes, n_components); rows of genes outside the analysis are zero. The sign of a direction is
    /// such that its largest absolute loading is positive.
    pub loadings: Array2<f32>,
    /// The variance of the training cells along each direction (divisor n − 1), falling: (n_components).
    pub variance: Vec<f64>,
    /// The variance as a share of the total variance of the genes in the analysis: (n_components).
    pub variance_ratio: Vec<f64>,
}

impl Pca {
    /// The error, ‖C v − θ v‖ as a share of a component's variance θ, below which the components of many genes are taken.
    pub const TOLERANCE: f64 = 1e-3;

    /// Fits the components to the genes `columns` of the cells `rows`: the eigenvectors of the covariance matrix, of more
    /// than 5,000 genes to within [`Self::TOLERANCE`] where a dozen products reach it.
    ///
    /// **Shapes** `x`: (n_cells, n_genes), log-normalised; `rows`: training cells; `columns`: genes, rising
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] if there are fewer cells or genes than `n_components` needs, or if fewer components have
    /// any variance.
    pub fn fit(x: &SparseMatrix, rows: &[usize], columns: &[usize], n_components: usize) -> Result<Self> {
        let chosen = Chosen::new(x.column_means(rows), columns);
        chosen.check(rows.len(), n_components)?;
        let spectrum = if columns.len() <= MOST_GENES {
            let mut sums = CovarianceSums::new(&chosen, 1);
            sums.add(x, rows);
            leading_of(&sums.finish().0, n_components)?
        } else {
            let walk = |visit: &mut Visit| {
                visit(x, rows);
                Ok(())
            };
            cross_fitted::by_products(&chosen, n_components, &walk)?.0
        };
        Self::of(&chosen, &spectrum, n_components)
    }

    /// The analysis whose components are the first eigenvectors.
    fn of(chosen: &Chosen, spectrum: &Spectrum, n_components: usize) -> Result<Self> {
        let Spectrum { values, vectors, total, .. } = spectrum;
        let n_varying = values[..n_components].iter().filter(|&&value| value > LEAST_VARIANCE * values[0]).count();
        if n_varying < n_components {
            return Err(Error::InvalidParameter {
                name: "n_components".into(),
                value: n_components.to_string(),
                reason: format!("only {n_varying} components of these cells have any variance"),
            });
        }
        let (mean, columns) = (&chosen.mean, &chosen.columns);
        let mut loadings = Array2::zeros((mean.len(), n_components));
        for component in 0..n_components {
            let vector = vectors.col_as_slice(component);
            let largest = vector.iter().fold(0.0_f64, |largest, &v| if v.abs() > largest.abs() { v } else { largest });
            for (&gene, &value) in columns.iter().zip(vector) {
                loadings[[gene, component]] = (value * largest.signum()) as f32;
            }
        }
        let variance = values[..n_components].to_vec();
        let variance_ratio = variance.iter().map(|value| value / total).collect();
        Ok(Self { mean: mean.clone(), loadings, variance, variance_ratio })
    }

    /// Number of genes.
    pub fn n_genes(&self) -> usize {
        self.loadings.nrows()
    }

    /// Number of components.
    pub fn n_components(&self) -> usize {
        self.loadings.ncols()
    }

    /// Projects cells: (x − mean) · loadings.
    ///
    /// **Shapes** `x`: (n_cells, n_genes) → (n_cells, n_components)
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if the cells have another number of genes.
    pub fn transform(&self, x: &SparseMatrix) -> Result<Array2<f32>> {
        if x.n_columns() != self.n_genes() {
            return Err(self.mismatch("cells to project", format!("{} genes", self.n_genes()), x.n_columns(), "genes"));
        }
        let is_used = |gene: &usize| self.loadings.row(*gene).iter().any(|&loading| loading != 0.0);
        let used: Vec<usize> = (0..self.n_genes()).filter(is_used).collect();
        let mut places = vec![NOWHERE; self.n_genes()];
        used.iter().enumerate().for_each(|(place, &gene)| places[gene] = place as u32);
        let means = used.iter().map(|&gene| self.mean[gene]);
        let projection = Projection::new(places, means, &self.loadings.select(Axis(0), &used));
        let mut projected = Array2::zeros((x.n_rows(), self.n_components()));
        projected.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(row, target)| {
            projection.project(x.row(row), target);
        });
        Ok(projected)
    }

    /// The expression that coordinates stand for: mean + coordinates · loadingsᵀ; genes outside the analysis get their mean.
    ///
    /// **Shapes** `coordinates`: (n_cells, n_components) → (n_cells, n_genes), dense
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if there is another number of components.
    pub fn inverse(&self, coordinates: ArrayView2<f32>) -> Result<Array2<f32>> {
        if coordinates.ncols() != self.n_components() {
            let expected = format!("{} components", self.n_components());
            return Err(self.mismatch("coordinates to turn back", expected, coordinates.ncols(), "components"));
        }
        let mean: Array1<f32> = self.mean.iter().map(|&mean| mean as f32).collect();
        Ok(coordinates.dot(&self.loadings.t()) + &mean)
    }

    fn mismatch(&self, what: &str, expected: String, got: usize, of: &str) -> Error {
        Error::ShapeMismatch { what: what.to_owned(), expected, got: format!("{got} {of}") }
    }
}

/// The leading part of a covariance: twice as many eigenvectors as are wanted, of which those wanted are exact.
fn leading_of(covariance: &Mat<f64>, n_wanted: usize) -> Result<Spectrum> {
    let n = covariance.nrows();
    let total = (0..n).map(|gene| covariance[(gene, gene)]).sum();
    let n_directions = (DIRECTIONS_PER_COMPONENT * n_wanted).min(n);
    if n <= DENSE_GENES.max(MOST_DIRECTIONS_SHARE * n_directions) {
        let (rising, vectors) = eigen(covariance)?;
        let values = rising.into_iter().rev().take(n_directions).collect();
        let vectors = Mat::from_fn(n, n_directions, |gene, k| vectors[(gene, n - 1 - k)]);
        return Ok(Spectrum { values, vectors, total, error: 0.0 });
    }
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let start = Mat::from_fn(n, n_directions, |_, _| StandardNormal.sample(&mut rng));
    let effort = Effort { tolerance: TOLERANCE, most_rounds: MOST_ROUNDS, most_degree: MOST_DEGREE };
    let (values, vectors) = leading(covariance.clone(), start, n_wanted, effort)?;
    Ok(Spectrum { values, vectors, total, error: TOLERANCE })
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Cells in `n_genes` genes, a third of the values zero, with a few directions of larger variance.
    fn matrix(n_cells: usize, n_genes: usize, share: f64) -> SparseMatrix {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let rows = (0..n_cells).map(|_| {
            let scores: Vec<f32> = (0..3).map(|k| rng.random::<f32>() * (3 - k) as f32).collect();
            (0..n_genes as u32)
                .filter_map(|gene| {
                    let value = 1.0 + scores[gene as usize % 3] + 0.3 * rng.random::<f32>();
                    rng.random_bool(share).then_some((gene, value))
                })
                .collect()
        });
        SparseMatrix::from_rows(n_genes, rows.collect::<Vec<_>>())
    }

    #[test]
    fn components_are_the_eigenvectors_of_the_covariance() {
        let x = matrix(300, 150, 0.7);
        let rows: Vec<usize> = (0..290).collect();
        let columns: Vec<usize> = (0..150).filter(|gene| gene % 7 != 0).collect();
        let pca = Pca::fit(&x, &rows, &columns, 5).unwrap();
        let dense = x.to_dense().mapv(f64::from).select(Axis(0), &rows);
        let centred = &dense - &dense.mean_axis(Axis(0)).unwrap();
        let covariance = centred.t().dot(&centred) / 289.0;
        for k in 0..5 {
            let vector = pca.loadings.column(k).mapv(f64::from);
            let image = covariance.dot(&vector);
            for &gene in &columns {
                assert!((image[gene] - pca.variance[k] * vector[gene]).abs() < 1e-5 * pca.variance[0], "{k} {gene}");
            }
            assert!((vector.dot(&vector) - 1.0).abs() < 1e-5);
            let largest = vector.iter().fold(0.0_f64, |a, &b| if b.abs() > a.abs() { b } else { a });
            assert!(largest > 0.0 && vector[0] == 0.0 && vector[7] == 0.0);
        }
        assert!(pca.variance.is_sorted_by(|a, b| a >= b));
        let total: f64 = columns.iter().map(|&gene| covariance[[gene, gene]]).sum();
        assert!((pca.variance_ratio[0] - pca.variance[0] / total).abs() < 1e-6);
    }

    #[test]
    fn leading_eigenvectors_are_those_of_the_whole_decomposition() {
        let x = matrix(900, 500, 0.3);
        let (rows, columns): (Vec<usize>, Vec<usize>) = ((0..900).collect(), (0..500).collect());
        let chosen = Chosen::new(x.column_means(&rows), &columns);
        let mut sums = CovarianceSums::new(&chosen, 3);
        sums.add(&x, &rows);
        let covariance = sums.finish().0;
        let Spectrum { values, vectors, .. } = leading_of(&covariance, 20).unwrap();
        let (all_values, all_vectors) = eigen(&covariance).unwrap();
        for k in 0..20 {
            assert!(
                (values[k] / all_values[499 - k] - 1.0).abs() < 1e-10,
                "{k}: {} {}",
                values[k],
                all_values[499 - k]
            );
            let of = vectors.col_as_slice(k).iter().zip(all_vectors.col_as_slice(499 - k));
            let overlap: f64 = of.map(|(a, b)| a * b).sum();
            assert!(overlap.abs() > 1.0 - 1e-8, "{k}: {overlap}");
        }
    }

    #[test]
    fn products_find_the_components_that_the_covariance_has() {
        let x = matrix(700, 400, 0.3);
        let (rows, columns): (Vec<usize>, Vec<usize>) =
            ((0..690).collect(), (0..400).filter(|gene| gene % 5 != 2).collect());
        let exact = Pca::fit(&x, &rows, &columns, 3).unwrap();
        let chosen = Chosen::new(x.column_means(&rows), &columns);
        let walk = |visit: &mut Visit| {
            rows.chunks(100).for_each(|rows| visit(&x, rows));
            Ok(())
        };
        let spectrum = cross_fitted::by_products(&chosen, 3, &walk).unwrap().0;
        assert!(spectrum.error < Pca::TOLERANCE, "{}", spectrum.error);
        let found = Pca::of(&chosen, &spectrum, 3).unwrap();
        for k in 0..3 {
            assert!((found.variance[k] / exact.variance[k] - 1.0).abs() < 1e-5, "{k}");
            assert!((found.variance_ratio[k] / exact.variance_ratio[k] - 1.0).abs() < 1e-5, "{k}");
            let overlap: f32 = found.loadings.column(k).dot(&exact.loadings.column(k));
            assert!(overlap > 1.0 - 1e-4, "{k}: {overlap}");
        }
        let error = cross_fitted::by_products(&chosen, 321, &walk).err().unwrap().to_string();
        assert!(error.contains("allow 1 to 320"), "{error}");
    }

    #[test]
    fn coordinates_have_the_variance_of_their_component_and_turn_back() {
        let x = matrix(60, 12, 0.8);
        let (rows, columns): (Vec<usize>, Vec<usize>) = ((0..60).collect(), (0..12).collect());
        let pca = Pca::fit(&x, &rows, &columns, 12).unwrap();
        let coordinates = pca.transform(&x).unwrap();
        for k in 0..12 {
            let column = coordinates.column(k);
            assert!(column.mean().unwrap().abs() < 1e-5);
            let variance: f64 = column.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / 59.0;
            assert!((variance - pca.variance[k]).abs() < 1e-4 * pca.variance[0]);
        }
        let back = pca.inverse(coordinates.view()).unwrap();
        assert!((back - x.to_dense()).iter().all(|difference| difference.abs() < 1e-4));
    }

    #[test]
    fn genes_outside_are_turned_back_to_their_mean() {
        let x = matrix(40, 9, 0.8);
        let pca = Pca::fit(&x, &(0..40).collect::<Vec<_>>(), &[1, 2, 3, 4], 2).unwrap();
        let back = pca.inverse(pca.transform(&x).unwrap().view()).unwrap();
        assert!(back.column(0).iter().all(|&value| (f64::from(value) - pca.mean[0]).abs() < 1e-6));
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let x = matrix(600, 300, 0.4);
        let (rows, columns): (Vec<usize>, Vec<usize>) = ((0..500).collect(), (0..300).collect());
        let run = |n_threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            pool.install(|| {
                let pca = Pca::fit(&x, &rows, &columns, 10).unwrap();
                (pca.transform(&x).unwrap(), pca)
            })
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn more_components_than_the_data_have_are_refused() {
        let x = matrix(20, 9, 0.8);
        let rows: Vec<usize> = (0..20).collect();
        let message = |columns: &[usize], n: usize| Pca::fit(&x, &rows, columns, n).unwrap_err().to_string();
        assert!(message(&[0, 1, 2], 4).contains("20 training cells and 3 variable genes allow 1 to 3"));
        assert!(message(&[0, 1, 2], 0).contains("allow 1 to 3"));
        let constant = SparseMatrix::from_rows(3, vec![vec![(0, 1.0), (1, 2.0)]; 5]);
        let error = Pca::fit(&constant, &[0, 1, 2, 3, 4], &[0, 1, 2], 2).unwrap_err().to_string();
        assert!(error.contains("only 0 components"), "{error}");
        assert!(Pca::fit(&x, &rows, &[0, 1, 2], 2).unwrap().transform(&constant).is_err());
    }
}

//! Coordinates of cells on components that were fitted without them.

use faer::Mat;
use ndarray::{Array1, Array2, Axis};
use rayon::prelude::*;

use super::eigen::eigen;
use super::leading::{Effort, leading, product};
use super::{CovarianceSums, Pca, Sums};
use crate::Result;
use crate::cells::SparseMatrix;

/// Parts of the cells, each left out in turn.
const N_PARTS: usize = 10;
/// Where the components without a part are taken as they are: they start near, at those of all cells.
const EFFORT: Effort = Effort { tolerance: 1e-4, most_rounds: 1, most_degree: 4 };
/// A smaller share of the largest eigenvalue of an overlap is rounding error.
const LEAST_OVERLAP: f64 = 1e-10;

/// Components of all training cells, and for each part of the cells the components of the others.
///
/// Components follow the noise of the cells that they are fitted to, so that these cells spread wider along them than
/// unseen cells of the same kind, the more so the fewer the cells. Each tenth of the cells is therefore projected on
/// components fitted to the others, turned to agree with those of all cells.
pub struct CrossFitted {
    /// The components of all training cells.
    pub pca: Pca,
    /// The place of each gene among the chosen, or `u32::MAX`.
    position: Vec<u32>,
    /// The means of the chosen genes.
    centre: Array1<f64>,
    /// The components without each part: (n_chosen, n_components).
    parts: Vec<Array2<f64>>,
}

impl CrossFitted {
    /// Begins the sums of [`Self::fit`]; as [`CovarianceSums::new`].
    ///
    /// # Errors
    /// Those of [`CovarianceSums::new`].
    pub fn sums(mean: Vec<f64>, columns: &[usize]) -> Result<CovarianceSums> {
        CovarianceSums::new(mean, columns, N_PARTS)
    }

    /// Finds the components; those without a part are the leading eigenvectors of C − Σ x xᵀ/(n − 1) over the part, found
    /// by subspace iteration, then turned by the orthogonal matrix that brings them
    /// nearest to the components of all cells (Schönemann 1966). The mean stays that of all cells.
    ///
    /// # Errors
    /// Those of [`Pca::fit`].
    pub fn fit(sums: CovarianceSums, n_components: usize) -> Result<Self> {
        let sums = sums.finish();
        let (pca, vectors) = Pca::decompose(&sums, n_components)?;
        let Sums { columns, position, whole, parts, .. } = sums;
        let n_chosen = columns.len();
        let wanted = Mat::from_fn(n_chosen, n_components, |gene, k| f64::from(pca.loadings[[columns[gene], k]]));
        let part = |number: usize| components(parts.without(&whole, number), &vectors, &wanted);
        let parts = (0..parts.len()).into_par_iter().map(part).collect::<Result<_>>()?;
        let centre = columns.iter().map(|&gene| pca.mean[gene]).collect();
        Ok(Self { pca, position, centre, parts })
    }

    /// The coordinates of training cells on the components fitted without them; the first of `rows` came to the sums as
    /// number `first`, the others after it.
    ///
    /// **Shapes** `x`: (n_cells, n_genes), log-normalised → (n_rows, n_components)
    pub fn coordinates(&self, x: &SparseMatrix, rows: &[usize], first: usize) -> Array2<f32> {
        let offsets: Vec<Array1<f64>> = self.parts.iter().map(|part| -self.centre.dot(part)).collect();
        let mut coordinates = Array2::zeros((rows.len(), self.pca.n_components()));
        coordinates.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(number, mut target)| {
            let part = (first + number) % self.parts.len();
            let mut scores = offsets[part].clone();
            let (genes, values) = x.row(rows[number]);
            for (&gene, &value) in genes.iter().zip(values) {
                let place = self.position[gene as usize];
                if place != u32::MAX {
                    scores.scaled_add(f64::from(value), &self.parts[part].row(place as usize));
                }
            }
            target.assign(&scores.mapv(|score| score as f32));
        });
        coordinates
    }
}

/// The leading eigenvectors of a covariance near that of all cells: (n_chosen, n_components).
fn components(covariance: Mat<f64>, start: &Mat<f64>, wanted: &Mat<f64>) -> Result<Array2<f64>> {
    let (_, vectors) = leading(covariance, start.clone(), wanted.ncols(), EFFORT)?;
    let found = vectors.subcols(0, wanted.ncols());
    let overlap = product(found.transpose(), wanted.as_ref());
    let turned = product(found, polar(&overlap)?.as_ref());
    Ok(Array2::from_shape_fn((turned.nrows(), turned.ncols()), |(gene, k)| turned[(gene, k)]))
}

/// The orthogonal factor of a square matrix, M (MᵀM)^−½.
fn polar(matrix: &Mat<f64>) -> Result<Mat<f64>> {
    let n = matrix.ncols();
    let (values, vectors) = eigen(&product(matrix.transpose(), matrix.as_ref()))?;
    let greatest = values.last().copied().unwrap_or(0.0).max(f64::MIN_POSITIVE);
    let scaled = Mat::from_fn(n, n, |i, k| vectors[(i, k)] / values[k].max(LEAST_OVERLAP * greatest).sqrt());
    let root = product(scaled.as_ref(), vectors.transpose());
    Ok(product(matrix.as_ref(), root.as_ref()))
}

#[cfg(test)]
mod tests {
    use ndarray::ArrayView1;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    /// Components and the coordinates of the cells without them.
    fn cross_fit(x: &SparseMatrix, rows: &[usize], columns: &[usize], n_components: usize) -> (Pca, Array2<f32>) {
        let mut sums = CrossFitted::sums(x.column_means(rows), columns).unwrap();
        sums.add(x, rows);
        let fitted = CrossFitted::fit(sums, n_components).unwrap();
        let coordinates = fitted.coordinates(x, rows, 0);
        (fitted.pca, coordinates)
    }

    /// Cells with three true directions in `n_genes` genes of unit noise.
    fn noisy(n_cells: usize, n_genes: usize, seed: u64) -> SparseMatrix {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut normal = || -> f32 { StandardNormal.sample(&mut rng) };
        let rows = (0..n_cells).map(|_| {
            let scores = [6.0 * normal(), 4.0 * normal(), 3.0 * normal()];
            let value = |gene: usize, noise: f32| 5.0 + noise + if gene < 30 { scores[gene % 3] } else { 0.0 };
            (0..n_genes).map(|gene| (gene as u32, value(gene, normal()))).collect::<Vec<_>>()
        });
        SparseMatrix::from_rows(n_genes, rows.collect::<Vec<_>>())
    }

    fn spread(coordinates: &Array2<f32>, k: usize) -> f64 {
        let column = coordinates.column(k).mapv(f64::from);
        column.var(1.0)
    }

    #[test]
    fn left_out_cells_spread_as_unseen_cells_do() {
        let (n_cells, n_genes) = (160, 200);
        let all = noisy(1160, n_genes, 1);
        let (rows, columns): (Vec<usize>, Vec<usize>) = ((0..n_cells).collect(), (0..n_genes).collect());
        let (pca, cross_fitted) = cross_fit(&all, &rows, &columns, 6);
        let everything = pca.transform(&all).unwrap();
        let unseen = everything.select(Axis(0), &(n_cells..1160).collect::<Vec<_>>());
        for k in 0..6 {
            let (fitted, left_out, truth) = (pca.variance[k], spread(&cross_fitted, k), spread(&unseen, k));
            if k < 3 {
                assert!((left_out / fitted - 1.0).abs() < 0.06, "{k}: {left_out} {fitted}");
            } else {
                // Components of noise alone: fitted to it, their variance is 3 times that of unseen cells.
                assert!(fitted > 2.0 * truth && left_out < 1.25 * truth, "{k}: {fitted} {left_out} {truth}");
            }
        }
        // The leading coordinates of a cell hardly change.
        let gap = &cross_fitted.column(0) - &everything.column(0).slice(ndarray::s![..n_cells]);
        assert!(gap.mapv(|gap| gap * gap).mean().unwrap() < 0.02 * pca.variance[0] as f32);
    }

    #[test]
    fn the_components_without_a_part_are_those_of_the_other_cells() {
        let x = noisy(90, 40, 2);
        let (rows, columns): (Vec<usize>, Vec<usize>) = ((0..90).collect(), (0..40).collect());
        let (pca, cross_fitted) = cross_fit(&x, &rows, &columns, 3);
        let others: Vec<usize> = (0..90).filter(|row| row % 10 != 4).collect();
        let without = Pca { mean: pca.mean.clone(), ..Pca::fit(&x, &others, &columns, 3).unwrap() };
        // The same cell on both: the lengths agree, whatever the turn.
        let length = |point: ArrayView1<f32>| point.dot(&point).sqrt();
        for cell in [4, 14, 84] {
            let (a, b) = (length(cross_fitted.row(cell)), length(without.transform(&x).unwrap().row(cell)));
            assert!((a - b).abs() < 0.01 * pca.variance[0].sqrt() as f32, "{cell}: {a} {b}");
        }
    }

    #[test]
    fn fewer_cells_than_components_and_parts_are_no_trouble() {
        let x = noisy(7, 12, 3);
        let (rows, columns): (Vec<usize>, Vec<usize>) = ((0..7).collect(), (0..12).collect());
        let (_, cross_fitted) = cross_fit(&x, &rows, &columns, 6);
        assert!(cross_fitted.iter().all(|value| value.is_finite()));
    }
}

//! Coordinates of cells on components that were fitted without them.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use ndarray::{Array1, Array2, ArrayView1, ArrayViewMut2, Axis};
use rayon::prelude::*;

use super::Pca;
use super::covariance::eigen;
use crate::Result;
use crate::cells::SparseMatrix;

/// Parts of the cells, each left out in turn.
const N_PARTS: usize = 10;
/// Directions that are followed for each component wanted, so that the last components come out well.
const DIRECTIONS_PER_COMPONENT: usize = 2;
/// Rounds of subspace iteration from the components of all cells, which lie near.
const N_ROUNDS: usize = 4;
/// A direction shorter than this beside a unit vector is rounding error.
const SHORTEST: f64 = 1e-10;

/// The coordinates of the cells `rows`, in their order: (n_rows, n_components).
///
/// The components without a part of the cells are the leading eigenvectors of C − Σ x xᵀ/(n − 1) over the part, found by
/// subspace iteration with a Rayleigh–Ritz step at its end, then turned by the orthogonal matrix that brings them nearest
/// to the components of all cells (Schönemann 1966). The mean stays that of all cells.
pub(super) fn coordinates(
    x: &SparseMatrix,
    rows: &[usize],
    columns: &[usize],
    pca: &Pca,
    covariance: &Mat<f64>,
    vectors: &Mat<f64>,
) -> Result<Array2<f32>> {
    let (n_chosen, n_components) = (columns.len(), pca.n_components());
    let n_directions = (DIRECTIONS_PER_COMPONENT * n_components).min(n_chosen);
    let whole = Mat::from_fn(n_chosen, n_chosen, |i, j| covariance[(i.max(j), i.min(j))]);
    let start = Mat::from_fn(n_chosen, n_directions, |gene, k| vectors[(gene, n_chosen - 1 - k)]);
    let wanted = Mat::from_fn(n_chosen, n_components, |gene, k| f64::from(pca.loadings[[columns[gene], k]]));
    let mut position = vec![usize::MAX; x.n_columns()];
    columns.iter().enumerate().for_each(|(at, &gene)| position[gene] = at);
    let centre: Vec<f64> = columns.iter().map(|&gene| pca.mean[gene]).collect();
    let n_parts = N_PARTS.min(rows.len());
    let part = |number: usize| -> Result<(Vec<usize>, Array2<f32>)> {
        let places: Vec<usize> = (number..rows.len()).step_by(n_parts).collect();
        let cells =
            Part { x, rows: places.iter().map(|&place| rows[place]).collect(), position: &position, centre: &centre };
        let components = cells.components_without(whole.as_ref(), &start, &wanted, 1.0 / (rows.len() as f64 - 1.0))?;
        let mut of_part = Array2::zeros((places.len(), n_components));
        cells.project(components.as_ref(), of_part.view_mut());
        Ok((places, of_part))
    };
    let parts: Vec<(Vec<usize>, Array2<f32>)> = (0..n_parts).into_par_iter().map(part).collect::<Result<_>>()?;
    let mut coordinates = Array2::zeros((rows.len(), n_components));
    for (places, of_part) in &parts {
        for (&place, row) in places.iter().zip(of_part.axis_iter(Axis(0))) {
            coordinates.row_mut(place).assign(&row);
        }
    }
    Ok(coordinates)
}

/// Cells that are left out together.
struct Part<'a> {
    x: &'a SparseMatrix,
    rows: Vec<usize>,
    /// The place of each gene among the chosen.
    position: &'a [usize],
    /// The means of the chosen genes.
    centre: &'a [f64],
}

impl Part<'_> {
    /// The leading components without these cells: (n_chosen, n_components).
    fn components_without(
        &self,
        whole: MatRef<'_, f64>,
        start: &Mat<f64>,
        wanted: &Mat<f64>,
        scale: f64,
    ) -> Result<Mat<f64>> {
        let n_components = wanted.ncols();
        let mut directions = start.clone();
        let mut image = self.image_without(whole, &directions, scale);
        for _ in 1..N_ROUNDS {
            directions = image;
            orthonormalise(&mut directions);
            image = self.image_without(whole, &directions, scale);
        }
        let (_, turns) = eigen(&product(directions.transpose(), image.as_ref()))?;
        let n_directions = directions.ncols();
        let leading = Mat::from_fn(n_directions, n_components, |i, k| turns[(i, n_directions - 1 - k)]);
        let found = product(directions.as_ref(), leading.as_ref());
        let overlap = product(found.transpose(), wanted.as_ref());
        Ok(product(found.as_ref(), polar(&overlap)?.as_ref()))
    }

    /// (C − scale · Σ x xᵀ) Q.
    fn image_without(&self, whole: MatRef<'_, f64>, directions: &Mat<f64>, scale: f64) -> Mat<f64> {
        let n_directions = directions.ncols();
        let rowwise = Array2::from_shape_fn((directions.nrows(), n_directions), |(gene, k)| directions[(gene, k)]);
        let offset = ArrayView1::from(self.centre).dot(&rowwise);
        let mut removed = Array2::<f64>::zeros(rowwise.dim());
        let mut sum = Array1::<f64>::zeros(n_directions);
        let mut scores = Array1::<f64>::zeros(n_directions);
        for &row in &self.rows {
            scores.assign(&offset);
            scores.mapv_inplace(|value| -value);
            self.each(row, |gene, value| scores.scaled_add(value, &rowwise.row(gene)));
            self.each(row, |gene, value| removed.row_mut(gene).scaled_add(value, &scores));
            sum += &scores;
        }
        // The zeros of the cells, once centred, are −mean: Σ x s = Σ (raw x) s − mean Σ s.
        let mut image = product(whole, directions.as_ref());
        for k in 0..n_directions {
            for (gene, value) in image.col_as_slice_mut(k).iter_mut().enumerate() {
                *value -= scale * (removed[[gene, k]] - self.centre[gene] * sum[k]);
            }
        }
        image
    }

    fn project(&self, components: MatRef<'_, f64>, mut target: ArrayViewMut2<'_, f32>) {
        let rowwise =
            Array2::from_shape_fn((components.nrows(), components.ncols()), |(gene, k)| components[(gene, k)]);
        let offset = ArrayView1::from(self.centre).dot(&rowwise);
        for (&row, mut target) in self.rows.iter().zip(target.axis_iter_mut(Axis(0))) {
            let mut scores = -&offset;
            self.each(row, |gene, value| scores.scaled_add(value, &rowwise.row(gene)));
            target.assign(&scores.mapv(|score| score as f32));
        }
    }

    fn each(&self, row: usize, mut act: impl FnMut(usize, f64)) {
        let (genes, values) = self.x.row(row);
        for (&gene, &value) in genes.iter().zip(values) {
            let place = self.position[gene as usize];
            if place != usize::MAX {
                act(place, f64::from(value));
            }
        }
    }
}

/// A B on one thread, so that no sum depends on the number of threads.
fn product(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    let mut product = Mat::zeros(a.nrows(), b.ncols());
    matmul(product.as_mut(), Accum::Replace, a, b, 1.0, Par::Seq);
    product
}

/// Gram–Schmidt, twice; what is left of a direction that depends on those before it is set to zero.
fn orthonormalise(matrix: &mut Mat<f64>) {
    for k in 0..matrix.ncols() {
        let mut column = Array1::from(matrix.col_as_slice(k).to_vec());
        let length = column.dot(&column).sqrt();
        for _ in 0..2 {
            for before in 0..k {
                let before = ArrayView1::from(matrix.col_as_slice(before));
                let overlap = before.dot(&column);
                column.scaled_add(-overlap, &before);
            }
        }
        let rest = column.dot(&column).sqrt();
        column *= if rest > SHORTEST * length { 1.0 / rest } else { 0.0 };
        matrix.col_as_slice_mut(k).iter_mut().zip(&column).for_each(|(value, column)| *value = *column);
    }
}

/// The orthogonal factor of a square matrix, M (MᵀM)^−½.
fn polar(matrix: &Mat<f64>) -> Result<Mat<f64>> {
    let n = matrix.ncols();
    let (values, vectors) = eigen(&product(matrix.transpose(), matrix.as_ref()))?;
    let greatest = values.last().copied().unwrap_or(0.0).max(f64::MIN_POSITIVE);
    let scaled = Mat::from_fn(n, n, |i, k| vectors[(i, k)] / values[k].max(SHORTEST * greatest).sqrt());
    let root = product(scaled.as_ref(), vectors.transpose());
    Ok(product(matrix.as_ref(), root.as_ref()))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

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
        let (pca, cross_fitted) = Pca::cross_fit(&all, &rows, &columns, 6).unwrap();
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
        let (pca, cross_fitted) = Pca::cross_fit(&x, &rows, &columns, 3).unwrap();
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
        let (_, cross_fitted) = Pca::cross_fit(&x, &rows, &columns, 6).unwrap();
        assert!(cross_fitted.iter().all(|value| value.is_finite()));
    }
}

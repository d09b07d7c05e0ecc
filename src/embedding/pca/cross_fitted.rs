//! Coordinates of cells on components that were fitted without them.

use faer::{Mat, MatRef};
use ndarray::{Array2, Axis};
use rayon::prelude::*;

use super::chosen::{Chosen, Spectrum, Walk};
use super::eigen::eigen;
use super::krylov::krylov;
use super::leading::{nearby, orthonormalise, product};
use super::products::{Grams, Products};
use super::projection::Projection;
use super::sums::CovarianceSums;
use super::{DIRECTIONS_PER_COMPONENT, MOST_GENES, Pca, leading_of};
use crate::Result;
use crate::cells::SparseMatrix;

/// Parts of the cells, each left out in turn.
const N_PARTS: usize = 10;
/// The largest degree of the filter that finds the components without a part: they are near those of all cells.
const MOST_DEGREE: usize = 4;
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
    /// The largest ‖C v − θ v‖/θ of a component: how well they are known.
    pub error: f64,
    /// The components without each part.
    parts: Vec<Projection>,
}

impl CrossFitted {
    /// Finds the components of the genes `columns`, rising; `mean` holds the mean of every gene over the training cells,
    /// and `walk` goes through these, each time in the same order.
    ///
    /// Of up to 5,000 genes the covariance C is summed up, in one walk; the components without a part are the leading
    /// eigenvectors of C − Σ x xᵀ/(n − 1) over the part, found by a filter from those of all. Of more genes only products of
    /// C with directions are, in several walks (`krylov`); the components without a part then come from one such
    /// product. In the end they are turned by the orthogonal matrix that brings them nearest to the components of all
    /// cells (Schönemann 1966). The mean stays that of all cells.
    ///
    /// # Errors
    /// Those of [`Pca::fit`] and of `walk`.
    pub fn fit(mean: Vec<f64>, columns: &[usize], n_components: usize, walk: &Walk) -> Result<Self> {
        let chosen = Chosen::new(mean, columns);
        match columns.len() <= MOST_GENES {
            true => Self::by_covariance(chosen, n_components, walk),
            false => Self::by_products(chosen, n_components, walk),
        }
    }

    fn by_covariance(chosen: Chosen, n_components: usize, walk: &Walk) -> Result<Self> {
        let mut sums = CovarianceSums::new(&chosen, N_PARTS);
        walk(&mut |x, rows| sums.add(x, rows))?;
        let (whole, parts, n_cells) = sums.finish();
        chosen.check(n_cells, n_components)?;
        let spectrum = leading_of(&whole, n_components)?;
        let range = (spectrum.values[0], spectrum.values[spectrum.values.len() - 1]);
        let without = |part: usize| {
            let near = nearby(parts.without(&whole, part).as_ref(), &spectrum.vectors, range, MOST_DEGREE)?;
            turned(near.subcols(0, n_components), spectrum.vectors.subcols(0, n_components))
        };
        let fitted = (0..N_PARTS).into_par_iter().map(without).collect::<Result<_>>()?;
        Self::of(chosen, &spectrum, n_components, fitted)
    }

    fn by_products(chosen: Chosen, n_components: usize, walk: &Walk) -> Result<Self> {
        let (spectrum, images, n_cells) = by_products(&chosen, n_components, walk)?;
        let scale = 1.0 / (n_cells as f64 - 1.0);
        let mut products = Products::new(&chosen, &spectrum.vectors, N_PARTS);
        walk(&mut |x, rows| products.add(x, rows))?;
        let without = |of_part: Mat<f64>| {
            let mut directions = &images - faer::Scale(scale) * of_part;
            orthonormalise(&Mat::zeros(directions.nrows(), 0), &mut directions);
            directions
        };
        let directions: Vec<Mat<f64>> = products.finish().into_par_iter().map(without).collect();
        let mut grams = Grams::new(&chosen, &directions);
        walk(&mut |x, rows| grams.add(x, rows))?;
        let within = |(directions, gram): (Mat<f64>, Mat<f64>)| {
            let (_, turns) = eigen(&gram)?;
            let n = turns.ncols();
            let turns = Mat::from_fn(n, n_components, |i, k| turns[(i, n - 1 - k)]);
            let found = product(directions.as_ref(), turns.as_ref());
            turned(found.as_ref(), spectrum.vectors.subcols(0, n_components))
        };
        let fitted = directions.into_par_iter().zip(grams.finish()).map(within).collect::<Result<_>>()?;
        Self::of(chosen, &spectrum, n_components, fitted)
    }

    /// Puts the parts together, which were turned to eigenvectors of any sign.
    fn of(chosen: Chosen, spectrum: &Spectrum, n_components: usize, mut parts: Vec<Array2<f64>>) -> Result<Self> {
        let pca = Pca::of(&chosen, spectrum, n_components)?;
        for k in 0..n_components {
            let vector = spectrum.vectors.col_as_slice(k);
            let is_turned = chosen
                .columns
                .iter()
                .zip(vector)
                .any(|(&gene, value)| f64::from(pca.loadings[[gene, k]]) * value < 0.0);
            if is_turned {
                parts.iter_mut().for_each(|part| part.column_mut(k).mapv_inplace(|value| -value));
            }
        }
        let narrow = |part: Array2<f64>| {
            Projection::new(chosen.places().to_vec(), chosen.means(), &part.mapv(|loading| loading as f32))
        };
        let parts = parts.into_iter().map(narrow).collect();
        Ok(Self { pca, error: spectrum.error, parts })
    }

    /// The coordinates of training cells on the components fitted without them; the first of `rows` came to the sums as
    /// number `first`, the others after it.
    ///
    /// **Shapes** `x`: (n_cells, n_genes), log-normalised → (n_rows, n_components)
    pub fn coordinates(&self, x: &SparseMatrix, rows: &[usize], first: usize) -> Array2<f32> {
        let mut coordinates = Array2::zeros((rows.len(), self.pca.n_components()));
        coordinates.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(number, target)| {
            self.parts[(first + number) % self.parts.len()].project(x.row(rows[number]), target);
        });
        coordinates
    }
}

/// The components by products alone, C times more eigenvectors than there are components, and the number of cells.
pub(super) fn by_products(chosen: &Chosen, n_components: usize, walk: &Walk) -> Result<(Spectrum, Mat<f64>, usize)> {
    let (mut n_cells, mut squares) = (0, 0.0);
    walk(&mut |x, rows| {
        n_cells += rows.len();
        for &row in rows {
            let add = |(place, value): (usize, f32)| {
                let mean = chosen.mean[chosen.columns[place]];
                f64::from(value) * (f64::from(value) - 2.0 * mean)
            };
            squares += chosen.of_cell(x, row).map(add).sum::<f64>();
        }
    })?;
    chosen.check(n_cells, n_components)?;
    squares += n_cells as f64 * chosen.means().map(|mean| mean * mean).sum::<f64>();
    let scale = 1.0 / (n_cells as f64 - 1.0);
    let mut multiply = |directions: &Mat<f64>| {
        let mut products = Products::new(chosen, directions, 1);
        walk(&mut |x, rows| products.add(x, rows))?;
        Ok(faer::Scale(scale) * products.finish().remove(0))
    };
    let n_kept = DIRECTIONS_PER_COMPONENT * n_components;
    let found = krylov(chosen.len(), n_components, n_kept, &mut multiply)?;
    let spectrum =
        Spectrum { values: found.values, vectors: found.vectors, total: scale * squares, error: found.error };
    Ok((spectrum, found.images, n_cells))
}

/// Orthonormal directions, turned to lie nearest to others: (n_chosen, n_components).
fn turned(found: MatRef<'_, f64>, wanted: MatRef<'_, f64>) -> Result<Array2<f64>> {
    let overlap = product(found.transpose(), wanted);
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
    use crate::embedding::pca::Visit;

    type Way = fn(Chosen, usize, &Walk) -> Result<CrossFitted>;
    const WAYS: [Way; 2] = [CrossFitted::by_covariance, CrossFitted::by_products];

    /// Components and the coordinates of the cells without them.
    fn cross_fit(x: &SparseMatrix, rows: &[usize], columns: &[usize], n: usize, way: Way) -> (Pca, Array2<f32>) {
        let walk = |visit: &mut Visit| {
            visit(x, rows);
            Ok(())
        };
        let fitted = way(Chosen::new(x.column_means(rows), columns), n, &walk).unwrap();
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
        // One product with the other cells leaves a little of the noise that a filter takes away.
        for (way, most) in WAYS.into_iter().zip([1.25, 1.4]) {
            check_spread(&all, &rows, &columns, way, most);
        }
    }

    /// Of components of noise, `most` is how far their variance may be above that of unseen cells.
    fn check_spread(all: &SparseMatrix, rows: &[usize], columns: &[usize], way: Way, most: f64) {
        let n_cells = rows.len();
        let (pca, cross_fitted) = cross_fit(all, rows, columns, 6, way);
        let everything = pca.transform(all).unwrap();
        let unseen = everything.select(Axis(0), &(n_cells..1160).collect::<Vec<_>>());
        for k in 0..6 {
            let (fitted, left_out, truth) = (pca.variance[k], spread(&cross_fitted, k), spread(&unseen, k));
            if k < 3 {
                assert!((left_out / fitted - 1.0).abs() < 0.06, "{k}: {left_out} {fitted}");
            } else {
                // Components of noise alone: fitted to it, their variance is 3 times that of unseen cells.
                assert!(fitted > 2.0 * truth && left_out < most * truth, "{k}: {fitted} {left_out} {truth}");
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
        for way in WAYS {
            let (pca, cross_fitted) = cross_fit(&x, &rows, &columns, 3, way);
            check_lengths(&x, &columns, &pca, &cross_fitted);
        }
    }

    fn check_lengths(x: &SparseMatrix, columns: &[usize], pca: &Pca, cross_fitted: &Array2<f32>) {
        let others: Vec<usize> = (0..90).filter(|row| row % 10 != 4).collect();
        let without = Pca { mean: pca.mean.clone(), ..Pca::fit(x, &others, columns, 3).unwrap() };
        // The same cell on both: the lengths agree, whatever the turn.
        let length = |point: ArrayView1<f32>| point.dot(&point).sqrt();
        for cell in [4, 14, 84] {
            let (a, b) = (length(cross_fitted.row(cell)), length(without.transform(x).unwrap().row(cell)));
            assert!((a - b).abs() < 0.01 * pca.variance[0].sqrt() as f32, "{cell}: {a} {b}");
        }
    }

    #[test]
    fn fewer_cells_than_components_and_parts_are_no_trouble() {
        let x = noisy(7, 12, 3);
        let (rows, columns): (Vec<usize>, Vec<usize>) = ((0..7).collect(), (0..12).collect());
        for way in WAYS {
            let (_, cross_fitted) = cross_fit(&x, &rows, &columns, 6, way);
            assert!(cross_fitted.iter().all(|value| value.is_finite()));
        }
    }
}

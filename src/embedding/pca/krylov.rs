//! The leading eigenvectors of a covariance that is only known by its products.

use faer::Mat;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::Pca;
use super::eigen::eigen;
use super::leading::{beside, orthonormalise, product};
use crate::Result;

/// Random directions beyond the components wanted.
const OVERSAMPLING: usize = 10;
/// Products after which components are taken as they are.
const MOST_PRODUCTS: usize = 12;

/// Leading eigenvectors.
pub(super) struct Found {
    /// Falling; as many as there are vectors.
    pub(super) values: Vec<f64>,
    /// (n, n_kept)
    pub(super) vectors: Mat<f64>,
    /// C times the vectors.
    pub(super) images: Mat<f64>,
    /// The largest ‖C v − θ v‖/θ of a vector wanted.
    pub(super) error: f64,
}

/// Randomised block Krylov iteration (Musco & Musco 2015, arXiv 1504.05477): the eigenvectors within the span of
/// Ω, C Ω, C² Ω, … of random directions Ω. `multiply` is C times directions; of what is found, `n_kept` vectors are kept,
/// the first `n_wanted` of them good.
///
/// # Errors
/// Those of `multiply`.
pub(super) fn krylov(
    n: usize,
    n_wanted: usize,
    n_kept: usize,
    multiply: &mut dyn FnMut(&Mat<f64>) -> Result<Mat<f64>>,
) -> Result<Found> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut open = Mat::from_fn(n, (n_wanted + OVERSAMPLING).min(n), |_, _| StandardNormal.sample(&mut rng));
    let (mut basis, mut images) = (Mat::zeros(n, 0), Mat::zeros(n, 0));
    orthonormalise(&basis, &mut open);
    for round in 1.. {
        let image = multiply(&open)?;
        basis = beside(&basis, open.as_ref());
        images = beside(&images, image.as_ref());
        let (rising, turns) = eigen(&product(basis.transpose(), images.as_ref()))?;
        let n_all = rising.len();
        let turns = Mat::from_fn(n_all, n_kept.min(n_all), |i, k| turns[(i, n_all - 1 - k)]);
        let values: Vec<f64> = rising.into_iter().rev().take(turns.ncols()).collect();
        let vectors = product(basis.as_ref(), turns.as_ref());
        let images_found = product(images.as_ref(), turns.as_ref());
        let error = |k: usize| {
            let of = images_found.col_as_slice(k).iter().zip(vectors.col_as_slice(k));
            of.map(|(image, vector)| (image - values[k] * vector).powi(2)).sum::<f64>().sqrt()
                / values[k].max(f64::MIN_POSITIVE)
        };
        let error = (0..n_wanted.min(values.len())).map(error).fold(0.0, f64::max);
        // Nothing more is in reach once the whole space is in the span.
        if error <= Pca::TOLERANCE || round == MOST_PRODUCTS || basis.ncols() + open.ncols() > n {
            return Ok(Found { values, vectors, images: images_found, error });
        }
        open = image;
        orthonormalise(&basis, &mut open);
    }
    unreachable!("the last round returns")
}

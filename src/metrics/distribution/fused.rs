//! Energy and kernel distance from one look at all pairs, for points of many dimensions.

use ndarray::ArrayView2;

use super::distances::{at_least_two, mean_over_distinct_pairs, mean_over_pairs};
use crate::Result;

/// [`super::energy::energy`] and [`super::mmd::mmd2_rbf`]; without `gamma` the latter is not a number.
///
/// # Errors
/// [`crate::Error::TooFew`] with fewer than two points on a side; [`crate::Error::ShapeMismatch`].
pub fn energy_and_mmd2(first: ArrayView2<f32>, second: ArrayView2<f32>, gamma: Option<f64>) -> Result<[f64; 2]> {
    at_least_two(first, second)?;
    let gamma = gamma.unwrap_or(f64::NAN);
    let of = |squared: f64| [squared.sqrt(), (-gamma * squared).exp()];
    let [distance, kernel] = mean_over_pairs(first, second, of)?;
    let [own_distance, own_kernel] = mean_over_distinct_pairs(first, of);
    let [other_distance, other_kernel] = mean_over_distinct_pairs(second, of);
    Ok([2.0 * distance - own_distance - other_distance, own_kernel + other_kernel - 2.0 * kernel])
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::metrics::{energy::energy, mmd::mmd2_rbf};

    #[test]
    fn both_distances_are_those_of_their_own_functions() {
        let cloud = |n: usize, step: f32| Array2::from_shape_fn((n, 5), |(i, j)| ((i * 5 + j) as f32 * step).fract());
        let (first, second) = (cloud(30, 0.618), cloud(41, 0.414) + 0.2);
        let (first, second) = (first.view(), second.view());
        let both = energy_and_mmd2(first, second, Some(0.8)).unwrap();
        assert_eq!(both, [energy(first, second).unwrap(), mmd2_rbf(first, second, 0.8).unwrap()]);
        assert!(energy_and_mmd2(first, second, None).unwrap()[1].is_nan());
    }
}

//! The coordinates that flows work in.

use faer::Mat;
use ndarray::{Array1, Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::lists::{matrix, vector};
use crate::Result;
use crate::embedding::pca::eigen;

/// How principal components around a centre become coordinates of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coordinates {
    /// Each component in units of its standard deviation around the centres.
    Scaled,
    /// Turned to the axes along which cells of a condition are uncorrelated, then scaled likewise: a law that is a product over
    /// dimensions, like a Gaussian of the mixture, or the noise that flows start from, is then nearer to that of the cells.
    Whitened,
}

/// An invertible map z = (x − centre)·W and back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Standard {
    /// Standard deviation around the centres, per component: (n_dims).
    #[serde(with = "vector")]
    scale: Array1<f32>,
    /// W: (n_dims, n_dims).
    #[serde(with = "matrix")]
    to: Array2<f32>,
    /// W⁻¹: (n_dims, n_dims).
    #[serde(with = "matrix")]
    from: Array2<f32>,
}

impl Standard {
    /// The map for cells with these second moments: `within`, around the mean of their condition, and `around`, around the
    /// centre of their condition. What does not vary keeps its unit.
    ///
    /// **Shapes** both (n_dims, n_dims), in squared units of the components.
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if the axes cannot be found.
    pub fn fit(coordinates: Coordinates, within: ArrayView2<f64>, around: ArrayView2<f64>) -> Result<Self> {
        let n_dims = within.nrows();
        let axes = match coordinates {
            Coordinates::Scaled => Array2::eye(n_dims),
            Coordinates::Whitened => {
                let (_, vectors) = eigen(&Mat::from_fn(n_dims, n_dims, |i, j| within[[i, j]]))?;
                Array2::from_shape_fn((n_dims, n_dims), |(i, j)| vectors[(i, j)])
            }
        };
        let deviation = |square: f64| if square > 0.0 { square.sqrt() } else { 1.0 };
        let along = (&around.dot(&axes) * &axes).sum_axis(Axis(0)).mapv(deviation); // (n_dims)
        let narrow = |matrix: Array2<f64>| matrix.mapv(|value| value as f32);
        Ok(Self {
            scale: around.diag().mapv(|square| deviation(square) as f32),
            to: narrow(&axes / &along),
            from: narrow((&axes * &along).reversed_axes()),
        })
    }

    /// Principal components → flow coordinates around a centre: (n_cells, n_dims) → the same.
    pub fn standardise(&self, embedding: ArrayView2<f32>, centre: &Array1<f32>) -> Array2<f32> {
        (&embedding - centre).dot(&self.to)
    }

    /// Flow coordinates around a centre → principal components: (n_cells, n_dims) → the same.
    pub fn restore(&self, points: ArrayView2<f32>, centre: &Array1<f32>) -> Array2<f32> {
        points.dot(&self.from) + centre
    }

    /// Standard deviations of components in units of those around the centres: (n_dims) → the same.
    pub fn relative(&self, deviations: &Array1<f32>) -> Array1<f32> {
        deviations / &self.scale
    }
}

/// The map as it stands in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    #[serde(with = "vector")]
    scale: Array1<f32>,
    #[serde(with = "matrix")]
    to: Array2<f32>,
    #[serde(with = "matrix")]
    from: Array2<f32>,
}

impl TryFrom<Unchecked> for Standard {
    type Error = String;

    fn try_from(Unchecked { scale, to, from }: Unchecked) -> std::result::Result<Self, String> {
        let n_dims = scale.len();
        match [to.dim(), from.dim()].into_iter().find(|shape| *shape != (n_dims, n_dims)) {
            None => Ok(Self { scale, to, from }),
            Some(shape) => Err(format!("a map of {n_dims} components has {shape:?} numbers")),
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{arr1, arr2};

    use super::*;

    #[test]
    fn whitened_cells_are_uncorrelated_and_of_unit_spread() {
        let within = arr2(&[[4.0, 1.5], [1.5, 1.0]]);
        let around = &within + &arr2(&[[1.0, 0.0], [0.0, 0.0]]);
        for coordinates in [Coordinates::Scaled, Coordinates::Whitened] {
            let standard = Standard::fit(coordinates, within.view(), around.view()).unwrap();
            let to = standard.to.mapv(f64::from);
            let law = |moments: &Array2<f64>| to.t().dot(moments).dot(&to);
            assert!(law(&around).diag().iter().all(|square| (square - 1.0).abs() < 1e-6));
            assert_eq!(law(&within)[[0, 1]].abs() < 1e-6, coordinates == Coordinates::Whitened);
            let (cells, centre) = (arr2(&[[1.0_f32, -2.0], [0.5, 7.0]]), arr1(&[3.0_f32, 1.0]));
            let back = standard.restore(standard.standardise(cells.view(), &centre).view(), &centre);
            assert!((back - cells).iter().all(|gap| gap.abs() < 1e-5));
        }
    }

    #[test]
    fn what_does_not_vary_keeps_its_unit() {
        let flat = arr2(&[[4.0, 0.0], [0.0, 0.0]]);
        let standard = Standard::fit(Coordinates::Whitened, flat.view(), flat.view()).unwrap();
        let points = standard.standardise(arr2(&[[2.0_f32, 5.0]]).view(), &arr1(&[0.0, 0.0]));
        let mut sizes: Vec<f32> = points.iter().map(|value| value.abs()).collect();
        sizes.sort_by(f32::total_cmp);
        assert!((sizes[0] - 1.0).abs() < 1e-6 && (sizes[1] - 5.0).abs() < 1e-6, "{points}");
    }
}

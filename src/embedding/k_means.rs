//! Clusters around centroids.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::KMeans;
use ndarray::{Array2, ArrayView2, Axis};

use crate::{Error, Result};

/// Starts; the library draws them from a generator of its own that always begins alike, and the tightest fit is kept.
const N_STARTS: usize = 4;

/// Fitted centroids.
#[derive(Debug, Clone)]
pub struct Centroids {
    /// (n_clusters, n_dims).
    points: Array2<f32>,
}

impl Centroids {
    /// Minimises the squared distances of points to the nearest of `n_clusters` centroids (Lloyd 1982, k-means++ starts).
    ///
    /// **Shapes** `points`: (n_points, n_dims).
    ///
    /// # Errors
    /// [`Error::TooFew`] with fewer points than clusters; [`Error::Backend`] if the library fails.
    pub fn fit(points: ArrayView2<f32>, n_clusters: usize) -> Result<Self> {
        if points.nrows() < n_clusters || n_clusters == 0 {
            return Err(Error::TooFew {
                what: format!("points for {n_clusters} clusters"),
                needed: n_clusters.max(1),
                got: points.nrows(),
                hint: "use more cells".into(),
            });
        }
        let data = DatasetBase::from(points.to_owned());
        let model = KMeans::params(n_clusters).n_runs(N_STARTS).max_n_iterations(100).tolerance(1e-3).fit(&data);
        let model = model.map_err(|source| Error::backend("k-means clustering", source))?;
        Ok(Self { points: model.centroids().clone() })
    }

    /// Number of clusters.
    pub fn n_clusters(&self) -> usize {
        self.points.nrows()
    }

    /// The nearest centroid of each point: (n_points, n_dims) → (n_points).
    pub fn nearest(&self, points: &Array2<f32>) -> Vec<usize> {
        // |x|² is the same for every centroid.
        let norms = self.points.map_axis(Axis(1), |centroid| centroid.dot(&centroid));
        let products = points.dot(&self.points.t());
        let distance = |products: ndarray::ArrayView1<f32>, cluster: usize| norms[cluster] - 2.0 * products[cluster];
        let nearest = |products: ndarray::ArrayView1<f32>| {
            let clusters = 0..self.n_clusters();
            clusters.min_by(|&a, &b| distance(products, a).total_cmp(&distance(products, b))).unwrap_or(0)
        };
        products.rows().into_iter().map(nearest).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separate_groups_get_separate_centroids() {
        let points = Array2::from_shape_fn((90, 2), |(row, column)| {
            let wiggle = ((row * 7 + column * 3) % 5) as f32 * 0.1;
            [0.0, 10.0, 20.0][row % 3] * (column as f32 + 1.0) + wiggle
        });
        let centroids = Centroids::fit(points.view(), 3).unwrap();
        let labels = centroids.nearest(&points);
        assert!((0..90).all(|row| labels[row] == labels[row % 3]));
        assert!(labels[0] != labels[1] && labels[1] != labels[2] && labels[0] != labels[2]);
        assert_eq!(labels, Centroids::fit(points.view(), 3).unwrap().nearest(&points));
        assert!(Centroids::fit(points.view(), 91).is_err());
    }
}

//! The real cells of one condition, and every metric of cells that are held against them.

use std::collections::BTreeMap;

use ndarray::{Array2, Axis};

use super::baselines::Offer;
use super::classifier::Classifier;
use super::distances::choose;
use super::{deltas, energy, labels, mmd, spread, wasserstein};
use crate::Result;
use crate::embedding::k_means::Centroids;

/// The real cells of one condition.
pub struct Comparison<'a> {
    /// Principal components: (n_real, n_components).
    pub points: Array2<f32>,
    /// Mean expression: (n_genes).
    pub means: Vec<f64>,
    /// Mean expression of the training control cells with the same covariates, or why there is none: (n_genes).
    pub control: std::result::Result<Vec<f64>, String>,
    /// Leiden labels: (n_real).
    pub labels: Vec<usize>,
    /// Width of the kernel, or why there is none.
    pub gamma: std::result::Result<f64, String>,
    /// Number of cells on each side of the Wasserstein distance.
    pub n_transport: usize,
    /// The classifier of the Leiden labels.
    pub classifier: &'a Classifier,
    /// Centroids fitted to real cells.
    pub centroids: &'a Centroids,
    /// Decides which cells are drawn.
    pub seed: u64,
}

/// Metric → value, and metric → why it has none.
pub type Outcome = (BTreeMap<String, f64>, BTreeMap<String, String>);

impl Comparison<'_> {
    /// Holds the offered cells against the real ones.
    pub fn score(&self, offer: &Offer) -> Outcome {
        let (real, generated) = (self.points.view(), offer.points.view());
        let mut outcome = Outcome::default();
        let mut keep = |name: &str, value: std::result::Result<f64, String>| match value {
            Ok(value) if value.is_finite() => drop(outcome.0.insert(name.into(), value)),
            Ok(value) => drop(outcome.1.insert(name.into(), format!("the value is {value}"))),
            Err(reason) => drop(outcome.1.insert(name.into(), reason)),
        };
        let told = |value: Result<f64>| value.map_err(|error| error.to_string());
        let gamma = self.gamma.clone();
        keep("mmd2_rbf_median", gamma.and_then(|gamma| told(mmd::mmd2_rbf(real, generated, gamma))));
        keep("w2_exact", told(self.transport(&offer.points)));
        keep("edist_l2", told(energy::energy(real, generated)));
        keep("std_ratio", told(spread::std_ratio(real, generated)));
        let control = self.control.clone();
        let correlate = |control: Vec<f64>| told(deltas::pearson_delta(&self.means, &offer.means, &control));
        keep("pearson_delta", control.and_then(correlate));
        keep("r2_mean", told(deltas::r2_mean(&self.means, &offer.means)));
        let answers = self.classifier.predict(generated).map_err(|error| error.to_string());
        let count = |labels: &[usize], n: usize| labels::histogram(labels, n);
        let leiden =
            answers.map(|answers| [&self.labels, &answers].map(|labels| count(labels, self.classifier.n_labels)));
        let nearest = [&self.points, &offer.points].map(|points| self.centroids.nearest(points));
        let k_means = Ok(nearest.map(|labels| count(&labels, self.centroids.n_clusters())));
        for (divergence, variation, counts) in
            [("leiden_kld", "leiden_total_variation", leiden), ("kmeans_kld", "kmeans_total_variation", k_means)]
        {
            keep(divergence, counts.clone().and_then(|[real, generated]| told(labels::kld(&real, &generated))));
            keep(variation, counts.and_then(|[real, generated]| told(labels::total_variation(&real, &generated))));
        }
        outcome
    }

    fn transport(&self, generated: &Array2<f32>) -> Result<f64> {
        let n = self.n_transport;
        let real = self.points.select(Axis(0), &choose(self.points.nrows(), n, self.seed ^ 1));
        let generated = generated.select(Axis(0), &choose(generated.nrows(), n, self.seed ^ 2));
        wasserstein::w2_exact(real.view(), generated.view())
    }
}

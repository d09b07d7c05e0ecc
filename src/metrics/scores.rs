//! The table of scores.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All scores of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// One row per method and condition.
    pub rows: Vec<ScoreRow>,
    /// What was compared, and how.
    pub settings: serde_json::Value,
}

/// The scores of one method on one condition.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ScoreRow {
    /// `model`, `control_mean`, `perturbed_mean`, `additive`, or `split_half` (half of the real cells against the other).
    pub method: String,
    /// The perturbation, as `A+B`.
    pub perturbation: String,
    /// The covariates: column → value.
    pub covariates: BTreeMap<String, String>,
    /// `seen`, `unseen_combination`, or `k_of_n_seen`.
    pub status: String,
    /// Number of real cells.
    pub n_real: usize,
    /// Number of cells that the method offered.
    pub n_generated: usize,
    /// Metric → value.
    pub values: BTreeMap<String, f64>,
    /// Metric → why it has no value.
    pub missing: BTreeMap<String, String>,
}

/// What a metric means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Definition {
    /// Its name in the tables.
    pub name: &'static str,
    /// `lower`, `higher`, or `one` (the closer to one, the better).
    pub better: &'static str,
    /// How it is computed.
    pub meaning: &'static str,
}

/// All metrics, in the order of the tables.
pub fn definitions() -> &'static [Definition] {
    const fn define(name: &'static str, better: &'static str, meaning: &'static str) -> Definition {
        Definition { name, better, meaning }
    }
    const ALL: &[Definition] = &[
        define(
            "mmd2_rbf_median",
            "lower",
            "unbiased squared maximum mean discrepancy on principal components; kernel exp(-g d^2), g = 1 / median \
             squared distance between the real cells of the condition; may fall below zero",
        ),
        define(
            "w2_exact",
            "lower",
            "exact 2-Wasserstein distance on principal components; the same number of cells, at most 1000, for every \
             method of a condition, drawn without replacement; two samples of one distribution are not at zero",
        ),
        define(
            "edist_l2",
            "lower",
            "unbiased energy distance 2 E|x-y| - E|x-x'| - E|y-y'| with Euclidean norm on principal components; may \
             fall below zero",
        ),
        define(
            "std_ratio",
            "one",
            "generated / real standard deviation per principal component, averaged with the real variances as weights",
        ),
        define(
            "pearson_delta",
            "higher",
            "Pearson correlation over genes of (mean - training control mean), generated against real, log1p scale",
        ),
        define("r2_mean", "higher", "coefficient of determination over genes of the mean expression, log1p scale"),
        define(
            "leiden_kld",
            "lower",
            "KL divergence, in nats, of Leiden labels of the real cells from the classifier's labels of the generated \
             cells; generated counts are scaled to the number of real \
             cells and half a cell is added to every label on both sides",
        ),
        define(
            "leiden_total_variation",
            "lower",
            "half the absolute difference between the two label distributions, no smoothing",
        ),
        define(
            "kmeans_kld",
            "lower",
            "as leiden_kld, with the nearest of as many k-means centroids of the real cells as there are Leiden labels in \
             the place of the label; no classifier takes part",
        ),
        define(
            "kmeans_total_variation",
            "lower",
            "as leiden_total_variation, with the nearest k-means centroid in the place of the label",
        ),
    ];
    ALL
}

//! A whole evaluation: every method against the real cells of every predicted condition.

use std::collections::BTreeMap;

use ndarray::Axis;
use rayon::prelude::*;
use serde_json::json;

use super::baselines::{Baselines, Offer};
use super::classifier::Classifier;
use super::clusters::Clusters;
use super::comparison::Comparison;
use super::distances::choose;
use super::mmd;
use super::predicted::Predicted;
use super::scores::{ScoreRow, Scores, definitions};
use crate::Result;
use crate::cells::SparseMatrix;
use crate::conditions::Condition;
use crate::embedding::k_means::Centroids;
use crate::prepared::Prepared;

/// At most this many cells on each side of an exact Wasserstein distance.
const MOST_TRANSPORTED: usize = 1000;

/// How to evaluate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choices {
    /// Conditions with fewer real or generated cells get no scores.
    pub min_cells: usize,
    /// Resolution of the Leiden clustering.
    pub resolution: f64,
    /// Seed of everything drawn.
    pub seed: u64,
}

/// The scores, and what the map of cells needs.
pub struct Evaluation {
    /// The scores.
    pub scores: Scores,
    /// Clusters of the real cells.
    pub clusters: Clusters,
    /// Names the cluster of any cell.
    pub classifier: Classifier,
}

/// Scores the prediction, the baselines and the data's own ceiling.
///
/// Generated groups are held against the held-out cells of their condition, or against its training cells if none were
/// held out. Generated controls are not scored: no change is asked of them.
///
/// # Errors
/// Those of the clustering, the classifier and the baselines; a metric that fails goes into the row's `missing`.
pub fn evaluate(truth: &Prepared, predicted: &Predicted, choices: Choices) -> Result<Evaluation> {
    let (held_out, training) = (truth.rows_by_condition(false), truth.rows_by_condition(true));
    let groups = predicted.rows_by_condition();
    let real_rows: Vec<(&Condition, &[usize], &[usize])> = groups
        .iter()
        .filter(|(condition, _)| !condition.perturbation.is_control())
        .map(|(condition, rows)| {
            let real = held_out.get(condition).or_else(|| training.get(condition)).map_or(&[][..], Vec::as_slice);
            (condition, real, rows.as_slice())
        })
        .collect();
    let needed: Vec<usize> = real_rows.iter().flat_map(|(_, real, _)| real.iter().copied()).collect();
    let clusters = Clusters::find(truth.embedding().view(), &needed, choices.resolution, choices.seed)?;
    let labelled = truth.embedding().select(Axis(0), &clusters.rows);
    let classifier = Classifier::fit(labelled.view(), &clusters.labels, choices.seed)?;
    let centroids = Centroids::fit(labelled.view(), classifier.n_labels)?;
    let baselines = Baselines::fit(truth)?;
    let bench = Bench {
        truth,
        predicted,
        clusters: &clusters,
        classifier: &classifier,
        centroids: &centroids,
        baselines: &baselines,
        choices,
    };
    let rows: Vec<Vec<ScoreRow>> =
        real_rows.par_iter().map(|(condition, real, generated)| bench.rows(condition, real, generated)).collect();
    let mut rows: Vec<ScoreRow> = rows.into_iter().flatten().collect();
    let order = |method: &str| METHODS.iter().position(|known| *known == method);
    rows.sort_by_key(|row| order(&row.method));
    let not_predicted: Vec<String> =
        held_out.keys().filter(|condition| !groups.contains_key(*condition)).map(ToString::to_string).collect();
    let settings = json!({
        "model": predicted.method,
        "space": "obsm[X_pca_cross_fitted] for distances, X (log1p) for mean expression",
        "min_cells": choices.min_cells,
        "seed": choices.seed,
        "w2_exact_most_cells": MOST_TRANSPORTED,
        "leiden": {
            "resolution": choices.resolution,
            "n_neighbors": super::clusters::N_NEIGHBORS,
            "n_cells": clusters.rows.len(),
            "n_clusters": classifier.n_labels,
            "modularity": clusters.modularity,
            "smoothing": super::labels::SMOOTHING,
            "classifier_held_out_accuracy": classifier.held_out_accuracy,
        },
        "held_out_but_not_predicted": not_predicted,
        "metrics": definitions(),
    });
    Ok(Evaluation { scores: Scores { rows, settings }, clusters, classifier })
}

const METHODS: [&str; 5] = ["model", "control_mean", "perturbed_mean", "additive", "split_half"];

struct Bench<'a> {
    truth: &'a Prepared,
    predicted: &'a Predicted,
    clusters: &'a Clusters,
    classifier: &'a Classifier,
    centroids: &'a Centroids,
    baselines: &'a Baselines<'a>,
    choices: Choices,
}

impl Bench<'_> {
    fn rows(&self, condition: &Condition, real: &[usize], generated: &[usize]) -> Vec<ScoreRow> {
        let status = self.predicted.statuses[generated[0]].clone();
        let row = |method: &str, n_generated: usize| ScoreRow {
            method: method.into(),
            perturbation: condition.perturbation.to_string(),
            covariates: condition.covariates.clone(),
            status: status.clone(),
            n_real: real.len(),
            n_generated,
            ..ScoreRow::default()
        };
        let least = self.choices.min_cells.max(4);
        for (kind, n) in [("real", real.len()), ("generated", generated.len())] {
            if n < least {
                let reason = format!("{n} {kind} cells, at least {least} needed");
                return vec![ScoreRow { missing: everything(&reason), ..row("model", generated.len()) }];
            }
        }
        let seed = seed_of(condition, self.choices.seed);
        let mut offers: Vec<(&str, Result<Offer>)> = vec![(
            "model",
            Ok(Offer {
                points: self.predicted.embedding.select(Axis(0), generated),
                means: self.predicted.x.column_means(generated),
            }),
        )];
        offers.extend(Baselines::NAMES.map(|name| (name, self.baselines.offer(name, condition, real.len(), seed ^ 3))));
        let (first, second) = halves(real, seed ^ 4);
        offers.push(("split_half", Ok(self.real_offer(&second))));
        // The distance between finite samples depends on their size, so every method of a condition has the same.
        let fewest = offers.iter().filter_map(|(_, offer)| offer.as_ref().ok().map(|offer| offer.points.nrows())).min();
        let n_transport = fewest.unwrap_or(0).min(first.len()).min(MOST_TRANSPORTED);
        let whole = self.comparison(condition, real, n_transport, seed, None);
        let half = self.comparison(condition, &first, n_transport, seed, Some(whole.gamma.clone()));
        let score = |(method, offer): (&str, Result<Offer>)| match offer {
            Ok(offer) => {
                let against = if method == "split_half" { &half } else { &whole };
                let (values, missing) = against.score(&offer);
                ScoreRow { n_real: against.points.nrows(), values, missing, ..row(method, offer.points.nrows()) }
            }
            Err(error) => ScoreRow { missing: everything(&error.to_string()), ..row(method, 0) },
        };
        offers.into_iter().map(score).collect()
    }

    fn comparison(
        &self,
        condition: &Condition,
        rows: &[usize],
        n_transport: usize,
        seed: u64,
        gamma: Option<std::result::Result<f64, String>>,
    ) -> Comparison<'_> {
        let Offer { points, means } = self.real_offer(rows);
        let gamma = gamma.unwrap_or_else(|| mmd::gamma_median(points.view()).map_err(|error| error.to_string()));
        Comparison {
            gamma,
            points,
            means,
            control: self.baselines.control_means(condition).map_err(|error| error.to_string()),
            labels: self.clusters.labels_of(rows),
            n_transport,
            classifier: self.classifier,
            centroids: self.centroids,
            seed,
        }
    }

    fn real_offer(&self, rows: &[usize]) -> Offer {
        let x: &SparseMatrix = &self.truth.cells.x;
        Offer { points: self.truth.embedding().select(Axis(0), rows), means: x.column_means(rows) }
    }
}

/// Two halves of the cells, drawn at random.
fn halves(rows: &[usize], seed: u64) -> (Vec<usize>, Vec<usize>) {
    let chosen = choose(rows.len(), rows.len() / 2, seed);
    let first = chosen.iter().map(|&position| rows[position]).collect();
    let second = (0..rows.len()).filter(|position| chosen.binary_search(position).is_err()).map(|i| rows[i]).collect();
    (first, second)
}

fn everything(reason: &str) -> BTreeMap<String, String> {
    definitions().iter().map(|metric| (metric.name.to_owned(), reason.to_owned())).collect()
}

/// A seed of the condition's own, so that its scores do not depend on which others were predicted (FNV-1a).
fn seed_of(condition: &Condition, seed: u64) -> u64 {
    let text = condition.to_string();
    text.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

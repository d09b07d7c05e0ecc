//! A whole evaluation: every method against the real cells of every predicted condition.

mod judge;

use std::collections::BTreeMap;
use std::sync::Arc;

use ndarray::Axis;
use rayon::prelude::*;
use serde_json::json;

use self::judge::{Bench, Judged};
use super::baselines::Baselines;
use super::classifier::Classifier;
use super::clusters::Clusters;
use super::comparison::{Control, MOST_EXPRESSED, MOST_IN_GENES, MOST_TRANSPORTED, References, STRENGTH};
use super::conditions::{self, Profile};
use super::distribution::on_map;
use super::effects::{self, GeneChange};
use super::genes::GeneColumns;
use super::genes::differential::SIGNIFICANT;
use super::intervals::{self, intervals};
use super::means::errors::most_expressed;
use super::outcome::{Found, Outcome};
use super::predicted::Predicted;
use super::scores::{ScoreRow, Scores, definitions};
use crate::Result;
use crate::conditions::Condition;
use crate::embedding::k_means::Centroids;
use crate::prepared::Prepared;

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
    /// The genes that change most.
    pub changes: Vec<GeneChange>,
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
    let mapped = truth.embedding().select(Axis(0), &truth.training_rows());
    let umap = on_map::of_training_cells(mapped.view(), choices.seed);
    let mut references = BTreeMap::new();
    for (condition, ..) in &real_rows {
        references.entry(&condition.covariates).or_insert_with(|| refer(truth, &baselines, condition));
    }
    let genes = truth.cells.var.index.iter().enumerate().map(|(gene, name)| (name.as_str(), gene)).collect();
    let bench = Bench {
        truth,
        predicted,
        clusters: &clusters,
        classifier: &classifier,
        centroids: &centroids,
        baselines: &baselines,
        umap: &umap,
        references: &references,
        genes: &genes,
        choices,
    };
    let judged: Vec<Vec<Judged>> =
        real_rows.par_iter().map(|(condition, real, generated)| bench.judge(condition, real, generated)).collect();
    let changes = effects::largest(&judged, &truth.cells.var.index);
    let mut rows = over_conditions(judged.into_iter().flatten().collect());
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
        "w2_sinkhorn_most_cells": MOST_IN_GENES,
        "w2_sinkhorn_regularisation": format!("{STRENGTH} of the greatest squared distance of each comparison"),
        "space_genes_most_cells": MOST_IN_GENES,
        "space_umap": { "most_training_cells": on_map::MOST_CELLS, "n_neighbors": on_map::N_NEIGHBORS },
        "de": {
            "test": "Wilcoxon rank-sum against all training control cells of the same covariates",
            "significant_below_fdr": SIGNIFICANT,
            "n_control_cells": references.iter().map(|(covariates, found)| json!({
                "covariates": covariates,
                "n": found.control.as_ref().map_or(0, |control| control.columns.n_cells),
            })).collect::<Vec<_>>(),
        },
        "intervals": { "level": intervals::LEVEL, "n_resamples": intervals::N_RESAMPLES, "resampled": "conditions" },
        "leiden": {
            "resolution": choices.resolution,
            "n_neighbors": super::clusters::N_NEIGHBORS,
            "n_cells": clusters.rows.len(),
            "n_clusters": classifier.n_labels,
            "modularity": clusters.modularity,
            "smoothing": super::labels::SMOOTHING,
            "classifier_held_out_accuracy": classifier.held_out_accuracy,
            "classifier_held_out_rand_index": classifier.held_out_rand_index,
        },
        "held_out_but_not_predicted": not_predicted,
        "metrics": definitions(),
    });
    let intervals = intervals(&rows, choices.seed);
    Ok(Evaluation { scores: Scores { rows, intervals, settings }, changes, clusters, classifier })
}

const METHODS: [&str; 5] = ["model", "control_mean", "perturbed_mean", "additive", "split_half"];

/// What changes are measured from, for the covariates of the condition.
fn refer(truth: &Prepared, baselines: &Baselines, condition: &Condition) -> References {
    let means: Found<Vec<f64>> = baselines.control_means(condition).map_err(|error| error.line());
    let control = means.map(|means| Control {
        most_expressed: most_expressed(&means, MOST_EXPRESSED),
        columns: GeneColumns::new(&truth.cells.x, &baselines.control_rows(condition), None),
        means: Arc::new(means),
    });
    References { control, perturbed: baselines.perturbed_means(condition).ok() }
}

/// Adds the metrics that look at all conditions of a method.
fn over_conditions(judged: Vec<Judged>) -> Vec<ScoreRow> {
    let (mut rows, profiles): (Vec<ScoreRow>, Vec<Option<Profile>>) = judged.into_iter().unzip();
    let (places, profiles): (Vec<usize>, Vec<Profile>) =
        profiles.into_iter().enumerate().filter_map(|(place, profile)| Some((place, profile?))).unzip();
    let mut outcomes = vec![Outcome::default(); profiles.len()];
    conditions::score(&profiles, &mut outcomes);
    for (place, outcome) in places.into_iter().zip(outcomes) {
        rows[place].values.extend(outcome.values);
        rows[place].missing.extend(outcome.missing);
        rows[place].undefined.extend(outcome.undefined);
    }
    rows
}

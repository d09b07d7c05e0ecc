//! A whole evaluation: every method against the real cells of every predicted condition.

use std::collections::BTreeMap;
use std::sync::Arc;

use ndarray::Axis;
use rayon::prelude::*;
use serde_json::json;

use super::baselines::Baselines;
use super::classifier::Classifier;
use super::clusters::Clusters;
use super::comparison::{
    Comparison, Control, MOST_EXPRESSED, MOST_IN_GENES, MOST_TRANSPORTED, References, STRENGTH, Sizes,
};
use super::conditions::{self, Profile};
use super::distances::choose;
use super::distribution::on_map::{self, OnMap};
use super::effects::{self, GeneChange};
use super::genes::GeneColumns;
use super::genes::differential::{Differential, SIGNIFICANT};
use super::intervals::{self, intervals};
use super::means::errors::most_expressed;
use super::mmd;
use super::offer::{Expression, Offer};
use super::outcome::{Found, Outcome};
use super::predicted::Predicted;
use super::scores::{ScoreRow, Scores, definitions};
use crate::Result;
use crate::conditions::Condition;
use crate::embedding::k_means::Centroids;
use crate::embedding::umap::Umap;
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

/// A row, and what the metrics over conditions need of it if it has scores.
type Judged = (ScoreRow, Option<Profile>);

struct Bench<'a> {
    truth: &'a Prepared,
    predicted: &'a Predicted,
    clusters: &'a Clusters,
    classifier: &'a Classifier,
    centroids: &'a Centroids,
    baselines: &'a Baselines<'a>,
    umap: &'a Found<Umap>,
    references: &'a BTreeMap<&'a BTreeMap<String, String>, References>,
    genes: &'a BTreeMap<&'a str, usize>,
    choices: Choices,
}

impl Bench<'_> {
    fn judge(&self, condition: &Condition, real: &[usize], generated: &[usize]) -> Vec<Judged> {
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
                return vec![(ScoreRow { missing: everything(&reason), ..row("model", generated.len()) }, None)];
            }
        }
        let seed = seed_of(condition, self.choices.seed);
        let mut offers: Vec<(&str, Result<Offer>)> = vec![(
            "model",
            Ok(Offer {
                points: self.predicted.embedding.select(Axis(0), generated),
                means: self.predicted.x.column_means(generated),
                expression: Expression { x: self.predicted.x.select_rows(generated), shift: None },
            }),
        )];
        offers.extend(Baselines::NAMES.map(|name| (name, self.baselines.offer(name, condition, real.len(), seed ^ 3))));
        let (first, second) = halves(real, seed ^ 4);
        // Tests find more with more cells, so that every method has as many; the halves cannot have as many.
        let sizes = offers.iter().filter_map(|(_, offer)| offer.as_ref().ok().map(|offer| offer.points.nrows()));
        let tested = sizes.min().unwrap_or(0).min(real.len());
        offers.push(("split_half", Ok(self.real_offer(&second))));
        // The distance between finite samples depends on their size, so every method of a condition has the same.
        let transported = tested.min(first.len()).min(second.len()).min(MOST_TRANSPORTED);
        let whole = self.comparison(condition, real, Sizes { transported, tested }, seed, None);
        let sizes = Sizes { transported, tested: first.len().min(second.len()).min(tested) };
        let half = self.comparison(condition, &first, sizes, seed, Some(&whole));
        let targets: Vec<usize> = condition
            .perturbation
            .components()
            .iter()
            .filter_map(|name| self.genes.get(name.as_str()).copied())
            .collect();
        let score = |(method, offer): (&str, Result<Offer>)| match offer {
            Ok(offer) => {
                let against = if method == "split_half" { &half } else { &whole };
                let Outcome { values, missing, undefined } = against.score(&offer);
                let (n_real, n_generated) = (against.real.points.nrows(), offer.points.nrows());
                let n_compared = against.sizes.tested;
                let row = ScoreRow { n_real, n_compared, values, missing, undefined, ..row(method, n_generated) };
                let profile = against.references.control.as_ref().ok().map(|control| Profile {
                    group: (method.to_owned(), condition.covariates.clone()),
                    real: Arc::new(against.real.means.clone()),
                    generated: offer.means,
                    control: control.means.clone(),
                    targets: targets.clone(),
                });
                (row, profile)
            }
            Err(error) => (ScoreRow { missing: everything(&error.to_string()), ..row(method, 0) }, None),
        };
        offers.into_iter().map(score).collect()
    }

    fn comparison(
        &self,
        condition: &Condition,
        rows: &[usize],
        sizes: Sizes,
        seed: u64,
        whole: Option<&Comparison>,
    ) -> Comparison<'_> {
        let real = self.real_offer(rows);
        let references = &self.references[&condition.covariates];
        let some = |n: usize, salt: u64| choose(rows.len(), n, seed ^ salt);
        let width = |points: ndarray::ArrayView2<f32>| mmd::gamma_median(points).map_err(|error| error.to_string());
        let in_genes = || width(real.expression.points(&some(sizes.tested.min(MOST_IN_GENES), 7)).view());
        let control = references.control.as_ref().map_err(Clone::clone);
        let differential = control.and_then(|control| {
            let test = Differential::between(&real.expression.columns(&some(sizes.tested, 5)), &control.columns);
            test.map_err(|error| error.to_string())
        });
        Comparison {
            gamma: whole.map_or_else(|| width(real.points.view()), |whole| whole.gamma.clone()),
            on_map: self.on_map(&real, &some(sizes.tested.min(MOST_IN_GENES), 9), whole),
            gamma_genes: whole.map_or_else(in_genes, |whole| whole.gamma_genes.clone()),
            references,
            differential,
            labels: self.clusters.labels_of(rows),
            sizes,
            classifier: self.classifier,
            centroids: self.centroids,
            seed,
            real,
        }
    }

    fn on_map(&self, real: &Offer, rows: &[usize], whole: Option<&Comparison>) -> Found<OnMap<'_>> {
        let gamma = whole.and_then(|whole| whole.on_map.as_ref().ok()).map(|on_map| on_map.gamma);
        OnMap::new(self.umap, real.points.select(Axis(0), rows).view(), gamma)
    }

    fn real_offer(&self, rows: &[usize]) -> Offer {
        let x = &self.truth.cells.x;
        Offer {
            points: self.truth.embedding().select(Axis(0), rows),
            means: x.column_means(rows),
            expression: Expression { x: x.select_rows(rows), shift: None },
        }
    }
}

/// What changes are measured from, for the covariates of the condition.
fn refer(truth: &Prepared, baselines: &Baselines, condition: &Condition) -> References {
    let means: Found<Vec<f64>> = baselines.control_means(condition).map_err(|error| error.to_string());
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

//! All that is offered for one condition, held against its real cells.

use std::collections::BTreeMap;
use std::sync::Arc;

use ndarray::Axis;

use super::Choices;
use crate::Result;
use crate::conditions::Condition;
use crate::embedding::k_means::Centroids;
use crate::embedding::umap::Umap;
use crate::metrics::baselines::Baselines;
use crate::metrics::classifier::Classifier;
use crate::metrics::clusters::Clusters;
use crate::metrics::comparison::{Comparison, MOST_IN_GENES, MOST_TRANSPORTED, References, Sizes};
use crate::metrics::conditions::Profile;
use crate::metrics::distances::choose;
use crate::metrics::distribution::on_map::OnMap;
use crate::metrics::genes::differential::Differential;
use crate::metrics::mmd;
use crate::metrics::offer::{Expression, Offer};
use crate::metrics::outcome::{Found, Outcome};
use crate::metrics::predicted::Predicted;
use crate::metrics::scores::{ScoreRow, definitions};
use crate::numbers::fnv;
use crate::prepared::Prepared;

/// A row, and what the metrics over conditions need of it if it has scores.
pub(super) type Judged = (ScoreRow, Option<Profile>);

/// What conditions are judged by.
pub(super) struct Bench<'a> {
    pub(super) truth: &'a Prepared,
    pub(super) predicted: &'a Predicted,
    pub(super) clusters: &'a Clusters,
    pub(super) classifier: &'a Classifier,
    pub(super) centroids: &'a Centroids,
    pub(super) baselines: &'a Baselines<'a>,
    pub(super) umap: &'a Found<Umap>,
    pub(super) references: &'a BTreeMap<&'a BTreeMap<String, String>, References>,
    pub(super) genes: &'a BTreeMap<&'a str, usize>,
    pub(super) choices: Choices,
}

impl Bench<'_> {
    /// The rows of all methods, the model's first.
    pub(super) fn judge(&self, condition: &Condition, real: &[usize], generated: &[usize]) -> Vec<Judged> {
        let status = self.predicted.statuses[generated[0]].clone();
        let stratum = self.predicted.strata[generated[0]].clone();
        let row = |method: &str, n_generated: usize| ScoreRow {
            method: method.into(),
            perturbation: condition.perturbation.to_string(),
            covariates: condition.covariates.clone(),
            status: status.clone(),
            stratum: stratum.clone(),
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
        let targets: Vec<usize> =
            condition.perturbation.parts().filter_map(|part| self.genes.get(part.name.as_str()).copied()).collect();
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
            Err(error) => (ScoreRow { missing: everything(&error.line()), ..row(method, 0) }, None),
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
        let width = |points: ndarray::ArrayView2<f32>| mmd::gamma_median(points).map_err(|error| error.line());
        let in_genes = || width(real.expression.points(&some(sizes.tested.min(MOST_IN_GENES), 7)).view());
        let control = references.control.as_ref().map_err(Clone::clone);
        let differential = control.and_then(|control| {
            let test = Differential::between(&real.expression.columns(&some(sizes.tested, 5)), &control.columns);
            test.map_err(|error| error.line())
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

/// A seed of the condition's own, so that its scores do not depend on which others were predicted.
fn seed_of(condition: &Condition, seed: u64) -> u64 {
    fnv(seed, condition.to_string().into_bytes())
}

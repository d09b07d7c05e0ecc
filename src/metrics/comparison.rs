//! The real cells of one condition, and every metric of cells that are held against them.

use std::sync::Arc;

use ndarray::{Array2, Axis};

use super::classifier::Classifier;
use super::clusters::agreement::inception_score;
use super::distances::choose;
use super::distribution::fused::energy_and_mmd2;
use super::distribution::on_map::OnMap;
use super::genes::{Differential, GeneColumns, agreement};
use super::means::{deltas, errors};
use super::offer::Offer;
use super::outcome::{Found, Outcome};
use super::{energy, labels, mmd, spread, wasserstein};
use crate::Result;
use crate::embedding::k_means::Centroids;

/// Regularisation of the entropic distance, as a part of the greatest squared distance.
pub(super) const STRENGTH: f64 = 0.01;
/// At most this many cells on each side of an exact Wasserstein distance.
pub(super) const MOST_TRANSPORTED: usize = 1000;
/// At most this many cells on each side of an entropic distance, and of distances between whole expression profiles.
pub(super) const MOST_IN_GENES: usize = 500;
/// Genes of the error over the most expressed ones (Ahlmann-Eltze et al. 2025).
pub(super) const MOST_EXPRESSED: usize = 1000;
const NO_PERTURBED: &str = "no perturbed training cells have these covariates";
/// The numbers of genes in which a change is looked at alone, most deviating first.
const TOP: [(usize, &str, &str); 2] = [
    (20, "pearson_delta_top20", "pearson_delta_top20_vs_perturbed"),
    (50, "pearson_delta_top50", "pearson_delta_top50_vs_perturbed"),
];

/// Training control cells of some covariates.
pub struct Control {
    /// Mean expression: (n_genes).
    pub means: Arc<Vec<f64>>,
    /// The genes of the greatest mean.
    pub most_expressed: Vec<usize>,
    /// Expression gene by gene.
    pub columns: GeneColumns,
}

/// What changes are measured from, for some covariates.
pub struct References {
    /// The training control cells, or why there are none.
    pub control: Found<Control>,
    /// Mean expression of the perturbed training cells, if there are any: (n_genes).
    pub perturbed: Option<Vec<f64>>,
}

/// Numbers of cells on each side.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Of distances whose expectation depends on them.
    pub transported: usize,
    /// Of tests of genes, whose power depends on them.
    pub tested: usize,
}

/// The real cells of one condition.
pub struct Comparison<'a> {
    /// The cells.
    pub real: Offer,
    /// What changes are measured from.
    pub references: &'a References,
    /// How the genes of real cells differ from control cells, or why that is not known.
    pub differential: Found<Differential>,
    /// Leiden labels: (n_real).
    pub labels: Vec<usize>,
    /// Width of the kernel on principal components, or why there is none.
    pub gamma: Found<f64>,
    /// Width of the kernel on genes, or why there is none.
    pub gamma_genes: Found<f64>,
    /// Some of the cells on a map, or why there is none.
    pub on_map: Found<OnMap<'a>>,
    /// Numbers of cells.
    pub sizes: Sizes,
    /// The classifier of the Leiden labels.
    pub classifier: &'a Classifier,
    /// Centroids fitted to real cells.
    pub centroids: &'a Centroids,
    /// Decides which cells are drawn.
    pub seed: u64,
}

impl Comparison<'_> {
    /// Holds the offered cells against the real ones.
    pub fn score(&self, offer: &Offer) -> Outcome {
        let mut outcome = Outcome::default();
        self.distances(offer, &mut outcome);
        self.distances_in_genes(offer, &mut outcome);
        let [_, others] = self.drawn(offer, self.sizes.tested.min(MOST_IN_GENES), 9);
        OnMap::score(&self.on_map, offer.points.select(Axis(0), &others).view(), &mut outcome);
        self.means(offer, &mut outcome);
        self.genes(offer, &mut outcome);
        self.clusters(offer, &mut outcome);
        outcome
    }

    fn distances(&self, offer: &Offer, outcome: &mut Outcome) {
        let (real, generated) = (self.real.points.view(), offer.points.view());
        outcome.keep_if("mmd2_rbf_median", &self.gamma, |&gamma| mmd::mmd2_rbf(real, generated, gamma));
        let [some, others] = self.transported(offer, self.sizes.transported);
        outcome.keep("w2_exact", wasserstein::w2_exact(some.view(), others.view()));
        let [some, others] = self.transported(offer, self.sizes.transported.min(MOST_IN_GENES));
        outcome.keep("w2_sinkhorn_eps0.01", wasserstein::w2_sinkhorn(some.view(), others.view(), STRENGTH));
        outcome.keep("edist_l2", energy::energy(real, generated));
        outcome.keep("edist_sq", energy::energy_squared(real, generated));
        outcome.keep("std_ratio", spread::std_ratio(real, generated));
    }

    fn transported(&self, offer: &Offer, n: usize) -> [Array2<f32>; 2] {
        let real = self.real.points.select(Axis(0), &choose(self.real.points.nrows(), n, self.seed ^ 1));
        [real, offer.points.select(Axis(0), &choose(offer.points.nrows(), n, self.seed ^ 2))]
    }

    fn distances_in_genes(&self, offer: &Offer, outcome: &mut Outcome) {
        let [some, others] = self.drawn(offer, self.sizes.tested.min(MOST_IN_GENES), 7);
        let (real, generated) = (self.real.expression.points(&some), offer.expression.points(&others));
        let both = energy_and_mmd2(real.view(), generated.view(), self.gamma_genes.as_ref().ok().copied());
        let told = both.map_err(|error| error.line());
        outcome.keep_if("edist_l2_genes", &told, |[energy, _]| Ok(*energy));
        let kernel = self.gamma_genes.clone().and(told);
        outcome.keep_if("mmd2_rbf_median_genes", &kernel, |[_, kernel]| Ok(*kernel));
    }

    /// As many cells of both sides: row numbers.
    fn drawn(&self, offer: &Offer, n: usize, salt: u64) -> [Vec<usize>; 2] {
        let of = |offer: &Offer, salt: u64| choose(offer.points.nrows(), n, self.seed ^ salt);
        [of(&self.real, salt), of(offer, salt + 1)]
    }

    fn means(&self, offer: &Offer, outcome: &mut Outcome) {
        let (real, generated) = (&self.real.means, &offer.means);
        let control = &self.references.control;
        outcome.keep("r2_mean", deltas::r2_mean(real, generated));
        outcome.keep("mse", errors::mse(real, generated));
        outcome.keep("mae", errors::mae(real, generated));
        outcome.keep_if("l2_top1000", control, |control| errors::l2(&control.most_expressed, real, generated));
        outcome.keep_if("pearson_delta", control, |control| deltas::pearson_delta(real, generated, &control.means));
        outcome.keep_if("spearman_delta", control, |control| deltas::spearman_delta(real, generated, &control.means));
        outcome.keep_if("r2_delta", control, |control| deltas::r2_delta(real, generated, &control.means));
        let perturbed = self.references.perturbed.as_deref();
        let mut keep_vs =
            |name: &str, value: Option<Result<f64>>| outcome.keep_or_leave_open(name, value, NO_PERTURBED);
        keep_vs("pearson_delta_vs_perturbed", perturbed.map(|base| deltas::pearson_delta(real, generated, base)));
        keep_vs("spearman_delta_vs_perturbed", perturbed.map(|base| deltas::spearman_delta(real, generated, base)));
        keep_vs("r2_delta_vs_perturbed", perturbed.map(|base| deltas::r2_delta(real, generated, base)));
        for (k, against_control, against_perturbed) in TOP {
            let top = self.differential.as_ref().map(|test| test.most_deviating(k)).map_err(Clone::clone);
            let within = |top: &Vec<usize>, base: &[f64]| deltas::pearson_delta_of(top, real, generated, base);
            let both = control.as_ref().map_err(Clone::clone).and_then(|control| Ok((control, top.clone()?)));
            outcome.keep_if(against_control, &both, |(control, top)| within(top, &control.means));
            match perturbed {
                Some(base) => outcome.keep_if(against_perturbed, &top, |top| within(top, base)),
                None => outcome.leave_open(against_perturbed, NO_PERTURBED),
            }
        }
    }

    fn genes(&self, offer: &Offer, outcome: &mut Outcome) {
        let [_, rows] = self.drawn(offer, self.sizes.tested, 5);
        let control = self.references.control.as_ref().map_err(Clone::clone);
        let test = control.and_then(|control| {
            let test = Differential::between(&offer.expression.columns(&rows), &control.columns);
            test.map_err(|error| error.line())
        });
        let tests = self.differential.as_ref().map_err(Clone::clone).and_then(|real| Ok((real, test?)));
        for (name, k) in [("overlap_at_N", None), ("overlap_at_50", Some(50)), ("overlap_at_100", Some(100))] {
            outcome.keep_if(name, &tests, |(real, generated)| Ok(agreement::overlap_at(real, generated, k)));
        }
        for (name, k) in [("precision_at_N", None), ("precision_at_50", Some(50)), ("precision_at_100", Some(100))] {
            outcome.keep_if(name, &tests, |(real, generated)| Ok(agreement::precision_at(real, generated, k)));
        }
        outcome.keep_if("de_nsig_counts_real", &tests, |(real, _)| Ok(real.significant().len() as f64));
        outcome.keep_if("de_nsig_counts_pred", &tests, |(_, generated)| Ok(generated.significant().len() as f64));
        type Judge = fn(&Differential, &Differential) -> Option<Result<f64>>;
        const ONE_KIND: &str = "all genes or none are significant in the real cells";
        let judges: [(&str, Judge, &str); 5] = [
            (
                "de_direction_match",
                |real, generated| agreement::direction_match(real, generated).map(Ok),
                "no gene is significant in the real cells",
            ),
            (
                "de_sig_genes_recall",
                |real, generated| agreement::recall(real, generated).map(Ok),
                "no gene is significant in the real cells",
            ),
            (
                "de_spearman_lfc_sig",
                agreement::spearman_of_changes,
                "fewer than two genes are significant in the real cells",
            ),
            ("pr_auc", |real, generated| agreement::pr_auc(real, generated).map(Ok), ONE_KIND),
            ("roc_auc", |real, generated| agreement::roc_auc(real, generated).map(Ok), ONE_KIND),
        ];
        for (name, judge, open) in judges {
            match &tests {
                Ok((real, generated)) => outcome.keep_or_leave_open(name, judge(real, generated), open),
                Err(reason) => drop(outcome.missing.insert(name.into(), reason.clone())),
            }
        }
    }

    fn clusters(&self, offer: &Offer, outcome: &mut Outcome) {
        let told = |error: crate::Error| error.line();
        let count = |labels: &[usize], n: usize| labels::histogram(labels, n);
        let answers = self.classifier.predict(offer.points.view()).map_err(told);
        let leiden =
            answers.map(|answers| [&self.labels, &answers].map(|labels| count(labels, self.classifier.n_labels)));
        let nearest = [&self.real.points, &offer.points].map(|points| self.centroids.nearest(points));
        let k_means = Ok(nearest.map(|labels| count(&labels, self.centroids.n_clusters())));
        for (divergence, variation, counts) in
            [("leiden_kld", "leiden_total_variation", leiden), ("kmeans_kld", "kmeans_total_variation", k_means)]
        {
            outcome.keep_if(divergence, &counts, |[real, generated]| labels::kld(real, generated));
            outcome.keep_if(variation, &counts, |[real, generated]| labels::total_variation(real, generated));
        }
        let inception = |points: &Array2<f32>| -> Result<f64> {
            inception_score(self.classifier.probabilities(points.view())?.view())
        };
        let scores = inception(&offer.points).map(|generated| (generated, inception(&self.real.points)));
        let scores = scores.map_err(told);
        outcome.keep_if("leiden_inception_score", &scores, |(generated, _)| Ok(*generated));
        let ratio = scores.and_then(|(generated, real)| Ok(generated / real.map_err(told)?));
        outcome.keep_if("leiden_inception_ratio", &ratio, |ratio| Ok(*ratio));
    }
}

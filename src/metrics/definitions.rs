//! What the metrics mean, in the order of the tables.

use serde::Serialize;

/// What a metric means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Definition {
    /// Its name in the tables.
    pub name: &'static str,
    /// `lower`, `higher`, `one` or `zero` (the closer to it, the better), or nothing.
    pub better: &'static str,
    /// How it is computed.
    pub meaning: &'static str,
    /// True for the few that stand in the first table.
    pub main: bool,
}

const fn main(name: &'static str, better: &'static str, meaning: &'static str) -> Definition {
    Definition { name, better, meaning, main: true }
}

const fn more(name: &'static str, better: &'static str, meaning: &'static str) -> Definition {
    Definition { name, better, meaning, main: false }
}

/// All metrics, in the order of the tables.
pub fn definitions() -> &'static [Definition] {
    const ALL: &[Definition] = &[
        main(
            "mmd2_rbf_median",
            "lower",
            "unbiased squared maximum mean discrepancy on principal components; kernel exp(-g d^2), g = 1 / median \
             squared distance between the real cells of the condition; may fall below zero",
        ),
        main(
            "w2_exact",
            "lower",
            "exact 2-Wasserstein distance on principal components; the same number of cells, at most 1000, for every \
             method of a condition, drawn without replacement; two samples of one distribution are not at zero",
        ),
        main(
            "edist_l2",
            "lower",
            "unbiased energy distance 2 E|x-y| - E|x-x'| - E|y-y'| with Euclidean norm on principal components; may \
             fall below zero",
        ),
        main(
            "std_ratio",
            "one",
            "generated / real standard deviation per principal component, averaged with the real variances as weights",
        ),
        main(
            "pearson_delta",
            "higher",
            "Pearson correlation over genes of (mean - training control mean), generated against real, log1p scale",
        ),
        main("r2_mean", "higher", "coefficient of determination over genes of the mean expression, log1p scale"),
        main(
            "leiden_kld",
            "lower",
            "KL divergence, in nats, of Leiden labels of the real cells from the classifier's labels of the generated \
             cells; generated counts are scaled to the number of real \
             cells and half a cell is added to every label on both sides",
        ),
        main(
            "leiden_total_variation",
            "lower",
            "half the absolute difference between the two label distributions, no smoothing",
        ),
        main(
            "kmeans_kld",
            "lower",
            "as leiden_kld, with the nearest of as many k-means centroids of the real cells as there are Leiden labels in \
             the place of the label; no classifier takes part",
        ),
        main(
            "kmeans_total_variation",
            "lower",
            "as leiden_total_variation, with the nearest k-means centroid in the place of the label",
        ),
        more(
            "edist_sq",
            "lower",
            "as edist_l2 with squared norms, unbiased as in scPerturb; it sees means alone; may fall below zero",
        ),
        more(
            "w2_sinkhorn_eps0.01",
            "lower",
            "root of the transport cost, squared distances on principal components, of the entropic plan whose \
             regularisation is 0.01 of the greatest squared distance; cells as for w2_exact, at most 500; blurred plans \
             cost more",
        ),
        more(
            "edist_l2_genes",
            "lower",
            "as edist_l2 on all genes, log1p scale; the same number of cells, at most 500, for every method of a condition",
        ),
        more(
            "mmd2_rbf_median_genes",
            "lower",
            "as mmd2_rbf_median on all genes, log1p scale; cells as for edist_l2_genes",
        ),
        more(
            "edist_l2_umap",
            "lower",
            "as edist_l2 on a map (UMAP) of at most 3000 training cells, on which real and generated cells find their places \
             alike; cells as for edist_l2_genes; a map bends distances, so believe those on principal components first",
        ),
        more("mmd2_rbf_median_umap", "lower", "as mmd2_rbf_median on the map of edist_l2_umap"),
        more("w2_exact_umap", "lower", "as w2_exact on the map of edist_l2_umap, at most 500 cells"),
        more("spearman_delta", "higher", "as pearson_delta, with ranks over genes"),
        more("r2_delta", "higher", "coefficient of determination over genes of (mean - training control mean)"),
        more(
            "pearson_delta_top20",
            "higher",
            "as pearson_delta over the 20 genes whose ranks in the real cells deviate most from the control (Wilcoxon)",
        ),
        more("pearson_delta_top50", "higher", "as pearson_delta_top20 over 50 genes"),
        more(
            "pearson_delta_vs_perturbed",
            "higher",
            "as pearson_delta with the mean of all perturbed training cells of the same covariates in the place of the \
             control mean: what all perturbations share does not count",
        ),
        more("spearman_delta_vs_perturbed", "higher", "as pearson_delta_vs_perturbed, with ranks over genes"),
        more("r2_delta_vs_perturbed", "higher", "as r2_delta from the mean of the perturbed training cells"),
        more(
            "pearson_delta_top20_vs_perturbed",
            "higher",
            "as pearson_delta_vs_perturbed over the genes of pearson_delta_top20",
        ),
        more(
            "pearson_delta_top50_vs_perturbed",
            "higher",
            "as pearson_delta_vs_perturbed over the genes of pearson_delta_top50",
        ),
        more("mse", "lower", "mean over genes of the squared error of the mean expression, log1p scale"),
        more("mae", "lower", "mean over genes of the absolute error of the mean expression, log1p scale"),
        more(
            "l2_top1000",
            "lower",
            "Euclidean distance of the mean expression over the 1000 genes of the greatest training control mean, log1p scale",
        ),
        more(
            "overlap_at_N",
            "higher",
            "genes that differ from the training control cells (Wilcoxon, Benjamini-Hochberg below 0.05), by |log2 fold \
             change|: part of the N real ones that is among the first N generated ones; 0 without any; as many cells of \
             every method as of the real ones; zeros of the simple estimates move with their cells, so that their tests find too \
             much",
        ),
        more("overlap_at_50", "higher", "as overlap_at_N for the first 50, at most N"),
        more("overlap_at_100", "higher", "as overlap_at_N for the first 100, at most N"),
        more("precision_at_N", "higher", "as overlap_at_N with N the number of generated ones"),
        more("precision_at_50", "higher", "as precision_at_N for the first 50, at most N"),
        more("precision_at_100", "higher", "as precision_at_N for the first 100, at most N"),
        more("de_direction_match", "higher", "part of the real significant genes that changes in the same direction"),
        more(
            "de_sig_genes_recall",
            "higher",
            "part of the real significant genes that is significant in generated cells",
        ),
        more(
            "de_spearman_lfc_sig",
            "higher",
            "Spearman correlation of log2 fold changes over the real significant genes",
        ),
        more("de_nsig_counts_real", "", "number of significant genes in the real cells"),
        more("de_nsig_counts_pred", "", "number of significant genes in the generated cells"),
        more(
            "discrimination_score_l1",
            "higher",
            "1 - r/P: r of the P real effects of evaluated conditions with the same covariates are nearer to the generated \
             effect than its own real one is, by the sum of absolute differences over genes other than the perturbed ones; \
             ties count half; about 0.5 by chance",
        ),
        more("discrimination_score_l2", "higher", "as discrimination_score_l1 by Euclidean distance"),
        more("discrimination_score_cosine", "higher", "as discrimination_score_l1 by cosine distance"),
        more(
            "perturbench_rank",
            "lower",
            "r/P: r of the P generated effects are more like the real effect than its own generated one is, by cosine of \
             log2 changes of mean expression; ties count half; about 0.5 by chance",
        ),
        more(
            "collapse_index",
            "zero",
            "mean correlation of the generated effect with those of the other conditions, less the same of real effects; \
             above zero where a method answers alike to different questions",
        ),
        more(
            "leiden_inception_score",
            "",
            "exp(mean KL(p(label | cell) | p(label))) of the classifier's answers for generated cells: how many clusters \
             the cells fill, and how surely",
        ),
        more("leiden_inception_ratio", "one", "leiden_inception_score of generated cells / that of the real cells"),
    ];
    ALL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_directions_known() {
        let mut names: Vec<&str> = definitions().iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), definitions().len());
        assert!(definitions().iter().all(|metric| ["lower", "higher", "one", "zero", ""].contains(&metric.better)));
        // The first table is to be read at one glance.
        assert!(definitions().iter().filter(|metric| metric.main).count() <= 10);
    }
}

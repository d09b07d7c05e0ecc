//! Means of conditions, drawn towards what they have in common.

use std::collections::BTreeMap;

use ndarray::{Array1, Zip};

use super::strata::Covariates;
use crate::conditions::Condition;

/// The mean of a condition's cells.
pub(super) struct Mean<'a> {
    pub(super) condition: &'a Condition,
    /// (n_dims).
    pub(super) mean: Array1<f64>,
    pub(super) n_cells: f64,
    /// Σ of squared distances of the cells from their mean: (n_dims).
    pub(super) squares: Array1<f64>,
}

/// Empirical Bayes, per dimension: a condition's true mean is drawn from N(μ_c, τ²), μ_c the mean over the conditions with
/// its covariates c, control included; its measured mean m has the variance σ²/n. The estimate is μ_c + w (m − μ_c) with
/// w = τ² / (τ² + σ²/n) (Efron & Morris 1973, JASA 68:117). In dimensions where conditions hardly differ, means of a
/// hundred cells are mostly noise, and sums of several such effects all the more.
pub(super) struct Shrinkage {
    common: BTreeMap<Covariates, Array1<f64>>,
    /// σ²: (n_dims).
    within: Array1<f64>,
    /// τ²: (n_dims).
    between: Array1<f64>,
}

impl Shrinkage {
    /// Estimates μ, σ² and τ² by moments; a τ² below zero is zero.
    pub(super) fn of<'a, 'b: 'a>(means: impl Iterator<Item = &'a Mean<'b>> + Clone) -> Self {
        let n_dims = means.clone().next().map_or(0, |one| one.mean.len());
        let zero = || Array1::<f64>::zeros(n_dims);
        let (mut sums, mut squares, mut freedom) = (BTreeMap::<Covariates, (Array1<f64>, f64)>::new(), zero(), 0.0);
        for one in means.clone() {
            let sum = sums.entry(one.condition.covariates.clone()).or_insert_with(|| (zero(), 0.0));
            sum.0 += &one.mean;
            sum.1 += 1.0;
            squares += &one.squares;
            freedom += one.n_cells - 1.0;
        }
        let within = squares / f64::max(freedom, 1.0);
        let n_free: f64 = sums.values().map(|(_, n)| n - 1.0).sum();
        let common: BTreeMap<Covariates, Array1<f64>> =
            sums.iter().map(|(covariates, (sum, n))| (covariates.clone(), sum / *n)).collect();
        let mut between = zero();
        for one in means {
            let covariates = &one.condition.covariates;
            // A group of k means tells of its spread around their own mean: (1 − 1/k) of the noise is left in it.
            let left = 1.0 - 1.0 / sums[covariates].1;
            between += &(&one.mean - &common[covariates]).mapv(|gap| gap * gap);
            between.scaled_add(-left / one.n_cells, &within);
        }
        let between = (between / f64::max(n_free, 1.0)).mapv(|value| value.max(0.0));
        Self { common, within, between }
    }

    /// σ²/n: (n_dims).
    pub(super) fn noise(&self, one: &Mean<'_>) -> Array1<f64> {
        &self.within / one.n_cells
    }

    /// w: (n_dims).
    pub(super) fn weight(&self, one: &Mean<'_>) -> Array1<f64> {
        let weight = |&between: &f64, &noise: &f64| if noise > 0.0 { between / (between + noise) } else { 1.0 };
        Zip::from(&self.between).and(&self.noise(one)).map_collect(weight)
    }

    /// μ_c + w (m − μ_c): (n_dims).
    pub(super) fn shrink(&self, one: &Mean<'_>) -> Array1<f64> {
        let common = &self.common[&one.condition.covariates];
        common + &(self.weight(one) * (&one.mean - common))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    #[test]
    fn shrunk_means_lie_nearer_to_the_truth_where_conditions_hardly_differ() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let conditions: Vec<Condition> =
            (0..30).map(|number| Condition::parse(&format!("g{number}"), "control").unwrap()).collect();
        // Dimension 0 tells conditions apart, dimension 1 hardly.
        let spreads = [3.0, 0.05];
        let truths: Vec<[f64; 2]> = conditions.iter().map(|_| spreads.map(|spread| 5.0 + spread * normal())).collect();
        let means: Vec<Mean> = conditions
            .iter()
            .zip(&truths)
            .map(|(condition, truth)| {
                let cells: Vec<[f64; 2]> = (0..50).map(|_| truth.map(|truth| truth + normal())).collect();
                let mean = [0, 1].map(|k| cells.iter().map(|cell| cell[k]).sum::<f64>() / 50.0);
                let squares = [0, 1].map(|k| cells.iter().map(|cell| (cell[k] - mean[k]).powi(2)).sum());
                let (mean, squares) = (Array1::from_iter(mean), Array1::from_iter(squares));
                Mean { condition, mean, n_cells: 50.0, squares }
            })
            .collect();
        let shrinkage = Shrinkage::of(means.iter());
        let weight = shrinkage.weight(&means[0]);
        assert!(weight[0] > 0.99 && weight[1] < 0.4, "{weight}");
        let error = |k: usize, of: &dyn Fn(&Mean) -> f64| -> f64 {
            means.iter().zip(&truths).map(|(one, truth)| (of(one) - truth[k]).powi(2)).sum::<f64>() / 30.0
        };
        let (measured, shrunk) = (error(1, &|one| one.mean[1]), error(1, &|one| shrinkage.shrink(one)[1]));
        assert!(shrunk < 0.4 * measured, "{shrunk} {measured}");
        let (measured, shrunk) = (error(0, &|one| one.mean[0]), error(0, &|one| shrinkage.shrink(one)[0]));
        assert!(shrunk < 1.05 * measured, "{shrunk} {measured}");
    }
}

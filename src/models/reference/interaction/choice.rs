//! Which rule of combination tells combinations that it has not seen.

use std::collections::BTreeMap;

use ndarray::Array1;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::bilinear::Bilinear;
use super::elsewhere::Strengths;
use super::low_rank::LowRank;
use super::shrunk::{Shrunk, alone};
use super::strata::Strata;
use crate::Result;
use crate::conditions::{Condition, Perturbation};

/// Combinations are left out one by one up to this number, in as many groups beyond it.
const MOST_FOLDS: usize = 30;
/// With fewer combinations no rule is tried: the standard error of so few gains says little.
const FEWEST_COMBINATIONS: usize = 8;
/// Shares of an interaction that are tried.
const SHARES: [f32; 5] = [0.25, 0.5, 0.75, 1.0, 1.25];

/// What is added to the sum of the parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Nothing.
    Additive,
    /// A bilinear form of codes learned from the combinations.
    LowRank,
    /// A bilinear form of the components' own effects.
    Bilinear,
    /// The mean of both; the bilinear form where a component is in no training combination.
    Mean,
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Additive => "additive",
            Self::LowRank => "low-rank",
            Self::Bilinear => "bilinear",
            Self::Mean => "mean of low-rank and bilinear",
        })
    }
}

/// A rule, the share of its interaction that is used, and its error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tried {
    /// The rule.
    pub rule: Rule,
    /// The factor of its interaction.
    pub share: f32,
    /// Mean squared distance between a combination's measured mean and its estimate without it, weighted by cells.
    pub error: f32,
}

/// The rule that was chosen, and all that were tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The rule in use.
    pub rule: Rule,
    /// The factor of its interaction.
    pub share: f32,
    /// Combinations that were left out in turn.
    pub n_combinations: usize,
    /// The error of the plain additive estimate, each single effect as measured.
    pub plain_additive_error: f32,
    /// Every rule with its best share, additive first.
    pub tried: Vec<Tried>,
}

/// The interactions of the combinations of a screen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rules {
    low_rank: Option<LowRank>,
    bilinear: Option<Bilinear>,
}

impl Rules {
    /// Fits the rules to what the combinations do beyond the sum of their parts, pooled over covariates.
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if a regression cannot be solved.
    pub(super) fn fit(strata: &Strata, shrunk: &Shrunk, seed: u64) -> Result<Self> {
        let mut sums = BTreeMap::<Perturbation, (Array1<f64>, f64)>::new();
        for stratum in &strata.strata {
            let perturbation = &stratum.condition.perturbation;
            if perturbation.components().len() < 2 {
                continue;
            }
            let Ok(additive) = shrunk.additive(&stratum.condition) else { continue };
            let zero = || (Array1::zeros(strata.n_dims()), 0.0);
            let sum = sums.entry(perturbation.clone()).or_insert_with(zero);
            sum.0.scaled_add(stratum.n_cells, &(&stratum.effect - &additive));
            sum.1 += stratum.n_cells;
        }
        let residuals = sums.into_iter().map(|(perturbation, (sum, n))| (perturbation, sum / n)).collect();
        let singles = shrunk.pooled.iter().filter_map(|(perturbation, effect)| match perturbation.components() {
            [component] => Some((component.clone(), effect.clone())),
            _ => None,
        });
        Ok(Self { low_rank: LowRank::fit(&residuals, seed)?, bilinear: Bilinear::fit(&residuals, &singles.collect())? })
    }

    /// The interaction by a rule, over all covariates; nothing where the rule does not reach.
    pub(super) fn interaction(&self, rule: Rule, perturbation: &Perturbation) -> Option<Array1<f64>> {
        let low_rank = || self.low_rank.as_ref()?.estimate(perturbation);
        let bilinear = || self.bilinear.as_ref()?.estimate(perturbation);
        match rule {
            Rule::Additive => None,
            Rule::LowRank => low_rank(),
            Rule::Bilinear => bilinear(),
            Rule::Mean => match (low_rank(), bilinear()) {
                (Some(first), Some(second)) => Some((first + second) / 2.0),
                (_, second) => second,
            },
        }
    }
}

/// A training combination, estimated without any cell of it.
pub(super) struct LeftOut {
    pub(super) condition: Condition,
    /// Σ δ: (n_dims).
    pub(super) additive: Array1<f64>,
    /// The interactions by each rule that reaches: (n_dims).
    interactions: Vec<(Rule, Array1<f64>)>,
    measured: Array1<f64>,
    /// Σ of the single effects as measured.
    plain: Array1<f64>,
    n_cells: f64,
}

impl LeftOut {
    /// The interaction by a rule; nothing where it does not reach.
    pub(super) fn interaction(&self, rule: Rule) -> Option<&Array1<f64>> {
        self.interactions.iter().find(|(other, _)| *other == rule).map(|(_, interaction)| interaction)
    }

    fn error(&self, rule: Rule, share: f32) -> f64 {
        let mut gap = &self.measured - &self.additive;
        if let Some(interaction) = self.interaction(rule) {
            gap.scaled_add(-f64::from(share), interaction);
        }
        self.n_cells * gap.dot(&gap)
    }
}

/// Estimates every training combination from the others, all its covariates left out at once; those whose components
/// occur nowhere else are absent.
///
/// # Errors
/// Those of the fits.
pub(super) fn leave_out(strata: &Strata, strengths: Strengths, seed: u64) -> Result<Vec<LeftOut>> {
    let combinations = strata.combinations();
    let n_folds = combinations.len().min(MOST_FOLDS);
    let fold = |fold: usize| -> Result<Vec<LeftOut>> {
        let out: Vec<&Perturbation> = combinations.iter().skip(fold).step_by(n_folds).copied().collect();
        let rest = strata.without(&out);
        let shrunk = Shrunk::fit(&rest, Some(strengths))?;
        let rules = Rules::fit(&rest, &shrunk, seed)?;
        let of_fold = strata.strata.iter().filter(|stratum| out.contains(&&stratum.condition.perturbation));
        let estimate = |stratum: &super::strata::Stratum| {
            let condition = stratum.condition.clone();
            let additive = shrunk.additive(&condition).ok()?;
            let map = |rule| {
                let interaction = rules.interaction(rule, &condition.perturbation)?;
                Some((rule, shrunk.map(&interaction, &condition.covariates)))
            };
            let interactions = [Rule::LowRank, Rule::Bilinear, Rule::Mean].into_iter().filter_map(map).collect();
            let plain = plain_additive(&rest, &shrunk, &condition);
            let (measured, n_cells) = (stratum.effect.clone(), stratum.n_cells);
            Some(LeftOut { additive, interactions, plain, measured, n_cells, condition })
        };
        Ok(of_fold.filter_map(estimate).collect())
    };
    let folds: Vec<Vec<LeftOut>> = (0..n_folds).into_par_iter().map(fold).collect::<Result<_>>()?;
    Ok(folds.into_iter().flatten().collect())
}

/// Σ of the single effects as measured in the same covariates, or over all of them.
fn plain_additive(strata: &Strata, shrunk: &Shrunk, condition: &Condition) -> Array1<f64> {
    let mut sum = Array1::zeros(strata.n_dims());
    for component in condition.perturbation.components() {
        let single = alone(component, &condition.covariates);
        let measured = strata.strata.iter().find(|stratum| stratum.condition == single);
        let effect = measured.map(|stratum| &stratum.effect).or_else(|| shrunk.pooled.get(&single.perturbation));
        if let Some(effect) = effect {
            sum += effect;
        }
    }
    sum
}

/// The rule and share with the least error; additive unless it is worse by more than the standard error of the difference.
pub(super) fn choose(left_out: &[LeftOut]) -> Choice {
    let n_cells = left_out.iter().map(|one| one.n_cells).sum::<f64>().max(1.0);
    let error = |rule, share| left_out.iter().map(|one| one.error(rule, share)).sum::<f64>() / n_cells;
    let additive = Tried { rule: Rule::Additive, share: 0.0, error: error(Rule::Additive, 0.0) as f32 };
    let mut by_combination = BTreeMap::<&Perturbation, Vec<&LeftOut>>::new();
    for one in left_out {
        by_combination.entry(&one.condition.perturbation).or_default().push(one);
    }
    let n_combinations = by_combination.len();
    let mut tried = vec![additive];
    let mut best = additive;
    if n_combinations >= FEWEST_COMBINATIONS {
        for rule in [Rule::LowRank, Rule::Bilinear, Rule::Mean] {
            let of_share = |share| Tried { rule, share, error: error(rule, share) as f32 };
            let mut shares = SHARES.into_iter().map(of_share).collect::<Vec<_>>();
            shares.sort_by(|a, b| a.error.total_cmp(&b.error));
            tried.push(shares[0]);
            if shares[0].error < best.error {
                best = shares[0];
            }
        }
        let gain = |of: &Vec<&LeftOut>| -> f64 {
            of.iter().map(|one| one.error(Rule::Additive, 0.0) - one.error(best.rule, best.share)).sum()
        };
        let gains: Vec<f64> = by_combination.values().map(gain).collect();
        let n = gains.len() as f64;
        let mean = gains.iter().sum::<f64>() / n;
        let variance = gains.iter().map(|gain| (gain - mean).powi(2)).sum::<f64>() / (n - 1.0);
        if mean <= (variance / n).sqrt() {
            best = additive;
        }
    }
    let plain = |one: &LeftOut| one.n_cells * (&one.measured - &one.plain).mapv(|gap| gap * gap).sum();
    Choice {
        rule: best.rule,
        share: best.share,
        n_combinations,
        plain_additive_error: (left_out.iter().map(plain).sum::<f64>() / n_cells) as f32,
        tried,
    }
}

//! Effects of perturbations in every stratum of covariates, each as sure as its cells allow.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2, Axis};

use super::algebra::{mean_square, solve, stack};
use super::strata::{Covariates, Strata};
use crate::Result;
use crate::conditions::{Condition, Perturbation};

/// Ridges of the maps that are tried; the largest is as good as no map.
const RIDGES: [f64; 5] = [0.1, 0.3, 1.0, 3.0, 1e9];

/// What perturbations do in each stratum of covariates.
///
/// The effect of a perturbation with covariates c that were not measured with it is its effect e in the other strata (mean
/// weighted by cells), mapped to c: b = e + e·U_c, where U_c is a ridge regression of (effect in c − effect elsewhere) on
/// the effect elsewhere over all perturbations measured in c. Where it was measured in c, the measured effect m and b are
/// weighed by what each is worth: δ = w·m + (1 − w)·b with w = τ² / (τ² + σ² / n), per dimension; σ² is the variance
/// of cells within conditions, n the number of cells, τ² the variance of m around b beyond σ²/n, each b made without its
/// own stratum. What was measured in one stratum only was drawn towards the other perturbations before
/// ([`super::shrinkage`]).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shrunk {
    /// Measured strata, weighed.
    pub(super) measured: BTreeMap<Condition, Array1<f64>>,
    /// Measured strata as they would be estimated had they not been measured; absent without other strata.
    pub(super) unmeasured: BTreeMap<Condition, Array1<f64>>,
    /// Over all strata.
    pub(super) pooled: BTreeMap<Perturbation, Array1<f64>>,
    /// U_c: (n_dims, n_dims).
    pub(super) maps: BTreeMap<Covariates, Array2<f64>>,
    /// The ridge of the maps.
    pub(super) ridge: f64,
    pub(super) n_dims: usize,
}

impl Shrunk {
    /// Weighs the strata; the ridge of the maps is the one that tells strata best from others, unless it is given.
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if a regression cannot be solved.
    pub(super) fn fit(strata: &Strata, ridge: Option<f64>) -> Result<Self> {
        let mut sums = BTreeMap::<&Perturbation, (Array1<f64>, f64)>::new();
        for stratum in &strata.strata {
            let zero = || (Array1::zeros(strata.n_dims()), 0.0);
            let sum = sums.entry(&stratum.condition.perturbation).or_insert_with(zero);
            sum.0.scaled_add(stratum.n_cells, &stratum.effect);
            sum.1 += stratum.n_cells;
        }
        let problems = Elsewhere::all(strata, &sums);
        let ridge = match ridge {
            Some(ridge) => ridge,
            None => best_ridge(&problems, strata)?,
        };
        let (mut maps, mut unmeasured) = (BTreeMap::new(), BTreeMap::new());
        for (covariates, problem) in &problems {
            let (map, left_out) = problem.solve(strata, ridge)?;
            maps.insert((*covariates).clone(), map);
            for (&stratum, base) in problem.strata.iter().zip(left_out.rows()) {
                unmeasured.insert(strata.strata[stratum].condition.clone(), base.to_owned());
            }
        }
        let between = between(strata, &unmeasured);
        let weigh = |stratum: &super::strata::Stratum| {
            let Some(base) = unmeasured.get(&stratum.condition) else { return stratum.effect.clone() };
            let mut effect = base.clone();
            for (dim, value) in effect.iter_mut().enumerate() {
                let noise = stratum.noise[dim];
                let weight = if noise > 0.0 { between[dim] / (between[dim] + noise) } else { 1.0 };
                *value += weight * (stratum.effect[dim] - *value);
            }
            effect
        };
        let measured =
            strata.strata.iter().map(|stratum| (stratum.condition.clone(), weigh(stratum))).collect::<BTreeMap<_, _>>();
        let pooled = sums.into_iter().map(|(perturbation, (sum, n))| (perturbation.clone(), sum / n)).collect();
        let mut shrunk = Self { measured, unmeasured, pooled, maps, ridge, n_dims: strata.n_dims() };
        shrunk.infer_components(strata);
        Ok(shrunk)
    }

    /// The effect of a perturbation that was measured somewhere; nothing otherwise.
    pub(super) fn effect(&self, condition: &Condition) -> Option<Array1<f64>> {
        let measured = self.measured.get(condition).cloned();
        measured.or_else(|| Some(self.map(self.pooled.get(&condition.perturbation)?, &condition.covariates)))
    }

    /// The effect in a stratum of what has this effect over all strata.
    pub(super) fn map(&self, effect: &Array1<f64>, covariates: &Covariates) -> Array1<f64> {
        self.maps.get(covariates).map_or_else(|| effect.clone(), |map| effect + &effect.dot(map))
    }

    /// Σ δ of the components; the first component without an effect otherwise.
    pub(super) fn additive(&self, condition: &Condition) -> std::result::Result<Array1<f64>, String> {
        let mut sum = Array1::zeros(self.n_dims);
        for component in condition.perturbation.components() {
            sum += &self.effect(&alone(component, &condition.covariates)).ok_or_else(|| component.clone())?;
        }
        Ok(sum)
    }

    /// Gives components that occur in combinations only what the other components leave of these.
    fn infer_components(&mut self, strata: &Strata) {
        let mut sums = BTreeMap::<Perturbation, (Array1<f64>, f64)>::new();
        for stratum in &strata.strata {
            let mut rest = stratum.effect.clone();
            let mut unknown = Vec::new();
            for component in stratum.condition.perturbation.components() {
                let single = alone(component, &stratum.condition.covariates);
                match self.effect(&single) {
                    Some(effect) => rest -= &effect,
                    None => unknown.push(single.perturbation.clone()),
                }
            }
            let share = stratum.n_cells / unknown.len().max(1) as f64;
            for single in unknown {
                let sum = sums.entry(single).or_insert_with(|| (Array1::zeros(rest.len()), 0.0));
                sum.0.scaled_add(share, &rest);
                sum.1 += stratum.n_cells;
            }
        }
        self.pooled.extend(sums.into_iter().map(|(single, (sum, n))| (single, sum / n)));
    }
}

/// One component alone.
pub(super) fn alone(component: &str, covariates: &Covariates) -> Condition {
    Condition::new(Perturbation::single(component), covariates.clone())
}

/// The perturbations of one stratum of covariates that were also measured in others.
struct Elsewhere {
    /// Their places among the strata.
    strata: Vec<usize>,
    /// Their effects in the other strata: (n_perturbations, n_dims).
    effects: Array2<f64>,
}

impl Elsewhere {
    fn all<'a>(
        strata: &'a Strata,
        sums: &BTreeMap<&Perturbation, (Array1<f64>, f64)>,
    ) -> BTreeMap<&'a Covariates, Self> {
        let mut found = BTreeMap::<&Covariates, (Vec<usize>, Vec<Array1<f64>>)>::new();
        for (place, stratum) in strata.strata.iter().enumerate() {
            let (sum, n) = &sums[&stratum.condition.perturbation];
            let others = n - stratum.n_cells;
            if others > 0.0 {
                let (places, effects) = found.entry(&stratum.condition.covariates).or_default();
                places.push(place);
                effects.push((sum - &(&stratum.effect * stratum.n_cells)) / others);
            }
        }
        let pack = |(covariates, (places, effects)): (_, (_, Vec<Array1<f64>>))| {
            (covariates, Self { strata: places, effects: stack(effects.iter(), strata.n_dims()) })
        };
        found.into_iter().map(pack).collect()
    }

    /// U_c, and each perturbation's effect in c as estimated without it: (n_dims, n_dims), (n_perturbations, n_dims).
    fn solve(&self, strata: &Strata, ridge: f64) -> Result<(Array2<f64>, Array2<f64>)> {
        let here = stack(
            self.strata.iter().map(|&place| &strata.strata[place].effect).collect::<Vec<_>>().into_iter(),
            strata.n_dims(),
        );
        let unit = mean_square(self.effects.view());
        if unit == 0.0 {
            return Ok((Array2::zeros((strata.n_dims(), strata.n_dims())), self.effects.clone()));
        }
        let n_cells = Array1::from_iter(self.strata.iter().map(|&place| strata.strata[place].n_cells));
        let weights = (&n_cells / n_cells.mean().unwrap_or(1.0)).insert_axis(Axis(1));
        let gaps = &here - &self.effects;
        let weighted = &self.effects * &weights; // (n_perturbations, n_dims)
        let mut gram = self.effects.t().dot(&weighted);
        gram.diag_mut().mapv_inplace(|value| value + ridge * unit);
        let inverse = solve(gram.view(), weighted.t())?; // (n_dims, n_perturbations)
        let map = inverse.dot(&gaps);
        let mut left_out = self.effects.dot(&map);
        for (row, mut fitted) in left_out.rows_mut().into_iter().enumerate() {
            // The fit without a row follows from the fit with it: (ŷ − h·y) / (1 − h), h the row's own leverage.
            let leverage = self.effects.row(row).dot(&inverse.column(row));
            fitted.scaled_add(-leverage, &gaps.row(row));
            fitted /= 1.0 - leverage;
        }
        Ok((map, left_out + &self.effects))
    }
}

fn best_ridge(problems: &BTreeMap<&Covariates, Elsewhere>, strata: &Strata) -> Result<f64> {
    let mut best = (f64::INFINITY, RIDGES[RIDGES.len() - 1]);
    for ridge in RIDGES.into_iter().rev() {
        let mut error = 0.0;
        for problem in problems.values() {
            let (_, left_out) = problem.solve(strata, ridge)?;
            for (&place, base) in problem.strata.iter().zip(left_out.rows()) {
                let stratum = &strata.strata[place];
                error += stratum.n_cells * (&stratum.effect - &base).mapv(|gap| gap * gap).sum();
            }
        }
        if error < best.0 {
            best = (error, ridge);
        }
    }
    Ok(best.1)
}

/// τ²: how far strata truly lie from what other strata tell of them: (n_dims).
fn between(strata: &Strata, unmeasured: &BTreeMap<Condition, Array1<f64>>) -> Array1<f64> {
    let (mut sum, mut n) = (Array1::<f64>::zeros(strata.n_dims()), 0.0);
    for stratum in &strata.strata {
        let Some(base) = unmeasured.get(&stratum.condition) else { continue };
        let squares = (&stratum.effect - base).mapv(|gap| gap * gap);
        sum.scaled_add(stratum.n_cells, &squares);
        sum.scaled_add(-stratum.n_cells, &stratum.noise);
        n += stratum.n_cells;
    }
    (sum / f64::max(n, 1.0)).mapv(|value| value.max(0.0))
}

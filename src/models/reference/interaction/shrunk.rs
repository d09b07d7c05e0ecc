//! Effects of perturbations in every stratum of covariates, each as sure as its cells allow.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2};

use super::elsewhere::{Elsewhere, Raw, Strengths, best_strengths, seen_from};
use super::likeness::Likeness;
use super::strata::{Covariates, Strata, Stratum};
use crate::Result;
use crate::conditions::{Between, Condition, Perturbation};

/// What perturbations do in each stratum of covariates.
///
/// The effect of a perturbation with covariates c that were not measured with it is its effect e in the other strata (mean
/// weighted by cells and by [`Likeness`] to c), mapped to c: b = e + e·U_c, where U_c is a ridge regression of (effect in c − effect elsewhere) on
/// the effect elsewhere over all perturbations measured in c. Where it was measured in c, the measured effect m and b are
/// weighed by what each is worth: δ = w·m + (1 − w)·b with w = τ² / (τ² + σ² / n), per dimension; σ² is the variance
/// of cells within conditions, n the number of cells, τ² the variance of m around b beyond σ²/n, each b made without its
/// own stratum. A dose that was not measured takes what lies between its neighbours ([`Between`]). What was measured in one stratum only was drawn towards the other perturbations before
/// ([`super::shrinkage`]).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shrunk {
    /// Measured strata, weighed.
    pub(super) measured: BTreeMap<Condition, Array1<f64>>,
    /// Measured strata as they would be estimated had they not been measured; absent without other strata.
    pub(super) unmeasured: BTreeMap<Condition, Array1<f64>>,
    /// Measured strata as they are: number of cells, effect.
    pub(super) raw: Raw,
    /// Over all strata.
    pub(super) pooled: BTreeMap<Perturbation, Array1<f64>>,
    pub(super) likeness: Likeness,
    /// U_c: (n_dims, n_dims).
    pub(super) maps: BTreeMap<Covariates, Array2<f64>>,
    /// The ridge of the maps.
    pub(super) ridge: f64,
    pub(super) n_dims: usize,
}

impl Shrunk {
    /// Weighs the strata; the strengths are those that tell strata best from others, unless they are given.
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if a regression cannot be solved.
    pub(super) fn fit(strata: &Strata, strengths: Option<Strengths>) -> Result<Self> {
        let mut raw = Raw::new();
        for Stratum { condition, n_cells, effect, .. } in &strata.strata {
            let of = raw.entry(condition.perturbation.clone()).or_default();
            of.push((condition.covariates.clone(), *n_cells, effect.clone()));
        }
        let strengths = match strengths {
            Some(strengths) => strengths,
            None => best_strengths(strata, &raw)?,
        };
        let likeness = Likeness::new(strata.controls.clone(), strengths.bandwidth);
        let problems = Elsewhere::all(strata, &raw, &likeness);
        let ridge = strengths.ridge;
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
        let pooled = raw.iter().map(|(perturbation, effects)| {
            let n_cells: f64 = effects.iter().map(|(_, n_cells, _)| n_cells).sum();
            let zeros = Array1::<f64>::zeros(strata.n_dims());
            let sum = effects.iter().fold(zeros, |sum, (_, n_cells, effect)| sum + effect * *n_cells);
            (perturbation.clone(), sum / n_cells)
        });
        let pooled = pooled.collect();
        let mut shrunk = Self { measured, unmeasured, raw, pooled, likeness, maps, ridge, n_dims: strata.n_dims() };
        shrunk.infer_components(strata);
        Ok(shrunk)
    }

    /// The effect of a perturbation that was measured somewhere; nothing otherwise.
    pub(super) fn effect(&self, condition: &Condition) -> Option<Array1<f64>> {
        if let Some(measured) = self.measured.get(condition) {
            return Some(measured.clone());
        }
        let (perturbation, covariates) = (&condition.perturbation, &condition.covariates);
        let seen = match self.raw.get(perturbation) {
            Some(raw) => seen_from(&self.likeness, covariates, raw)?,
            None => self.pooled.get(perturbation)?.clone(),
        };
        Some(self.map(&seen, covariates))
    }

    /// How strata tell of each other.
    pub(super) fn strengths(&self) -> Strengths {
        Strengths { ridge: self.ridge, bandwidth: self.likeness.bandwidth }
    }

    /// The effect in a stratum of what has this effect over all strata.
    pub(super) fn map(&self, effect: &Array1<f64>, covariates: &Covariates) -> Array1<f64> {
        self.maps.get(covariates).map_or_else(|| effect.clone(), |map| effect + &effect.dot(map))
    }

    /// Σ δ of the components; the first component without an effect otherwise.
    pub(super) fn additive(&self, condition: &Condition) -> std::result::Result<Array1<f64>, String> {
        let mut sum = Array1::zeros(self.n_dims);
        for component in condition.perturbation.components() {
            let effect = self.effect(&alone(component, &condition.covariates));
            let effect = effect.or_else(|| self.between(component, &condition.covariates, &[]));
            sum += &effect.ok_or_else(|| component.clone())?;
        }
        Ok(sum)
    }

    /// The effect of a component at a dose between two others, those of `except` left out: linear in the logarithm of the dose
    /// ([`Between`]).
    pub(super) fn between(&self, component: &str, covariates: &Covariates, except: &[&str]) -> Option<Array1<f64>> {
        // Only the labels of single components are asked for; most screens have no doses at all.
        if !component.contains('@') {
            return None;
        }
        let singles = self.pooled.keys().filter_map(|perturbation| match perturbation.components() {
            [one] if !except.contains(&one.as_str()) => Some(one),
            _ => None,
        });
        let Between { lower, upper, share } = Between::of(component, singles)?;
        let effect = |component: &str| self.effect(&alone(component, covariates));
        Some(effect(&lower)? * (1.0 - share) + effect(&upper)? * share)
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

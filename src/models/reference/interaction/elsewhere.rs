//! What other strata of covariates tell of one.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2, Axis};

use super::super::algebra::{mean_square, solve, stack};
use super::likeness::Likeness;
use super::strata::{Covariates, Strata};
use crate::Result;
use crate::conditions::Perturbation;

/// Ridges of the maps that are tried; the largest is as good as no map.
const RIDGES: [f64; 5] = [0.1, 0.3, 1.0, 3.0, 1e9];
/// Bandwidths of the likeness of strata that are tried, in median distances between their controls.
const BANDWIDTHS: [f64; 4] = [0.2, 0.33, 0.5, 1.0];

/// How strata tell of each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Strengths {
    /// The ridge of the maps.
    pub(super) ridge: f64,
    /// The bandwidth of the likeness, in units of the cells.
    pub(super) bandwidth: Option<f64>,
}

/// Perturbation → covariates, number of cells, effect of each measured stratum.
pub(super) type Raw = BTreeMap<Perturbation, Vec<(Covariates, f64, Array1<f64>)>>;

/// The mean effect in all other strata.
pub(super) fn seen_from(
    likeness: &Likeness,
    covariates: &Covariates,
    raw: &[(Covariates, f64, Array1<f64>)],
) -> Option<Array1<f64>> {
    let others = raw.iter().filter(|(other, ..)| other != covariates);
    likeness.mean(covariates, others.map(|(other, n_cells, effect)| (other, *n_cells, effect)))
}

/// The perturbations of one stratum of covariates that were also measured in others.
pub(super) struct Elsewhere {
    /// Their places among the strata.
    pub(super) strata: Vec<usize>,
    /// Their effects in the other strata: (n_perturbations, n_dims).
    effects: Array2<f64>,
}

impl Elsewhere {
    pub(super) fn all<'a>(strata: &'a Strata, raw: &Raw, likeness: &Likeness) -> BTreeMap<&'a Covariates, Self> {
        let mut found = BTreeMap::<&Covariates, (Vec<usize>, Vec<Array1<f64>>)>::new();
        for (place, stratum) in strata.strata.iter().enumerate() {
            let (perturbation, covariates) = (&stratum.condition.perturbation, &stratum.condition.covariates);
            if let Some(effect) = seen_from(likeness, covariates, &raw[perturbation]) {
                let (places, effects) = found.entry(covariates).or_default();
                places.push(place);
                effects.push(effect);
            }
        }
        let pack = |(covariates, (places, effects)): (_, (_, Vec<Array1<f64>>))| {
            (covariates, Self { strata: places, effects: stack(effects.iter(), strata.n_dims()) })
        };
        found.into_iter().map(pack).collect()
    }

    /// U_c, and each perturbation's effect in c as estimated without it: (n_dims, n_dims), (n_perturbations, n_dims).
    pub(super) fn solve(&self, strata: &Strata, ridge: f64) -> Result<(Array2<f64>, Array2<f64>)> {
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

/// What tells strata best from the others; of equals, the strongest ridge and the widest bandwidth.
pub(super) fn best_strengths(strata: &Strata, raw: &Raw) -> Result<Strengths> {
    let median = Likeness::median_distance(&strata.controls);
    let bandwidths = BANDWIDTHS.iter().rev().filter_map(|share| median.map(|median| Some(share * median)));
    let mut best = (f64::INFINITY, Strengths { ridge: RIDGES[RIDGES.len() - 1], bandwidth: None });
    for bandwidth in std::iter::once(None).chain(bandwidths) {
        let problems = Elsewhere::all(strata, raw, &Likeness::new(strata.controls.clone(), bandwidth));
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
                best = (error, Strengths { ridge, bandwidth });
            }
        }
    }
    Ok(best.1)
}

//! The estimate as lists, for a file.

use std::collections::BTreeMap;

use ndarray::Array1;
use serde::{Deserialize, Serialize};

use super::InteractionEffects;
use super::choice::{Choice, Rules};
use super::elsewhere::Raw;
use super::likeness::Likeness;
use super::shrunk::Shrunk;
use super::strata::Covariates;
use crate::conditions::{Condition, Perturbation};
use crate::models::lists::Rows;

/// The estimate as lists.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    controls: Vec<(Covariates, Vec<f32>)>,
    measured: Vec<(Condition, Vec<f32>)>,
    unmeasured: Vec<(Condition, Vec<f32>)>,
    raw: Vec<(Condition, f64, Vec<f32>)>,
    pooled: Vec<(Perturbation, Vec<f32>)>,
    maps: Vec<(Covariates, Rows)>,
    ridge: f64,
    bandwidth: Option<f64>,
    rules: Rules,
    choice: Choice,
    left_out: Vec<(Condition, [Vec<f32>; 2])>,
}

impl From<InteractionEffects> for Table {
    fn from(effects: InteractionEffects) -> Self {
        fn list<K>(means: BTreeMap<K, Array1<f64>>) -> Vec<(K, Vec<f32>)> {
            means.into_iter().map(|(key, mean)| (key, narrow(&mean))).collect()
        }
        let InteractionEffects { controls, shrunk, rules, choice, left_out } = effects;
        let maps = shrunk.maps.into_iter();
        let raw = shrunk.raw.into_iter().flat_map(|(perturbation, strata)| {
            strata.into_iter().map(move |(covariates, n_cells, effect)| {
                (Condition::new(perturbation.clone(), covariates), n_cells, narrow(&effect))
            })
        });
        let left_out = left_out.into_iter();
        Self {
            controls: list(controls),
            measured: list(shrunk.measured),
            unmeasured: list(shrunk.unmeasured),
            raw: raw.collect(),
            pooled: list(shrunk.pooled),
            maps: maps.map(|(covariates, map)| (covariates, Rows(map.mapv(|value| value as f32)))).collect(),
            ridge: shrunk.ridge,
            bandwidth: shrunk.likeness.bandwidth,
            rules,
            choice,
            left_out: left_out.map(|(condition, (a, i))| (condition, [narrow(&a), narrow(&i)])).collect(),
        }
    }
}

impl From<Table> for InteractionEffects {
    fn from(table: Table) -> Self {
        fn map<K: Ord>(means: Vec<(K, Vec<f32>)>) -> BTreeMap<K, Array1<f64>> {
            means.into_iter().map(|(key, mean)| (key, widen(mean))).collect()
        }
        let controls = map(table.controls);
        let n_dims = controls.values().next().map_or(0, Array1::len);
        let maps = table.maps.into_iter();
        let mut raw = Raw::new();
        for (condition, n_cells, effect) in table.raw {
            let strata = raw.entry(condition.perturbation.clone()).or_default();
            strata.push((condition.covariates.clone(), n_cells, widen(effect)));
        }
        let left_out = table.left_out.into_iter();
        Self {
            shrunk: Shrunk {
                measured: map(table.measured),
                unmeasured: map(table.unmeasured),
                raw,
                pooled: map(table.pooled),
                likeness: Likeness::new(controls.clone(), table.bandwidth),
                maps: maps.map(|(covariates, rows)| (covariates, rows.0.mapv(f64::from))).collect(),
                ridge: table.ridge,
                n_dims,
            },
            controls,
            rules: table.rules,
            choice: table.choice,
            left_out: left_out.map(|(condition, [a, i])| (condition, (widen(a), widen(i)))).collect(),
        }
    }
}

fn narrow(values: &Array1<f64>) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

fn widen(values: Vec<f32>) -> Array1<f64> {
    values.into_iter().map(f64::from).collect()
}

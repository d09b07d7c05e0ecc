//! Mean effects of single components, and the additive estimate of a combination.

use std::collections::BTreeMap;

use ndarray::{Array1, ArrayView1, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::conditions::{Between, Condition, Perturbation};
use crate::error::nearest;
use crate::{Error, Result};

type Covariates = BTreeMap<String, String>;

/// Mean effects fitted on training cells, in any space (principal components or genes).
///
/// δ_c = mean of the cells with component c alone (at one dose, where a screen has doses) − mean of the control, within the same covariates. A component that was
/// never measured alone there takes its effect pooled over the covariates in which it was; one that was never measured
/// alone anywhere takes the mean over training combinations of (combination − control − Σ known δ). A dose between two that
/// occur in training takes (1 − w) δ + w δ' of its neighbours, linear in the logarithm of the dose ([`Between`]). The additive
/// estimate of a combination is control + Σ δ_c (Ahlmann-Eltze et al. 2025, Nature Methods, "additive").
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Table", into = "Table")]
pub struct Effects {
    controls: BTreeMap<Covariates, Array1<f32>>,
    perturbed: BTreeMap<Covariates, Array1<f32>>,
    deltas: BTreeMap<(Covariates, String), Array1<f32>>,
    pooled: BTreeMap<String, Array1<f32>>,
}

/// The effects as lists, for a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    controls: Vec<(Covariates, Vec<f32>)>,
    perturbed: Vec<(Covariates, Vec<f32>)>,
    deltas: Vec<((Covariates, String), Vec<f32>)>,
    pooled: Vec<(String, Vec<f32>)>,
}

impl From<Effects> for Table {
    fn from(effects: Effects) -> Self {
        fn list<K>(means: BTreeMap<K, Array1<f32>>) -> Vec<(K, Vec<f32>)> {
            means.into_iter().map(|(key, mean)| (key, mean.to_vec())).collect()
        }
        Self {
            controls: list(effects.controls),
            perturbed: list(effects.perturbed),
            deltas: list(effects.deltas),
            pooled: list(effects.pooled),
        }
    }
}

impl From<Table> for Effects {
    fn from(table: Table) -> Self {
        fn map<K: Ord>(means: Vec<(K, Vec<f32>)>) -> BTreeMap<K, Array1<f32>> {
            means.into_iter().map(|(key, mean)| (key, Array1::from_vec(mean))).collect()
        }
        Self {
            controls: map(table.controls),
            perturbed: map(table.perturbed),
            deltas: map(table.deltas),
            pooled: map(table.pooled),
        }
    }
}

/// A sum over cells and their number.
#[derive(Clone, Default)]
struct Sum {
    total: Array1<f64>,
    n: usize,
}

impl Sum {
    fn add(&mut self, row: ArrayView1<f32>) {
        if self.n == 0 {
            self.total = Array1::zeros(row.len());
        }
        self.total.zip_mut_with(&row, |total, &value| *total += f64::from(value));
        self.n += 1;
    }

    fn mean(&self) -> Array1<f64> {
        &self.total / self.n as f64
    }
}

impl Effects {
    /// Takes the means over training cells.
    ///
    /// **Shapes** `values`: (n_cells, n_dims); `conditions`, `training`: (n_cells).
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`]; [`Error::TooFew`] if there are no training control cells in a covariate stratum.
    pub fn fit(values: ArrayView2<f32>, conditions: &[Condition], training: &[bool]) -> Result<Self> {
        if values.nrows() != conditions.len() || conditions.len() != training.len() {
            return Err(Error::ShapeMismatch {
                what: "effects".into(),
                expected: format!("{} cells", values.nrows()),
                got: format!("{} conditions, {} training flags", conditions.len(), training.len()),
            });
        }
        let mut sums = BTreeMap::<&Condition, Sum>::new();
        let mut perturbed = BTreeMap::<Covariates, Sum>::new();
        for (row, condition) in conditions.iter().enumerate().filter(|&(row, _)| training[row]) {
            sums.entry(condition).or_default().add(values.row(row));
            if !condition.perturbation.is_control() {
                perturbed.entry(condition.covariates.clone()).or_default().add(values.row(row));
            }
        }
        let controls: BTreeMap<Covariates, Array1<f64>> = sums
            .iter()
            .filter(|(condition, _)| condition.perturbation.is_control())
            .map(|(condition, sum)| (condition.covariates.clone(), sum.mean()))
            .collect();
        let mut differences = Vec::new();
        for (&condition, sum) in sums.iter().filter(|(condition, _)| !condition.perturbation.is_control()) {
            let control = controls.get(&condition.covariates).ok_or_else(|| Error::TooFew {
                what: format!("control cells like `{condition}`"),
                needed: 1,
                got: 0,
                hint: "drop the covariate, or remove the cells of this stratum".into(),
            })?;
            differences.push((condition, sum.mean() - control, sum.n));
        }
        let (deltas, mut pooled) = single_effects(&differences);
        infer_from_combinations(&differences, &mut pooled);
        let single = |means: BTreeMap<Covariates, Array1<f64>>| {
            means.into_iter().map(|(covariates, mean)| (covariates, to_f32(&mean))).collect()
        };
        Ok(Self {
            controls: single(controls),
            perturbed: single(perturbed.into_iter().map(|(covariates, sum)| (covariates, sum.mean())).collect()),
            deltas,
            pooled: pooled.into_iter().map(|(component, delta)| (component, to_f32(&delta))).collect(),
        })
    }

    /// The mean of the training control cells with these covariates: (n_dims).
    ///
    /// # Errors
    /// [`Error::UnknownName`] if there are none.
    pub fn control_mean(&self, covariates: &Covariates) -> Result<Array1<f32>> {
        self.lookup(&self.controls, covariates)
    }

    /// The mean of all perturbed training cells with these covariates: (n_dims).
    ///
    /// # Errors
    /// [`Error::UnknownName`] if there are none.
    pub fn perturbed_mean(&self, covariates: &Covariates) -> Result<Array1<f32>> {
        self.lookup(&self.perturbed, covariates)
    }

    /// The mean of all perturbed training cells with these covariates; where nothing was perturbed, control + the mean over
    /// all other covariates of (perturbed − control): (n_dims).
    ///
    /// # Errors
    /// [`Error::UnknownName`] if there are no control cells with these covariates; [`Error::TooFew`] if nothing was perturbed
    /// anywhere.
    pub fn perturbed_mean_or_elsewhere(&self, covariates: &Covariates) -> Result<Array1<f32>> {
        let control = self.control_mean(covariates)?;
        if let Some(mean) = self.perturbed.get(covariates) {
            return Ok(mean.clone());
        }
        let changes: Vec<Array1<f32>> = self
            .perturbed
            .iter()
            .map(|(elsewhere, mean)| Ok(mean - &self.control_mean(elsewhere)?))
            .collect::<Result<_>>()?;
        if changes.is_empty() {
            return Err(Error::TooFew {
                what: "perturbed training cells".into(),
                needed: 1,
                got: 0,
                hint: "hold fewer conditions out".into(),
            });
        }
        Ok(changes.iter().fold(control, |mean, change| mean + change / changes.len() as f32))
    }

    /// The additive estimate control + Σ δ: (n_dims).
    ///
    /// # Errors
    /// [`Error::UnknownName`] if the covariates or a component never occurred in training.
    pub fn additive(&self, condition: &Condition) -> Result<Array1<f32>> {
        let mut estimate = self.control_mean(&condition.covariates)?;
        for component in condition.perturbation.components() {
            let delta = self.delta(component, &condition.covariates);
            estimate += &delta.ok_or_else(|| unknown_component(component, self.pooled.keys()))?;
        }
        Ok(estimate)
    }

    /// δ of a component: as measured with these covariates, pooled over all, or between the doses that it has.
    fn delta(&self, component: &str, covariates: &Covariates) -> Option<Array1<f32>> {
        let known = |component: &str| {
            let key = (covariates.clone(), component.to_owned());
            self.deltas.get(&key).or_else(|| self.pooled.get(component))
        };
        if let Some(delta) = known(component) {
            return Some(delta.clone());
        }
        let Between { lower, upper, share } = Between::of(component, self.pooled.keys())?;
        Some(known(&lower)? * (1.0 - share as f32) + known(&upper)? * share as f32)
    }

    /// The effects of components that were measured alone, over all covariates: component → (n_dims).
    pub fn singles(&self) -> BTreeMap<String, Array1<f32>> {
        let alone = |component: &String| self.deltas.keys().any(|(_, other)| other == component);
        let pooled = self.pooled.iter().filter(|(component, _)| alone(component));
        pooled.map(|(component, delta)| (component.clone(), delta.clone())).collect()
    }

    /// Takes an effect for a component that no training cell had; others keep theirs.
    pub fn introduce(&mut self, component: &str, delta: Array1<f32>) {
        self.pooled.entry(component.to_owned()).or_insert(delta);
    }

    fn lookup(&self, means: &BTreeMap<Covariates, Array1<f32>>, covariates: &Covariates) -> Result<Array1<f32>> {
        means.get(covariates).cloned().ok_or_else(|| unknown_covariates(covariates, means.keys()))
    }
}

/// The error for a component that never occurred in training.
pub(super) fn unknown_component<'a>(component: &str, known: impl Iterator<Item = &'a String>) -> Error {
    Error::UnknownName {
        what: "component".into(),
        name: component.into(),
        place: "the training cells".into(),
        nearest: nearest(component, known),
    }
}

/// The error for covariates that never occurred in training.
pub(super) fn unknown_covariates<'a>(covariates: &Covariates, known: impl Iterator<Item = &'a Covariates>) -> Error {
    let show = |covariates: &Covariates| Condition::new(Perturbation::control(), covariates.clone()).to_string();
    let known: Vec<String> = known.map(show).collect();
    Error::UnknownName {
        what: "covariates".into(),
        name: show(covariates),
        place: "the training cells".into(),
        nearest: nearest(&show(covariates), known.iter()),
    }
}

type Difference<'a> = (&'a Condition, Array1<f64>, usize);

type ByCovariates = BTreeMap<(Covariates, String), Array1<f32>>;

/// The effects of components measured alone: per covariates, and pooled over them weighted by cells.
fn single_effects(differences: &[Difference]) -> (ByCovariates, BTreeMap<String, Array1<f64>>) {
    let mut deltas = BTreeMap::new();
    let mut sums = BTreeMap::<String, (Array1<f64>, f64)>::new();
    for (condition, difference, n) in differences {
        let [component] = condition.perturbation.components() else { continue };
        deltas.insert((condition.covariates.clone(), component.clone()), to_f32(difference));
        let sum = sums.entry(component.clone()).or_insert_with(|| (Array1::zeros(difference.len()), 0.0));
        sum.0.scaled_add(*n as f64, difference);
        sum.1 += *n as f64;
    }
    (deltas, sums.into_iter().map(|(component, (sum, n))| (component, sum / n)).collect())
}

/// Adds the effects of components that occur in combinations only.
fn infer_from_combinations(differences: &[Difference], pooled: &mut BTreeMap<String, Array1<f64>>) {
    let alone = pooled.clone();
    let mut sums = BTreeMap::<String, (Array1<f64>, f64)>::new();
    for (condition, difference, n) in differences {
        let components = condition.perturbation.components();
        let unknown: Vec<&String> = components.iter().filter(|component| !alone.contains_key(*component)).collect();
        let mut rest = difference.clone();
        components.iter().filter_map(|component| alone.get(component)).for_each(|delta| rest -= delta);
        for component in &unknown {
            let sum = sums.entry((*component).clone()).or_insert_with(|| (Array1::zeros(rest.len()), 0.0));
            sum.0.scaled_add(*n as f64 / unknown.len() as f64, &rest);
            sum.1 += *n as f64;
        }
    }
    pooled.extend(sums.into_iter().map(|(component, (sum, n))| (component, sum / n)));
}

fn to_f32(values: &Array1<f64>) -> Array1<f32> {
    values.mapv(|value| value as f32)
}

#[cfg(test)]
mod tests {
    use ndarray::{arr1, arr2};

    use super::*;

    fn condition(text: &str) -> Condition {
        Condition::new(Perturbation::parse(text, "control").unwrap(), BTreeMap::new())
    }

    #[test]
    fn additive_is_control_plus_the_single_effects() {
        let conditions: Vec<_> = ["control", "control", "A", "B", "A+B"].map(condition).to_vec();
        let values = arr2(&[[0.0, 1.0], [2.0, 1.0], [3.0, 1.0], [1.0, 5.0], [100.0, 100.0]]);
        let training = [true, true, true, true, false];
        let effects = Effects::fit(values.view(), &conditions, &training).unwrap();
        assert_eq!(effects.additive(&condition("A+B")).unwrap(), arr1(&[3.0, 5.0]));
        assert_eq!(effects.perturbed_mean(&BTreeMap::new()).unwrap(), arr1(&[2.0, 3.0]));
    }

    #[test]
    fn where_nothing_was_perturbed_the_mean_change_of_other_covariates_is_taken() {
        let conditions = ["control | t=x", "A | t=x", "control | t=y", "B | t=y", "control | t=z"];
        let conditions = conditions.map(|text| Condition::parse(text, "control").unwrap());
        let values = arr2(&[[1.0], [3.0], [10.0], [16.0], [100.0]]);
        let effects = Effects::fit(values.view(), &conditions, &[true; 5]).unwrap();
        let mean = |place: usize| effects.perturbed_mean_or_elsewhere(&conditions[place].covariates).unwrap();
        assert_eq!([mean(0), mean(2), mean(4)], [arr1(&[3.0]), arr1(&[16.0]), arr1(&[104.0])]);
        let controls = Effects::fit(values.slice(ndarray::s![..1, ..]), &conditions[..1], &[true]).unwrap();
        assert!(controls.perturbed_mean_or_elsewhere(&conditions[0].covariates).is_err());
    }

    #[test]
    fn a_dose_between_two_takes_what_lies_between_their_effects() {
        let conditions = ["control", "A @ 1 uM", "A @ 100 uM", "B", "A @ 10000 uM + B"].map(condition);
        let values = arr2(&[[1.0], [2.0], [6.0], [3.0], [12.0]]);
        let effects = Effects::fit(values.view(), &conditions, &[true; 5]).unwrap();
        // δ is 1 at 1 uM, 5 at 100 uM, and 12 − 1 − 2 at 10000 uM, which occurs with B only.
        for (text, expected) in [("A @ 10 uM", 4.0), ("A @ 100 uM", 6.0), ("A @ 1000 uM + B", 10.0)] {
            let found = effects.additive(&condition(text)).unwrap()[0];
            assert!((found - expected).abs() < 1e-5, "{text}: {found}");
        }
        for beyond in ["A @ 0.5 uM", "A @ 20000 uM", "A"] {
            assert!(effects.additive(&condition(beyond)).unwrap_err().to_string().contains("A @"), "{beyond}");
        }
    }

    #[test]
    fn a_component_seen_only_in_a_combination_takes_what_the_others_leave() {
        let conditions: Vec<_> = ["control", "A", "A+C"].map(condition).to_vec();
        let values = arr2(&[[0.0], [2.0], [7.0]]);
        let effects = Effects::fit(values.view(), &conditions, &[true; 3]).unwrap();
        assert_eq!(effects.additive(&condition("C")).unwrap(), arr1(&[5.0]));
    }

    #[test]
    fn an_unknown_component_is_refused_with_near_names() {
        let conditions: Vec<_> = ["control", "KLF1"].map(condition).to_vec();
        let effects = Effects::fit(arr2(&[[0.0], [2.0]]).view(), &conditions, &[true; 2]).unwrap();
        let error = effects.additive(&condition("KLF2")).unwrap_err();
        assert!(error.to_string().contains("`KLF1`"), "{error}");
    }
}

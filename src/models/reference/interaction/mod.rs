//! The mean of an unseen combination in closed form: effects shrunk over covariates, and interactions.

mod bilinear;
mod choice;
mod elsewhere;
mod likeness;
mod low_rank;
mod shrinkage;
mod shrunk;
mod strata;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use ndarray::{Array1, ArrayView2};
use serde::{Deserialize, Serialize};

use self::choice::Rules;
pub use self::choice::{Choice, Rule, Tried};
use self::shrunk::{Shrunk, alone};
use self::strata::{Covariates, Strata};
use self::table::Table;
use super::effects::{unknown_component, unknown_covariates};
use crate::Result;
use crate::conditions::{Condition, Perturbation};

/// What is estimated of a condition: its mean in parts, and what the estimate rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// The mean of control cells with the same covariates: (n_dims).
    pub control: Array1<f32>,
    /// Σ δ over the components: (n_dims).
    pub effect: Array1<f32>,
    /// What the combination does beyond the sum of its parts: (n_dims).
    pub interaction: Array1<f32>,
    /// The share of the components that were measured alone with these covariates.
    pub parts_measured: f32,
    /// 1 if the condition itself was measured, 0.5 if its perturbation was with other covariates, 0 otherwise.
    pub whole_measured: f32,
}

impl Estimate {
    /// control + Σ δ + interaction: (n_dims).
    pub fn mean(&self) -> Array1<f32> {
        &self.control + &self.effect + &self.interaction
    }
}

/// Means of conditions fitted on training cells, with interactions.
///
/// A perturbation that was measured with other covariates only takes its effect from there (most from the strata whose
/// control cells are most like these, as far as that tells training strata better), mapped to these covariates;
/// one that was measured is shrunk towards that by what its cells are worth, or towards the mean of all conditions with
/// these covariates where there are no others, by empirical Bayes. A combination that was measured nowhere is the
/// sum of its components' effects and an interaction: low-rank, bilinear, their mean, or none, whichever tells training
/// combinations best when each is left out over all covariates at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Table", into = "Table")]
pub struct InteractionEffects {
    controls: BTreeMap<Covariates, Array1<f64>>,
    shrunk: Shrunk,
    rules: Rules,
    choice: Choice,
    /// Training combinations without any of their cells, and single perturbations as others tell of them ([`Self::expect`]):
    /// Σ δ, interaction.
    left_out: BTreeMap<Condition, (Array1<f64>, Array1<f64>)>,
}

impl InteractionEffects {
    /// Fits the estimate to training cells.
    ///
    /// **Shapes** `embedding`: (n_cells, n_dims), in principal components; one condition per cell.
    ///
    /// # Errors
    /// [`crate::Error::ShapeMismatch`]; [`crate::Error::TooFew`] if there are no control cells in a covariate stratum.
    pub fn fit(embedding: ArrayView2<f32>, conditions: &[Condition], seed: u64) -> Result<Self> {
        let strata = Strata::of(embedding, conditions)?;
        let shrunk = Shrunk::fit(&strata, None)?;
        let rules = Rules::fit(&strata, &shrunk, seed)?;
        let left_out = choice::leave_out(&strata, shrunk.strengths(), seed)?;
        let choice = choice::choose(&left_out);
        let parts = left_out.into_iter().map(|one| {
            let zero = || Array1::zeros(one.additive.len());
            let interaction =
                one.interaction(choice.rule).map_or_else(zero, |interaction| interaction * f64::from(choice.share));
            (one.condition, (one.additive, interaction))
        });
        let left_out = parts.collect();
        // Rounded as in a file, so that the estimates are the same before and after.
        let fitted = Self { controls: strata.controls, shrunk, rules, choice, left_out };
        Ok(Table::from(fitted).into())
    }

    /// The effects of components that were measured alone, over all covariates: component → (n_dims).
    pub fn singles(&self) -> BTreeMap<String, Array1<f32>> {
        let single = |(perturbation, effect): (&Perturbation, &Array1<f64>)| match perturbation.components() {
            [component] if self.shrunk.raw.contains_key(perturbation) => Some((component.clone(), narrow(effect))),
            _ => None,
        };
        self.shrunk.pooled.iter().filter_map(single).collect()
    }

    /// Takes an effect for a component that no training cell had; others keep theirs. It goes into sums of effects, mapped to covariates as that
    /// of any component without cells there; of interactions with it nothing is known, so that none is estimated.
    pub fn introduce(&mut self, component: &str, effect: &Array1<f32>) {
        self.shrunk.pooled.entry(Perturbation::single(component)).or_insert_with(|| effect.mapv(f64::from));
    }

    /// Takes what is told of training components by others than their own cells, component → (n_dims): [`Self::views`] then
    /// holds how each would be met had it not been measured at all.
    pub fn expect(&mut self, told: &BTreeMap<String, Array1<f32>>) {
        for condition in self.shrunk.measured.keys() {
            let [component] = condition.perturbation.components() else { continue };
            if let Some(effect) = told.get(component) {
                let effect = self.shrunk.map(&effect.mapv(f64::from), &condition.covariates);
                let zero = Array1::zeros(effect.len());
                self.left_out.insert(condition.clone(), (effect, zero));
            }
        }
    }

    /// The rule in use, with the errors of all.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// The mean of a condition: (n_dims).
    ///
    /// # Errors
    /// [`crate::Error::UnknownName`] if the covariates or a component never occurred in training.
    pub fn estimate(&self, condition: &Condition) -> Result<Array1<f32>> {
        Ok(self.parts(condition)?.mean())
    }

    /// The mean of a training condition as it would be had it not been measured: a combination without all its cells,
    /// whatever their covariates; a single perturbation without those of these covariates. What nothing else tells of (the
    /// control, a perturbation in the only covariates that it was measured with, a combination with a component that occurs
    /// nowhere else) is estimated as by [`Self::estimate`].
    ///
    /// The choice of the rule and of the strength of shrinkage is made once, on all training combinations.
    ///
    /// # Errors
    /// Those of [`Self::estimate`].
    pub fn leave_out(&self, condition: &Condition) -> Result<Array1<f32>> {
        let views = self.views(condition)?;
        Ok(views.first().map(Estimate::mean).unwrap_or_default())
    }

    /// The mean in parts.
    ///
    /// # Errors
    /// Those of [`Self::estimate`].
    pub fn parts(&self, condition: &Condition) -> Result<Estimate> {
        self.control(&condition.covariates)?;
        let additive = self
            .shrunk
            .additive(condition)
            .map_err(|component| unknown_component(&component, self.components().iter()))?;
        let perturbation = &condition.perturbation;
        let is_combination = perturbation.components().len() > 1;
        let interaction = match self.shrunk.effect(condition).filter(|_| is_combination) {
            Some(effect) => effect - &additive,
            None => match self.rules.interaction(self.choice.rule, perturbation).filter(|_| is_combination) {
                Some(interaction) => {
                    self.shrunk.map(&interaction, &condition.covariates) * f64::from(self.choice.share)
                }
                None => Array1::zeros(additive.len()),
            },
        };
        let whole_measured = match (self.shrunk.measured.contains_key(condition), perturbation.is_control()) {
            (true, _) | (_, true) => 1.0,
            _ if self.shrunk.pooled.contains_key(perturbation) => 0.5,
            _ => 0.0,
        };
        self.estimate_of(condition, &additive, &interaction, whole_measured)
    }

    /// The ways in which a training condition can be met, least informed first: as it would be had it (over all
    /// covariates; a single perturbation where descriptions tell of it) not been measured, had it been measured with other covariates only, and as it is.
    ///
    /// # Errors
    /// Those of [`Self::estimate`].
    pub fn views(&self, condition: &Condition) -> Result<Vec<Estimate>> {
        let as_it_is = self.parts(condition)?;
        let mut views = Vec::new();
        if let Some((additive, interaction)) = self.left_out.get(condition) {
            let estimate = self.estimate_of(condition, additive, interaction, 0.0)?;
            let is_single = condition.perturbation.components().len() == 1;
            views.push(if is_single { Estimate { parts_measured: 0.0, ..estimate } } else { estimate });
        }
        if let Some(effect) = self.shrunk.unmeasured.get(condition) {
            if condition.perturbation.components().len() > 1 {
                let interaction = effect - &as_it_is.effect.mapv(f64::from);
                views.push(Estimate { interaction: narrow(&interaction), whole_measured: 0.5, ..as_it_is.clone() });
            } else {
                let effect = narrow(effect);
                views.push(Estimate { effect, parts_measured: 0.0, whole_measured: 0.5, ..as_it_is.clone() });
            }
        }
        views.push(as_it_is);
        Ok(views)
    }

    fn estimate_of(
        &self,
        condition: &Condition,
        additive: &Array1<f64>,
        interaction: &Array1<f64>,
        whole_measured: f32,
    ) -> Result<Estimate> {
        let covariates = &condition.covariates;
        let components = condition.perturbation.components();
        let is_measured = |component: &&String| self.shrunk.measured.contains_key(&alone(component, covariates));
        let n_measured = components.iter().filter(is_measured).count();
        Ok(Estimate {
            control: narrow(self.control(covariates)?),
            effect: narrow(additive),
            interaction: narrow(interaction),
            parts_measured: if components.is_empty() { 1.0 } else { n_measured as f32 / components.len() as f32 },
            whole_measured,
        })
    }

    fn control(&self, covariates: &Covariates) -> Result<&Array1<f64>> {
        self.controls.get(covariates).ok_or_else(|| unknown_covariates(covariates, self.controls.keys()))
    }

    /// The components that occur in training.
    fn components(&self) -> Vec<String> {
        let all = self.shrunk.pooled.keys().flat_map(|perturbation| perturbation.components());
        let mut components: Vec<String> = all.cloned().collect();
        components.sort();
        components.dedup();
        components
    }
}

fn narrow(values: &Array1<f64>) -> Array1<f32> {
    values.mapv(|value| value as f32)
}

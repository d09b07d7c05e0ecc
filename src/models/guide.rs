//! What a flow is told about a condition besides its prompt: where its cells should lie on average.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2, ArrayView2, Axis, concatenate};
use serde::{Deserialize, Serialize};

use super::anchor::Spreads;
use super::coordinates::{Coordinates, Standard};
use super::described::{DescribedEffects, Strength, TextNetwork};
use super::lists::vector;
use super::moments::{moments, second_moments};
use super::reference::{Choice, Effects, Estimate, InteractionEffects};
use crate::conditions::Condition;
use crate::conditions::descriptions::Descriptions;
use crate::{Error, Result};

/// What cells are measured from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Centre {
    /// The mean of all training cells, the same for every condition; nothing but the prompt tells conditions apart.
    None,
    /// The additive estimate control + Σ δ of the condition, which is also given to the network as numbers.
    Additive,
    /// The estimate with interactions, likewise; training conditions are met as if they had not been measured.
    Interaction,
}

/// One way in which a flow meets a condition.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// The point that cells are measured from: (n_dims).
    pub centre: Array1<f32>,
    /// The condition in numbers: (n_inputs).
    pub inputs: Array1<f32>,
}

/// Turns principal components into the numbers that a flow works on, and back.
///
/// z = (x − centre(condition))·W; W gives training cells unit standard deviation around their centres, so that a flow
/// from N(0, I) starts near its goal ([`Coordinates`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Guide {
    centre: Centre,
    /// Whether conditions are told in numbers.
    has_inputs: bool,
    effects: Effects,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interactions: Option<InteractionEffects>,
    /// What descriptions tell of components that no training cell had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    described: Option<DescribedEffects>,
    #[serde(with = "vector")]
    mean: Array1<f32>,
    #[serde(with = "vector")]
    spread: Array1<f32>,
    standard: Standard,
    spreads: Spreads,
}

impl Guide {
    /// Fits the guide to training cells; descriptions are read by a network, or by their words if there is none.
    ///
    /// **Shapes** `embedding`: (n_cells, n_dims); one condition per cell.
    ///
    /// # Errors
    /// Those of [`Effects::fit`], [`InteractionEffects::fit`] and, where something is described, [`DescribedEffects::fit`];
    /// [`Error::TooFew`] with fewer than two cells.
    pub fn fit(
        embedding: ArrayView2<f32>,
        conditions: &[Condition],
        centre: Centre,
        coordinates: Coordinates,
        descriptions: &Descriptions,
        network: Option<&TextNetwork>,
        seed: u64,
    ) -> Result<Self> {
        let n_cells = embedding.nrows();
        if n_cells < 2 {
            return Err(Error::TooFew {
                what: "training cells".into(),
                needed: 2,
                got: n_cells,
                hint: "hold out fewer conditions".into(),
            });
        }
        let effects = Effects::fit(embedding, conditions, &vec![true; n_cells])?;
        let positive = |value: f64| if value > 0.0 { value as f32 } else { 1.0 };
        let (mean, spread) = moments(embedding);
        let (mean, spread) = (mean.mapv(|value| value as f32), spread.mapv(positive));
        let mut interactions = match centre {
            Centre::Interaction => Some(InteractionEffects::fit(embedding, conditions, seed)?),
            Centre::None | Centre::Additive => None,
        };
        let described = match centre {
            Centre::None => None,
            _ if descriptions.is_empty() => None,
            _ => {
                let singles = interactions.as_ref().map_or_else(|| effects.singles(), InteractionEffects::singles);
                let (described, told) = DescribedEffects::fit(descriptions, &singles, network)?;
                interactions.iter_mut().for_each(|interactions| interactions.expect(&told));
                Some(described)
            }
        };
        let flat = Array2::<f64>::zeros((mean.len(), mean.len()));
        let standard = Standard::fit(Coordinates::Scaled, flat.view(), flat.view())?;
        let mut guide = Self {
            centre,
            has_inputs: true,
            effects,
            interactions,
            described,
            mean,
            spread,
            standard,
            spreads: Spreads::default(),
        };
        let (mut within, mut around) = (flat.clone(), flat);
        let mut rows_of = BTreeMap::<&Condition, Vec<usize>>::new();
        for (row, condition) in conditions.iter().enumerate() {
            rows_of.entry(condition).or_default().push(row);
        }
        for (condition, rows) in rows_of {
            let views = guide.training_views(condition)?;
            let (own, squares) = second_moments(embedding, &rows);
            guide.spreads.add(condition, rows.len(), squares.diag().sum());
            within.scaled_add(1.0 / n_cells as f64, &squares);
            around.scaled_add(1.0 / n_cells as f64, &squares);
            for view in &views {
                let gap = (&own - &view.centre.mapv(f64::from)).insert_axis(Axis(1));
                around.scaled_add(rows.len() as f64 / (views.len() * n_cells) as f64, &gap.dot(&gap.t()));
            }
        }
        guide.standard = Standard::fit(coordinates, within.view(), around.view())?;
        guide.describe(descriptions, network)?;
        Ok(guide)
    }

    /// Number of components of a cell.
    pub fn n_dims(&self) -> usize {
        self.mean.len()
    }

    /// The same guide, which moves cells but tells nothing in numbers.
    pub fn without_inputs(self) -> Self {
        Self { has_inputs: false, ..self }
    }

    /// Number of numbers that describe a condition.
    pub fn n_inputs(&self) -> usize {
        match self.centre {
            _ if !self.has_inputs => 0,
            Centre::None => 0,
            Centre::Additive => 2 * self.n_dims(),
            Centre::Interaction => 3 * self.n_dims() + 2,
        }
    }

    /// The rule of combination in use, where there is one.
    pub fn choice(&self) -> Option<&Choice> {
        self.interactions.as_ref().map(InteractionEffects::choice)
    }

    /// How strongly descriptions are trusted, where there are some.
    pub fn strength(&self) -> Option<&Strength> {
        self.described.as_ref().map(DescribedEffects::strength)
    }

    /// Takes descriptions, read by the network of the fit: components that no training cell had get the effects that these tell.
    /// Does nothing in a guide without estimates, or that was fitted without descriptions.
    ///
    /// # Errors
    /// Those of [`DescribedEffects::effect`].
    pub fn describe(&mut self, descriptions: &Descriptions, network: Option<&TextNetwork>) -> Result<()> {
        let Some(described) = &self.described else { return Ok(()) };
        for (component, text) in descriptions.iter() {
            let effect = described.effect(text, network)?;
            self.interactions.iter_mut().for_each(|interactions| interactions.introduce(component, &effect));
            self.effects.introduce(component, effect);
        }
        Ok(())
    }

    /// How a condition is met in generation.
    ///
    /// The inputs are the additive estimate, its distance from the control, the interaction (in units of the spread of all
    /// training cells), and how much of the condition was measured; the last two with [`Centre::Interaction`] only.
    ///
    /// # Errors
    /// [`Error::UnknownName`] if the covariates or a component never occurred in training.
    pub fn view(&self, condition: &Condition) -> Result<View> {
        match (self.centre, &self.interactions) {
            (Centre::None, _) => Ok(View { centre: self.mean.clone(), inputs: Array1::zeros(0) }),
            (Centre::Interaction, Some(interactions)) => self.view_of(&interactions.parts(condition)?),
            (Centre::Interaction, None) => Err(Error::MissingKey {
                place: "the guide of the model".into(),
                key: "interactions".into(),
                hint: "fit the model again".into(),
            }),
            (Centre::Additive, _) => {
                let centre = self.effects.additive(condition)?;
                let effect = &centre - &self.effects.control_mean(&condition.covariates)?;
                let inputs = self.join(&[&((&centre - &self.mean) / &self.spread), &(effect / &self.spread)])?;
                Ok(View { centre, inputs })
            }
        }
    }

    /// The ways in which a training condition is met in training. With [`Centre::Interaction`] these are all that
    /// prediction may meet: the condition unmeasured, measured with other covariates only, and as it is, so that a flow
    /// learns how far to trust an estimate; single perturbations also as their descriptions tell, where these are given. Otherwise it is the one of [`Self::view`].
    ///
    /// # Errors
    /// Those of [`Self::view`].
    pub fn training_views(&self, condition: &Condition) -> Result<Vec<View>> {
        match &self.interactions {
            Some(interactions) => {
                interactions.views(condition)?.iter().map(|estimate| self.view_of(estimate)).collect()
            }
            None => Ok(vec![self.view(condition)?]),
        }
    }

    fn view_of(&self, estimate: &Estimate) -> Result<View> {
        let additive = &estimate.control + &estimate.effect;
        let measured = Array1::from(vec![estimate.parts_measured, estimate.whole_measured]);
        let inputs = self.join(&[
            &((additive - &self.mean) / &self.spread),
            &(&estimate.effect / &self.spread),
            &(&estimate.interaction / &self.spread),
            &measured,
        ])?;
        Ok(View { centre: estimate.mean(), inputs })
    }

    fn join(&self, parts: &[&Array1<f32>]) -> Result<Array1<f32>> {
        if !self.has_inputs {
            return Ok(Array1::zeros(0));
        }
        let parts: Vec<_> = parts.iter().map(|part| part.view()).collect();
        concatenate(Axis(0), &parts).map_err(|source| Error::backend("joining the inputs of a condition", source))
    }

    /// The map between principal components and the coordinates of a flow.
    pub fn standard(&self) -> &Standard {
        &self.standard
    }

    /// How far the cells of a condition should lie from their mean; nothing if nothing tells ([`Spreads`]).
    pub fn expected_spread(&self, condition: &Condition) -> Option<f32> {
        self.spreads.expected(condition)
    }

    /// True if centres are estimates of their conditions' means.
    pub fn has_estimates(&self) -> bool {
        self.centre != Centre::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(text: &str) -> Condition {
        Condition::parse(text, "control").unwrap()
    }

    /// Two cells of each condition in two cell types.
    fn screen() -> (Array2<f32>, Vec<Condition>) {
        let (mut cells, mut conditions) = (Vec::new(), Vec::new());
        for (kind, strength) in [("x", 1.0), ("y", 1.5)] {
            for (name, effect) in [("control", 0.0), ("A", 2.0), ("B", 3.0), ("A+B", 8.0), ("B+C", 4.0), ("C", 1.0)] {
                for side in [-0.5, 0.5] {
                    cells.extend([strength * effect + side, strength, side]);
                    conditions.push(condition(&format!("{name} | cell_type={kind}")));
                }
            }
        }
        (Array2::from_shape_vec((conditions.len(), 3), cells).unwrap(), conditions)
    }

    #[test]
    fn cells_come_back_from_any_view() {
        let (cells, conditions) = screen();
        for centre in [Centre::None, Centre::Additive, Centre::Interaction] {
            let guide =
                Guide::fit(cells.view(), &conditions, centre, Coordinates::Whitened, &Descriptions::default(), None, 0)
                    .unwrap();
            let condition = condition("A+B | cell_type=y");
            for view in guide.training_views(&condition).unwrap().into_iter().chain([guide.view(&condition).unwrap()]) {
                assert_eq!((view.centre.len(), view.inputs.len()), (3, guide.n_inputs()));
                let back = guide
                    .standard()
                    .restore(guide.standard().standardise(cells.view(), &view.centre).view(), &view.centre);
                assert!((back - &cells).iter().all(|gap| gap.abs() < 1e-5), "{centre:?}");
            }
        }
    }

    #[test]
    fn with_interactions_a_condition_is_met_as_prediction_may_meet_it() {
        let (cells, conditions) = screen();
        let guide = Guide::fit(
            cells.view(),
            &conditions,
            Centre::Interaction,
            Coordinates::Whitened,
            &Descriptions::default(),
            None,
            0,
        )
        .unwrap();
        let measured = |text: &str| -> Vec<[f32; 2]> {
            let views = guide.training_views(&condition(text)).unwrap();
            views.iter().map(|view| [view.inputs[9], view.inputs[10]]).collect()
        };
        assert_eq!(measured("control | cell_type=x"), [[1.0, 1.0]]);
        assert_eq!(measured("A | cell_type=x"), [[0.0, 0.5], [1.0, 1.0]]);
        assert_eq!(measured("A+B | cell_type=x"), [[1.0, 0.0], [1.0, 0.5], [1.0, 1.0]]);
        let unseen = guide.view(&condition("A+C | cell_type=x")).unwrap();
        assert_eq!([unseen.inputs[9], unseen.inputs[10]], [1.0, 0.0]);
    }

    #[test]
    fn a_guide_without_its_interactions_is_refused() {
        let (cells, conditions) = screen();
        let guide = Guide::fit(
            cells.view(),
            &conditions,
            Centre::Interaction,
            Coordinates::Whitened,
            &Descriptions::default(),
            None,
            0,
        )
        .unwrap();
        let mut file = serde_json::to_value(&guide).unwrap();
        assert_eq!(serde_json::from_value::<Guide>(file.clone()).unwrap(), guide);
        file.as_object_mut().unwrap().remove("interactions");
        let broken: Guide = serde_json::from_value(file).unwrap();
        assert!(broken.view(&conditions[0]).unwrap_err().to_string().contains("interactions"));
    }
}

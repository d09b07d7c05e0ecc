//! A fitted closed form: cells of any condition.

use std::sync::Arc;

use ndarray::Array2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::estimate::{ClosedForm, Fit};
use crate::Result;
use crate::conditions::descriptions::Descriptions;
use crate::conditions::{Condition, Perturbation};
use crate::error::refuse;
use crate::models::described::{DescribedEffects, Strength, TextNetwork, Wording};
use crate::models::method::{Asked, DESCRIPTIONS, Draws, FittedMethod, Made, refuse_undescribed};
use crate::models::record::Record;
use crate::models::reference::Choice;
use crate::models::source::ControlCells;
use crate::models::training_data::TrainingData;

/// What was fitted.
const ESTIMATE: &str = "estimate.json";
/// The control cells that are moved.
const CONTROLS: &str = "control_cells.safetensors";
/// What descriptions tell.
const DESCRIBED: &str = "described_effects.json";

/// A fitted closed form.
#[derive(Debug, Clone)]
pub struct FittedClosedForm {
    form: ClosedForm,
    fit: Fit,
    /// The cells that are moved, unless all are alike.
    controls: Option<ControlCells>,
    /// What descriptions tell of components that no training cell had.
    described: Option<DescribedEffects>,
    /// What is said of components.
    descriptions: Descriptions,
    /// The network that makes vectors of that, where its words do not.
    network: Option<Arc<TextNetwork>>,
}

impl FittedClosedForm {
    /// Fits to training cells; the seed decides which control cells are kept where there are very many.
    ///
    /// # Errors
    /// [`crate::Error::ShapeMismatch`]; [`crate::Error::TooFew`] if there are no control cells in a covariate stratum; those of
    /// [`DescribedEffects::fit`].
    pub fn fit(form: ClosedForm, cells: &TrainingData, wording: &Wording, seed: u64) -> Result<Self> {
        let fit = Fit::to(form, cells.embedding, cells.conditions, seed)?;
        let controls = form.is_shift().then(|| ControlCells::fit(cells.embedding, cells.conditions, seed));
        let (descriptions, network) = (wording.phrasing.descriptions(), wording.network.clone());
        let described = match form.reads_descriptions() && !descriptions.is_empty() {
            true => Some(DescribedEffects::fit(descriptions, &fit.singles(), network.as_deref())?.0),
            false => None,
        };
        let mut fitted = Self { form, fit, controls, described, descriptions: Descriptions::default(), network };
        fitted.describe(descriptions)?;
        Ok(fitted)
    }

    /// Takes from a record what [`FittedMethod::record`] put into it.
    ///
    /// # Errors
    /// [`crate::Error::MissingKey`] for what is absent; [`crate::Error::InvalidFile`] or [`crate::Error::ShapeMismatch`] for what does not belong
    /// to the method.
    pub fn take(form: ClosedForm, record: &mut Record) -> Result<Self> {
        let fit: Fit = record.take(ESTIMATE)?;
        let belongs = match &fit {
            Fit::Linear(_) => form == ClosedForm::Linear,
            Fit::Interaction(_) => form == ClosedForm::InteractionShift,
            Fit::Effects(_) => !matches!(form, ClosedForm::Linear | ClosedForm::InteractionShift),
        };
        if !belongs {
            return refuse("method", form.name(), &format!("{ESTIMATE} was fitted for another method; fit it again"));
        }
        let described = if record.has(DESCRIBED) { Some(record.take(DESCRIBED)?) } else { None };
        let descriptions = if record.has(DESCRIPTIONS) { record.take(DESCRIPTIONS)? } else { Descriptions::default() };
        let network = TextNetwork::take(record)?.map(Arc::new);
        let mut fitted = Self { form, fit, controls: None, described, descriptions, network };
        if form.is_shift() {
            let arrays: std::collections::BTreeMap<_, _> = record.take_arrays(CONTROLS)?;
            let first = arrays.keys().next().map(|name: &String| serde_json::from_str(name));
            let covariates = first.and_then(std::result::Result::ok).unwrap_or_default();
            let [control, _] = fitted.fit.means(form, &Condition::new(Perturbation::control(), covariates))?;
            fitted.controls = Some(ControlCells::from_arrays(arrays, control.len())?);
        }
        Ok(fitted)
    }

    /// Fails for a way of drawing that a closed form does not have.
    fn check(&self, draws: Draws) -> Result<()> {
        draws.check()?;
        let own = Draws::default();
        let foreign = [
            ("temperature", draws.temperature != own.temperature),
            ("guidance", draws.guidance != own.guidance),
            ("anchor", draws.anchor.is_some()),
            ("solver", draws.solver.is_some()),
        ];
        match foreign.into_iter().find(|(_, given)| *given) {
            Some((name, _)) => {
                let reason = format!("method `{}` is a closed form and has none; leave it away", self.name());
                refuse(name, "given", &reason)
            }
            None => Ok(()),
        }
    }
}

impl FittedMethod for FittedClosedForm {
    fn name(&self) -> &'static str {
        self.form.name()
    }

    fn params(&self) -> Result<serde_json::Value> {
        Ok(serde_json::json!({}))
    }

    fn record(&self) -> Result<Record> {
        let mut record = Record::default();
        record.put(ESTIMATE, &self.fit)?;
        if let Some(controls) = &self.controls {
            record.put_arrays(CONTROLS, controls.to_arrays()?)?;
        }
        self.described.iter().try_for_each(|described| record.put(DESCRIBED, described))?;
        if !self.descriptions.is_empty() {
            record.put(DESCRIPTIONS, &self.descriptions)?;
        }
        self.network.iter().try_for_each(|network| network.keep(&mut record))?;
        Ok(record)
    }

    fn strength(&self) -> Option<&Strength> {
        self.described.as_ref().map(DescribedEffects::strength)
    }

    fn check_unseen(&self) -> Result<()> {
        match self.form.reads_descriptions() && self.described.is_none() {
            true => refuse_undescribed(self.name()),
            false => Ok(()),
        }
    }

    fn descriptions(&self) -> Option<&Descriptions> {
        Some(&self.descriptions)
    }

    fn describe(&mut self, descriptions: &Descriptions) -> Result<()> {
        let network = self.network.as_deref();
        network.map_or(Ok(()), |network| network.check(descriptions))?;
        self.descriptions.add(descriptions)?;
        let Some(described) = &self.described else { return Ok(()) };
        for (component, text) in descriptions.iter() {
            self.fit.introduce(component, described.effect(text, network)?);
        }
        Ok(())
    }

    fn choice(&self) -> Option<&Choice> {
        self.fit.choice()
    }

    fn n_sources(&self, condition: &Condition) -> Option<usize> {
        self.controls.as_ref().map(|controls| controls.n_cells(condition))
    }

    fn make(&self, asked: &Asked) -> Result<Made> {
        self.check(asked.draws)?;
        let [control, mean] = self.fit.means(self.form, asked.condition)?;
        let cells = match &self.controls {
            Some(controls) => {
                let mut rng = ChaCha8Rng::seed_from_u64(asked.seed);
                controls.draw(asked.condition, asked.n_cells, &mut rng)? + &(mean - control)
            }
            None => {
                let all = mean.broadcast((asked.n_cells, mean.len())).map(|cells| cells.to_owned());
                all.unwrap_or_else(|| Array2::zeros((asked.n_cells, mean.len())))
            }
        };
        Ok(Made::Components(cells))
    }
}

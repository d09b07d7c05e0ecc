//! Every method by its name.

use candle_core::Device;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::calmflow::{CalmFlow, CalmFlowObjective, CalmFlowParams, LanguageParams, LanguageStart};
use super::cfm::{Cfm, CfmObjective, CfmParams, Variant};
use super::closed_form::{ClosedForm, FittedClosedForm};
use super::counts::Kept;
use super::cpa::{Cpa, CpaObjective, CpaParams};
use super::described::Wording;
use super::fitted_flow::WEIGHTS;
use super::method::{Begun, FittedMethod, Makes};
use super::reader::Reader;
use super::record::Record;
use super::scgpt::{Pretrained, Scgpt, ScgptObjective, ScgptParams};
use super::scvi::{Scvi, ScviObjective, ScviParams};
use super::training_data::TrainingData;
use crate::error::{nearest, refuse};
use crate::{Error, Result};

/// The methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Flow matching as a Volterra equation, solved by a causal language model.
    #[default]
    Calmflow,
    /// Conditional flow matching.
    Cfm,
    /// The same with ends paired by exact optimal transport.
    CfmOt,
    /// The same with ends paired by entropic optimal transport and a Brownian bridge between them.
    CfmSb,
    /// A variational autoencoder of counts, told of the condition.
    Scvi,
    /// The compositional perturbation autoencoder, on counts.
    Cpa,
    /// A transformer over genes, from control cells to perturbed ones.
    Scgpt,
    /// Every cell is the mean of the control cells.
    ControlMean,
    /// Every cell is the mean of all perturbed cells.
    PerturbedMean,
    /// Every cell is the control plus the sum of the single effects.
    Additive,
    /// Every cell is the mean that a ridge regression on factors of genes and perturbations tells.
    Linear,
    /// Control cells, moved by the sum of the single effects.
    AdditiveShift,
    /// Control cells, moved by the estimate with interaction.
    InteractionShift,
}

/// What a method has, and flags may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Has {
    /// Training by gradients: steps, rates, a network.
    Training,
    /// A flow: a path, a prompt, coordinates.
    Flow,
    /// Estimates from descriptions of components.
    Descriptions,
    /// An estimate of a condition's mean that it is told.
    Estimate,
    /// A choice of what cells are made from.
    Source,
    /// A score beside the velocity.
    Score,
    /// A causal language model.
    LanguageModel,
    /// A law of counts, and latents that it is decoded from.
    Counts,
    /// Adversaries.
    Adversary,
    /// Heads of an attention.
    Attention,
    /// Genes as tokens.
    GeneTokens,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Calmflow,
        Self::Cfm,
        Self::CfmOt,
        Self::CfmSb,
        Self::Scvi,
        Self::Cpa,
        Self::Scgpt,
        Self::ControlMean,
        Self::PerturbedMean,
        Self::Additive,
        Self::Linear,
        Self::AdditiveShift,
        Self::InteractionShift,
    ];

    /// True if the method has it.
    pub fn has(self, what: Has) -> bool {
        match what {
            Has::Training => self.closed_form().is_none(),
            Has::Flow => matches!(self, Self::Calmflow | Self::Cfm | Self::CfmOt | Self::CfmSb),
            Has::Descriptions => self.has(Has::Flow) || self.closed_form().is_some_and(ClosedForm::reads_descriptions),
            Has::Estimate => self.has(Has::Flow) || self.has(Has::Counts) || self == Self::Scgpt,
            Has::Source => self == Self::Scvi || self.has(Has::Flow),
            Has::Score => self == Self::CfmSb,
            Has::LanguageModel => self == Self::Calmflow,
            Has::Counts => matches!(self, Self::Scvi | Self::Cpa),
            Has::Adversary => self == Self::Cpa,
            Has::Attention => matches!(self, Self::Calmflow | Self::Scgpt),
            Has::GeneTokens => self == Self::Scgpt,
        }
    }

    /// The closed form that it is, if it is one.
    pub fn closed_form(self) -> Option<ClosedForm> {
        Some(match self {
            Self::ControlMean => ClosedForm::ControlMean,
            Self::PerturbedMean => ClosedForm::PerturbedMean,
            Self::Additive => ClosedForm::Additive,
            Self::Linear => ClosedForm::Linear,
            Self::AdditiveShift => ClosedForm::AdditiveShift,
            Self::InteractionShift => ClosedForm::InteractionShift,
            Self::Calmflow | Self::Cfm | Self::CfmOt | Self::CfmSb | Self::Scvi | Self::Cpa | Self::Scgpt => {
                return None;
            }
        })
    }

    /// The peak learning rate at which it is fitted unless told otherwise: wide layers want a lower one. None if nothing is
    /// trained.
    pub fn learning_rate(self) -> Option<f64> {
        match self {
            Self::Calmflow | Self::Scvi | Self::Cpa | Self::Scgpt => Some(2e-3),
            Self::Cfm | Self::CfmOt | Self::CfmSb => Some(1e-3),
            _ => None,
        }
    }

    /// The name by which it is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::Calmflow => "calmflow",
            Self::Cfm => Variant::Cfm.name(),
            Self::CfmOt => Variant::CfmOt.name(),
            Self::CfmSb => Variant::CfmSb.name(),
            Self::Scvi => "scvi",
            Self::Cpa => "cpa",
            Self::Scgpt => "scgpt",
            Self::ControlMean => ClosedForm::ControlMean.name(),
            Self::PerturbedMean => ClosedForm::PerturbedMean.name(),
            Self::Additive => ClosedForm::Additive.name(),
            Self::Linear => ClosedForm::Linear.name(),
            Self::AdditiveShift => ClosedForm::AdditiveShift.name(),
            Self::InteractionShift => ClosedForm::InteractionShift.name(),
        }
    }

    /// The method of this name.
    ///
    /// # Errors
    /// [`Error::UnknownName`] with the nearest names.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name).ok_or_else(|| {
            let names: Vec<String> = Self::ALL.iter().map(|method| method.name().to_owned()).collect();
            Error::UnknownName {
                what: "method".into(),
                name: name.into(),
                place: "this version".into(),
                nearest: nearest(name, names.iter()),
            }
        })
    }
}

/// What a method starts from that was learned elsewhere.
pub enum Given {
    /// Nothing.
    Nothing,
    /// The weights of a published scGPT.
    Scgpt(Box<Pretrained>),
    /// A causal language model of a CaLMFlow.
    Language(Box<LanguageStart>),
}

/// A method with its choices.
// There is one of it in a fit: what it copies in vain is less than what a pointer would cost in words.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Choices {
    /// Of a CaLMFlow.
    CalmFlow(CalmFlowParams),
    /// Of conditional flow matching.
    Cfm(CfmParams),
    /// Of an scVI.
    Scvi(ScviParams),
    /// Of a CPA.
    Cpa(CpaParams),
    /// Of an scGPT.
    Scgpt(ScgptParams),
    /// Of a closed form, which has none.
    ClosedForm(ClosedForm),
}

impl Choices {
    /// # Errors
    /// [`Error::InvalidParameter`] for a value that cannot work.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::CalmFlow(params) => params.check(),
            Self::Cfm(params) => params.check(),
            Self::Scvi(params) => params.check(),
            Self::Cpa(params) => params.check(),
            Self::Scgpt(params) => params.check(),
            Self::ClosedForm(_) => Ok(()),
        }
    }

    /// The same, where a CaLMFlow stands on a language model from outside.
    ///
    /// # Errors
    /// As [`Self::check`]; [`Error::InvalidParameter`] for another method.
    pub fn on_language(self, language: LanguageParams) -> Result<Self> {
        match self {
            Self::CalmFlow(params) => {
                let choices = Self::CalmFlow(params.on_language(language));
                choices.check()?;
                Ok(choices)
            }
            _ => refuse("language-model", "given", "only a CaLMFlow has one"),
        }
    }

    /// Cells per training step; none if there are no steps.
    pub fn n_cells(&self) -> usize {
        match self {
            Self::CalmFlow(params) => params.n_cells,
            Self::Cfm(params) => params.n_cells,
            Self::Scvi(params) => params.n_cells,
            Self::Cpa(params) => params.n_cells,
            Self::Scgpt(params) => params.n_cells,
            Self::ClosedForm(_) => 0,
        }
    }

    /// What the fitted method makes: with components, a fit needs a gene decoder too.
    pub fn makes(&self) -> Makes {
        match self {
            Self::CalmFlow(_) | Self::Cfm(_) | Self::Scgpt(_) | Self::ClosedForm(_) => Makes::Components,
            Self::Scvi(_) | Self::Cpa(_) => Makes::Counts,
        }
    }

    /// Lets the method meet the training cells: one that is trained is prepared for it on a device, a closed form is fitted.
    ///
    /// # Errors
    /// Those of the method.
    pub fn begin(
        self,
        cells: &TrainingData,
        wording: Wording,
        given: Given,
        seed: u64,
        device: &Device,
    ) -> Result<Begun> {
        let (points, conditions) = (cells.embedding, cells.conditions);
        Ok(match self {
            Self::CalmFlow(params) => {
                let language = if let Given::Language(language) = given { Some(*language) } else { None };
                let objective = CalmFlowObjective::new(points, conditions, wording, params, language, seed, device)?;
                Begun::Training(Box::new(objective))
            }
            Self::Cfm(params) => {
                Begun::Training(Box::new(CfmObjective::new(points, conditions, wording, params, seed, device)?))
            }
            Self::Scvi(params) => Begun::Training(Box::new(ScviObjective::new(cells, params, seed, device)?)),
            Self::Cpa(params) => Begun::Training(Box::new(CpaObjective::new(cells, params, seed, device)?)),
            Self::Scgpt(params) => {
                let pretrained = if let Given::Scgpt(pretrained) = &given { Some(&**pretrained) } else { None };
                Begun::Training(Box::new(ScgptObjective::new(cells, params, pretrained, seed, device)?))
            }
            Self::ClosedForm(form) => Begun::Fitted(Box::new(FittedClosedForm::fit(form, cells, &wording, seed)?)),
        })
    }
}

/// Puts a fitted method together from what its folder holds: its name, its choices, and its record; weights go to the device.
///
/// # Errors
/// [`Error::UnknownName`] for an unknown method; [`Error::InvalidParameter`] if the choices are not those of the method;
/// those of the method if the record does not fit.
pub fn restore(
    name: &str,
    params: serde_json::Value,
    mut record: Record,
    device: &Device,
) -> Result<Box<dyn FittedMethod>> {
    let method = Method::parse(name)?;
    if let Some(form) = method.closed_form() {
        return Ok(Box::new(FittedClosedForm::take(form, &mut record)?));
    }
    match method {
        Method::Scvi => {
            let params: ScviParams = choices(name, params)?;
            return Ok(Box::new(Scvi::new(params, Kept::take(&mut record, Scvi::n_numbers(&params), device)?)?));
        }
        Method::Cpa => {
            let params: CpaParams = choices(name, params)?;
            return Ok(Box::new(Cpa::new(params, Kept::take(&mut record, Cpa::n_numbers(&params), device)?)?));
        }
        Method::Scgpt => return Ok(Box::new(Scgpt::take(choices(name, params)?, &mut record, device)?)),
        _ => {}
    }
    let reader = Reader::take(&mut record)?;
    let weights = record.take_tensors(WEIGHTS, device)?;
    Ok(match method {
        Method::Calmflow => Box::new(CalmFlow::new(reader, choices(name, params)?, weights)?),
        _ => Box::new(Cfm::new(reader, choices(name, params)?, weights)?),
    })
}

fn choices<P: DeserializeOwned>(name: &str, params: serde_json::Value) -> Result<P> {
    serde_json::from_value(params).map_err(|source| Error::InvalidParameter {
        name: "params".into(),
        value: name.into(),
        reason: format!("{source}; the model was written by another version: fit it again"),
    })
}

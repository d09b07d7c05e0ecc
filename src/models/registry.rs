//! Every method by its name.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use ndarray::ArrayView2;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::calmflow::{CalmFlow, CalmFlowObjective, CalmFlowParams};
use super::cfm::{Cfm, CfmObjective, CfmParams, Variant};
use super::method::{FittedMethod, Fitting};
use super::reader::Reader;
use super::reference::nearest;
use crate::conditions::Condition;
use crate::conditions::prompt::Template;
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
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Calmflow, Self::Cfm, Self::CfmOt, Self::CfmSb];

    /// The peak learning rate at which it is fitted unless told otherwise: wide layers want a lower one.
    pub fn learning_rate(self) -> f64 {
        match self {
            Self::Calmflow => 2e-3,
            Self::Cfm | Self::CfmOt | Self::CfmSb => 1e-3,
        }
    }

    /// The name by which it is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::Calmflow => "calmflow",
            Self::Cfm => Variant::Cfm.name(),
            Self::CfmOt => Variant::CfmOt.name(),
            Self::CfmSb => Variant::CfmSb.name(),
        }
    }
}

/// A method with its choices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Choices {
    /// Of a CaLMFlow.
    CalmFlow(CalmFlowParams),
    /// Of conditional flow matching.
    Cfm(CfmParams),
}

impl Choices {
    /// # Errors
    /// [`Error::InvalidParameter`] for a value that cannot work.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::CalmFlow(params) => params.check(),
            Self::Cfm(params) => params.check(),
        }
    }

    /// Cells per training step.
    pub fn n_cells(&self) -> usize {
        match self {
            Self::CalmFlow(params) => params.n_cells,
            Self::Cfm(params) => params.n_cells,
        }
    }

    /// Prepares a fit to training cells on a device.
    ///
    /// **Shapes** `embedding`: (n_cells, n_dims), training cells only; one condition per cell.
    ///
    /// # Errors
    /// Those of the method.
    pub fn begin(
        self,
        embedding: ArrayView2<f32>,
        conditions: &[Condition],
        template: Template,
        seed: u64,
        device: &Device,
    ) -> Result<Box<dyn Fitting>> {
        Ok(match self {
            Self::CalmFlow(params) => {
                Box::new(CalmFlowObjective::new(embedding, conditions, template, params, seed, device)?)
            }
            Self::Cfm(params) => Box::new(CfmObjective::new(embedding, conditions, template, params, seed, device)?),
        })
    }
}

/// Puts a fitted method together from what a file holds: its name, its choices, what it reads of conditions, its weights.
///
/// # Errors
/// [`Error::UnknownName`] for an unknown method; [`Error::InvalidParameter`] if the choices are not those of the method;
/// those of the method if the weights do not fit.
pub fn restore(
    name: &str,
    params: serde_json::Value,
    reader: Reader,
    tensors: HashMap<String, Tensor>,
) -> Result<Box<dyn FittedMethod>> {
    let method = Method::ALL.into_iter().find(|method| method.name() == name);
    match method {
        Some(Method::Calmflow) => Ok(Box::new(CalmFlow::new(reader, choices(name, params)?, tensors)?)),
        Some(Method::Cfm | Method::CfmOt | Method::CfmSb) => {
            Ok(Box::new(Cfm::new(reader, choices(name, params)?, tensors)?))
        }
        None => {
            let names: Vec<String> = Method::ALL.iter().map(|method| method.name().to_owned()).collect();
            Err(Error::UnknownName {
                what: "method".into(),
                name: name.into(),
                place: "this version".into(),
                nearest: nearest(name, names.iter()),
            })
        }
    }
}

fn choices<P: DeserializeOwned>(name: &str, params: serde_json::Value) -> Result<P> {
    serde_json::from_value(params).map_err(|source| Error::InvalidParameter {
        name: "params".into(),
        value: name.into(),
        reason: format!("{source}; the model was written by another version: fit it again"),
    })
}

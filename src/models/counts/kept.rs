//! What a fitted method on counts keeps beside its choices.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::codes::Codes;
use super::data::Shape;
use super::start::Depth;
use super::told::Told;
use crate::error::refuse;
use crate::models::fitted_flow::WEIGHTS;
use crate::models::method::Draws;
use crate::models::record::Record;
use crate::models::source::ControlCells;
use crate::{Error, Result};

/// What the data decided.
const SHAPE: &str = "shape.json";
/// Where conditions should lie, if that is told.
const GUIDE: &str = "guide.json";
/// Control cells as the encoder sees them.
const CONTROLS: &str = "control_cells.safetensors";

/// The shape in its file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    n_genes: usize,
    depth: Depth,
    codes: Codes,
}

/// Weights, what the data decided of their shapes, and encoded control cells.
#[derive(Debug, Clone)]
pub struct Kept {
    /// What the data decided.
    pub shape: Shape,
    /// Control cells that others are decoded from, unless these come from a prior.
    pub controls: Option<ControlCells>,
    /// The weights.
    pub tensors: HashMap<String, Tensor>,
}

impl Kept {
    /// Everything as the files of a folder.
    ///
    /// # Errors
    /// [`Error::Backend`] if something cannot be written.
    pub fn record(&self) -> Result<Record> {
        let mut record = Record::default();
        let Shape { n_genes, depth, told } = &self.shape;
        record.put(SHAPE, &Written { n_genes: *n_genes, depth: *depth, codes: told.codes.clone() })?;
        told.guide.iter().try_for_each(|guide| record.put(GUIDE, guide))?;
        record.put_tensors(WEIGHTS, self.tensors.clone());
        self.controls.iter().try_for_each(|controls| record.put_arrays(CONTROLS, controls.to_arrays()?))?;
        Ok(record)
    }

    /// Takes from a record what [`Self::record`] put into it; `n_numbers` are those of an encoded control cell.
    ///
    /// # Errors
    /// [`Error::MissingKey`] for what is absent; [`Error::InvalidFile`] for what cannot be understood; those of
    /// [`ControlCells::from_arrays`].
    pub fn take(record: &mut Record, n_numbers: usize, device: &Device) -> Result<Self> {
        let controls = match record.has(CONTROLS) {
            true => Some(ControlCells::from_arrays(record.take_arrays(CONTROLS)?, n_numbers)?),
            false => None,
        };
        let Written { n_genes, depth, codes } = record.take(SHAPE)?;
        let guide = if record.has(GUIDE) { Some(record.take(GUIDE)?) } else { None };
        let shape = Shape { n_genes, depth, told: Told { codes, guide } };
        Ok(Self { shape, controls, tensors: record.take_tensors(WEIGHTS, device)? })
    }

    /// The control cells that others are decoded from.
    ///
    /// # Errors
    /// [`Error::MissingKey`] if there are none.
    pub fn controls(&self) -> Result<&ControlCells> {
        self.controls.as_ref().ok_or_else(|| Error::MissingKey {
            place: "the model".into(),
            key: CONTROLS.into(),
            hint: "cells are decoded from encoded control cells; fit it again".into(),
        })
    }
}

/// Fails if cells are to be drawn in a way that only flows have.
///
/// # Errors
/// [`Error::InvalidParameter`]; those of [`Draws::check`].
pub fn check_draws(method: &str, draws: &Draws) -> Result<()> {
    draws.check()?;
    let foreign = [
        ("guidance", draws.guidance != 1.0),
        ("anchor", draws.anchor.is_some_and(|anchor| anchor > 0.0)),
        ("solver", draws.solver.is_some()),
    ];
    match foreign.into_iter().find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((name, _)) => {
            let reason = format!("`{method}` is no flow and has none; leave it away, or fit with --method calmflow");
            refuse(name, "given", &reason)
        }
    }
}

/// The same, for a method that draws no noise either.
///
/// # Errors
/// Those of [`check_draws`]; [`Error::InvalidParameter`] for a temperature.
pub fn check_draws_without_noise(method: &str, draws: &Draws) -> Result<()> {
    check_draws(method, draws)?;
    if draws.temperature == 1.0 {
        return Ok(());
    }
    let reason = format!("`{method}` draws no noise that could be scaled; leave it away");
    refuse("temperature", draws.temperature, &reason)
}

//! Where a fit stands: enough to go on as if it had never stopped.

use std::collections::HashMap;

use candle_core::{Device, Tensor};

use super::optimizer::Slot;
use crate::{Error, Result};

/// Tensors with their moments, and the number of steps done. Random draws depend on the seed and the step alone, so
/// nothing else is needed.
pub struct State {
    /// The trainable tensors.
    pub slots: Vec<Slot>,
    /// Steps done.
    pub step: usize,
    /// Loss of every step done.
    pub losses: Vec<f64>,
}

impl State {
    /// Before the first step.
    pub fn new(slots: Vec<Slot>) -> Self {
        Self { slots, step: 0, losses: Vec::new() }
    }

    /// Numbers that are trained.
    pub fn n_weights(&self) -> usize {
        self.slots.iter().map(|slot| slot.variable.elem_count()).sum()
    }

    /// Everything as named tensors, for a file.
    ///
    /// # Errors
    /// [`Error::Backend`] if a tensor cannot be made.
    pub fn to_tensors(&self) -> Result<HashMap<String, Tensor>> {
        let mut tensors = HashMap::new();
        for slot in &self.slots {
            let shape = slot.variable.shape();
            tensors.insert(format!("value/{}", slot.name), slot.variable.as_tensor().detach());
            for (kind, moment) in [("first", &slot.first), ("second", &slot.second)] {
                let tensor = Tensor::from_vec(moment.clone(), shape, &Device::Cpu)?;
                tensors.insert(format!("{kind}/{}", slot.name), tensor);
            }
        }
        tensors.insert("losses".into(), Tensor::from_vec(self.losses.clone(), self.losses.len(), &Device::Cpu)?);
        Ok(tensors)
    }

    /// Goes back to a saved state of the same network.
    ///
    /// # Errors
    /// [`Error::MissingKey`] if a tensor is absent; [`Error::ShapeMismatch`] if one has another shape.
    pub fn restore(&mut self, tensors: &HashMap<String, Tensor>) -> Result<()> {
        let get = |key: String| {
            tensors.get(&key).ok_or_else(|| Error::MissingKey {
                place: "checkpoint".into(),
                key,
                hint: "the checkpoint belongs to another model; fit without --resume".into(),
            })
        };
        for slot in &mut self.slots {
            let value = get(format!("value/{}", slot.name))?;
            if value.dims() != slot.variable.dims() {
                return Err(Error::ShapeMismatch {
                    what: format!("checkpoint of `{}`", slot.name),
                    expected: format!("{:?}", slot.variable.dims()),
                    got: format!("{:?}", value.dims()),
                });
            }
            slot.variable.set(&value.to_device(slot.variable.device())?)?;
            slot.first = get(format!("first/{}", slot.name))?.flatten_all()?.to_vec1()?;
            slot.second = get(format!("second/{}", slot.name))?.flatten_all()?.to_vec1()?;
        }
        self.losses = get("losses".into())?.to_vec1()?;
        self.step = self.losses.len();
        Ok(())
    }
}

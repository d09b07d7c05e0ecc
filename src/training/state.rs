//! Where a fit stands: enough to go on as if it had never stopped.

use std::collections::HashMap;

use candle_core::{Device, Tensor};

use super::average::Average;
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
    /// The running mean of the weights, where one is kept.
    pub average: Option<Average>,
    /// No further step is wanted.
    pub is_done: bool,
}

impl State {
    /// Before the first step.
    pub fn new(slots: Vec<Slot>) -> Self {
        Self { slots, step: 0, losses: Vec::new(), average: None, is_done: false }
    }

    /// The same with a running mean of the weights; a decay of zero keeps none.
    ///
    /// # Errors
    /// [`Error::Backend`] if a tensor cannot be read.
    pub fn with_average(slots: Vec<Slot>, decay: f64) -> Result<Self> {
        let average = (decay > 0.0).then(|| Average::new(&slots, decay)).transpose()?;
        Ok(Self { average, ..Self::new(slots) })
    }

    /// Exchanges the weights and their running mean, if one is kept.
    ///
    /// # Errors
    /// [`Error::Backend`] if a tensor cannot be written.
    pub fn exchange_average(&mut self) -> Result<()> {
        self.average.as_mut().map_or(Ok(()), |average| average.exchange(&mut self.slots))
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
            let [first, second] = slot.moments()?;
            let kept = [("value", slot.value()?), ("first", first), ("second", second)];
            tensors.extend(kept.map(|(kind, tensor)| (format!("{kind}/{}", slot.name), tensor)));
        }
        for (slot, values) in self.slots.iter().zip(self.average.iter().flat_map(|average| &average.values)) {
            tensors.insert(format!("average/{}", slot.name), values.clone());
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
        let mut averages = self.average.iter_mut().flat_map(|average| &mut average.values);
        for slot in &mut self.slots {
            let value = get(format!("value/{}", slot.name))?;
            if value.dims() != slot.variable.dims() {
                return Err(Error::ShapeMismatch {
                    what: format!("checkpoint of `{}`", slot.name),
                    expected: format!("{:?}", slot.variable.dims()),
                    got: format!("{:?}", value.dims()),
                });
            }
            slot.set_value(value)?;
            slot.set_moments([get(format!("first/{}", slot.name))?, get(format!("second/{}", slot.name))?])?;
            if let Some(average) = averages.next() {
                *average = get(format!("average/{}", slot.name))?.to_device(slot.variable.device())?;
            }
        }
        self.losses = get("losses".into())?.to_vec1()?;
        self.step = self.losses.len();
        Ok(())
    }
}

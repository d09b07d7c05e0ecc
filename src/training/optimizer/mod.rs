//! AdamW: in one pass per tensor on the CPU, of the tensor library's own operations elsewhere.

mod device;
mod host;

use candle_core::{DType, Device, Tensor, Var};

use crate::Result;
use crate::language::gradients::Gradients;
use crate::language::kernels::is_fused;

const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.99;
const EPSILON: f32 = 1e-8;

/// A trainable tensor with the moments of its gradient.
#[derive(Debug, Clone)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// The tensor.
    pub variable: Var,
    /// Multiplies the learning rate.
    pub rate: f64,
    /// Multiplies the weight decay.
    pub decay: f64,
    /// What a variable of 16 bits is the rounding of; steps are often smaller than what it can tell apart.
    exact: Option<Tensor>,
    moments: Moments,
}

/// The running means of gradients and of their squares.
#[derive(Debug, Clone)]
pub(super) enum Moments {
    /// On the CPU.
    Here { first: Vec<f32>, second: Vec<f32> },
    /// Beside the tensor; none before the first step.
    There(Option<[Tensor; 2]>),
}

impl Slot {
    /// A tensor before its first step.
    pub fn new(name: &str, variable: &Var, rate: f64, decay: f64) -> Self {
        let n = variable.elem_count();
        let moments = match is_fused(variable) {
            true => Moments::Here { first: vec![0.0; n], second: vec![0.0; n] },
            false => Moments::There(None),
        };
        Self { name: name.into(), variable: variable.clone(), rate, decay, exact: None, moments }
    }

    /// The numbers that are trained, of 32 bits, apart from any gradient; they may change with the next step.
    pub(super) fn value(&self) -> Result<Tensor> {
        match &self.exact {
            Some(exact) => Ok(exact.clone()),
            None => Ok(self.variable.detach().to_dtype(DType::F32)?),
        }
    }

    /// Sets them.
    pub(super) fn set_value(&mut self, value: &Tensor) -> Result<()> {
        let value = value.to_device(self.variable.device())?;
        if self.variable.dtype() == DType::F32 {
            return Ok(self.variable.set(&value)?);
        }
        self.variable.set(&value.to_dtype(self.variable.dtype())?)?;
        self.exact = Some(value);
        Ok(())
    }

    /// The mean of gradients and that of their squares, on the CPU.
    pub(super) fn moments(&self) -> Result<[Tensor; 2]> {
        let shape = self.variable.shape();
        let tensor = |values: &[f32]| Tensor::from_slice(values, shape, &Device::Cpu);
        let zeros = || Tensor::zeros(shape, DType::F32, &Device::Cpu);
        Ok(match &self.moments {
            Moments::Here { first, second } => [tensor(first)?, tensor(second)?],
            Moments::There(None) => [zeros()?, zeros()?],
            Moments::There(Some([first, second])) => [first.to_device(&Device::Cpu)?, second.to_device(&Device::Cpu)?],
        })
    }

    /// Sets both.
    pub(super) fn set_moments(&mut self, moments: [&Tensor; 2]) -> Result<()> {
        let values = |tensor: &Tensor| tensor.flatten_all()?.to_vec1();
        self.moments = match &self.moments {
            Moments::Here { .. } => Moments::Here { first: values(moments[0])?, second: values(moments[1])? },
            Moments::There(_) => {
                let [first, second] = moments.map(|moment| moment.to_device(self.variable.device()));
                Moments::There(Some([first?, second?]))
            }
        };
        Ok(())
    }
}

/// m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², θ ← θ − η (m̂/(√v̂ + ε) + λθ) with bias-corrected m̂, v̂ and decoupled decay
/// λ (Loshchilov & Hutter 2019, arXiv 1711.05101, algorithm 2), after the whole gradient is scaled to at most `clip`.
///
/// The gradient is the sum of `parts`. Returns its norm before clipping. A tensor without a gradient is left as it is.
///
/// # Errors
/// [`crate::Error::Backend`] if a gradient has another shape than its tensor.
pub fn step(
    slots: &mut [Slot],
    parts: &[Gradients],
    n_steps_done: usize,
    learning_rate: f64,
    weight_decay: f64,
    clip: f64,
) -> Result<f64> {
    let rule = Rule { n_steps: n_steps_done as i32 + 1, learning_rate, weight_decay, clip };
    match slots.iter().all(|slot| matches!(slot.moments, Moments::Here { .. })) {
        true => Ok(host::step(slots, parts, rule)?),
        false => device::step(slots, parts, rule),
    }
}

/// What a step is made by.
#[derive(Clone, Copy)]
struct Rule {
    /// Steps with this one.
    n_steps: i32,
    learning_rate: f64,
    weight_decay: f64,
    clip: f64,
}

/// The same for one tensor.
#[derive(Clone, Copy)]
struct Numbers {
    grad_scale: f64,
    /// Of the first moment as it is, over the deviation.
    rate: f64,
    /// Of the second moment as it is.
    second_scale: f64,
    /// Of the value.
    keep: f64,
}

impl Rule {
    /// What multiplies the gradients, given their norm.
    fn grad_scale(&self, norm: f64) -> f64 {
        if norm > self.clip { self.clip / norm } else { 1.0 }
    }

    fn numbers(&self, slot: &Slot, grad_scale: f64) -> Numbers {
        let rate = self.learning_rate * slot.rate;
        Numbers {
            grad_scale,
            rate: rate / (1.0 - f64::from(BETA_1).powi(self.n_steps)),
            second_scale: 1.0 / (1.0 - f64::from(BETA_2).powi(self.n_steps)),
            keep: 1.0 - rate * self.weight_decay * slot.decay,
        }
    }
}

#[cfg(test)]
mod tests;

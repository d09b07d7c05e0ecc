//! AdamW in one pass per tensor.

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, Device, InplaceOp2, Layout, Result as CandleResult, Tensor, Var};
use rayon::prelude::*;
use std::sync::Mutex;

use crate::Result;
use crate::language::kernels::{contiguous, is_fused, vectorized, with_values};

const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.99;
const EPSILON: f32 = 1e-8;
/// Numbers per parallel piece.
const PIECE: usize = 16_384;

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
    pub(super) first: Vec<f32>,
    pub(super) second: Vec<f32>,
}

impl Slot {
    /// A tensor before its first step.
    pub fn new(name: &str, variable: &Var, rate: f64, decay: f64) -> Self {
        let n = variable.elem_count();
        Self { name: name.into(), variable: variable.clone(), rate, decay, first: vec![0.0; n], second: vec![0.0; n] }
    }
}

/// m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², θ ← θ − η (m̂/(√v̂ + ε) + λθ) with bias-corrected m̂, v̂ and decoupled decay
/// λ (Loshchilov & Hutter 2019, arXiv 1711.05101, algorithm 2), after the whole gradient is scaled to at most `clip`.
///
/// Returns the norm of the gradient before clipping. A tensor without a gradient is left as it is.
///
/// # Errors
/// [`crate::Error::Backend`] if a gradient has another shape than its tensor.
pub fn step(
    slots: &mut [Slot],
    grads: &GradStore,
    n_steps_done: usize,
    learning_rate: f64,
    weight_decay: f64,
    clip: f64,
) -> Result<f64> {
    let grads: Vec<Option<Tensor>> = slots
        .iter()
        .map(|slot| grads.get(slot.variable.as_tensor()).map(on_cpu).transpose())
        .collect::<CandleResult<_>>()?;
    let mut squares = 0.0;
    for grad in grads.iter().flatten() {
        squares += with_values([grad], |[grad]| Ok(sum_of_squares(grad)))?;
    }
    let norm = squares.sqrt();
    let scale = if norm > clip { clip / norm } else { 1.0 };
    let t = (n_steps_done + 1) as i32;
    for (slot, grad) in slots.iter_mut().zip(&grads) {
        let Some(grad) = grad else { continue };
        let rate = learning_rate * slot.rate;
        let update = Update {
            moments: Mutex::new((&mut slot.first, &mut slot.second)),
            numbers: Numbers {
                grad_scale: scale as f32,
                rate: (rate / (1.0 - f64::from(BETA_1).powi(t))) as f32,
                second_scale: (1.0 / (1.0 - f64::from(BETA_2).powi(t))) as f32,
                keep: (1.0 - rate * weight_decay * slot.decay) as f32,
            },
        };
        if is_fused(&slot.variable) {
            slot.variable.inplace_op2(grad, &update)?;
            continue;
        }
        // Elsewhere the tensors make a round trip: they are small beside what the gradients took.
        let here = Var::from_tensor(&on_cpu(&slot.variable)?.copy()?)?;
        here.inplace_op2(grad, &update)?;
        slot.variable.set(&here.to_device(slot.variable.device())?)?;
    }
    Ok(norm)
}

fn on_cpu(tensor: &Tensor) -> CandleResult<Tensor> {
    tensor.to_device(&Device::Cpu)?.contiguous()
}

fn sum_of_squares(values: &[f32]) -> f64 {
    let pieces: Vec<f64> = values.par_chunks(PIECE).map(|piece| f64::from(squares(piece))).collect();
    pieces.iter().sum()
}

vectorized! {
    fn squares(values: &[f32]) -> f32 {
        crate::language::kernels::dot(values, values)
    }
}

#[derive(Clone, Copy)]
struct Numbers {
    grad_scale: f32,
    rate: f32,
    second_scale: f32,
    keep: f32,
}

vectorized! {
    fn update(values: &mut [f32], grad: &[f32], first: &mut [f32], second: &mut [f32], numbers: Numbers) {
        for (((value, grad), first), second) in values.iter_mut().zip(grad).zip(first.iter_mut()).zip(second.iter_mut()) {
            let grad = grad * numbers.grad_scale;
            *first = BETA_1 * *first + (1.0 - BETA_1) * grad;
            *second = BETA_2 * *second + (1.0 - BETA_2) * grad * grad;
            let deviation = (*second * numbers.second_scale).sqrt() + EPSILON;
            *value = numbers.keep * *value - numbers.rate * *first / deviation;
        }
    }
}

struct Update<'a> {
    moments: Mutex<(&'a mut Vec<f32>, &'a mut Vec<f32>)>,
    numbers: Numbers,
}

impl InplaceOp2 for Update<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, values: &mut CpuStorage, lv: &Layout, grad: &CpuStorage, lg: &Layout) -> CandleResult<()> {
        let grad = contiguous(grad, lg)?;
        let (start, end) = match (lv.contiguous_offsets(), &*values) {
            (Some(range), CpuStorage::F32(_)) => range,
            _ => candle_core::bail!("a trainable tensor must be contiguous 32-bit numbers"),
        };
        let CpuStorage::F32(values) = values else { candle_core::bail!("unreachable") };
        let values = &mut values[start..end];
        let mut moments = self.moments.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (first, second) = &mut *moments;
        values
            .par_chunks_mut(PIECE)
            .zip(grad.par_chunks(PIECE))
            .zip(first.par_chunks_mut(PIECE))
            .zip(second.par_chunks_mut(PIECE))
            .for_each(|(((values, grad), first), second)| update(values, grad, first, second, self.numbers));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_the_published_rule() {
        let variable = Var::from_tensor(&Tensor::new(&[1.0_f32, -2.0], &Device::Cpu).unwrap()).unwrap();
        let mut slots = [Slot::new("x", &variable, 1.0, 1.0)];
        let (rate, decay) = (0.1, 0.5);
        let (mut x, mut m, mut v) = ([1.0_f64, -2.0], [0.0; 2], [0.0; 2]);
        for t in 0..5 {
            // The gradient of Σ x² is 2x; its norm stays below the clip.
            let grads = variable.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            step(&mut slots, &grads, t, rate, decay, 100.0).unwrap();
            for i in 0..2 {
                let g = 2.0 * x[i];
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.99 * v[i] + 0.01 * g * g;
                let (mh, vh) = (m[i] / (1.0 - 0.9_f64.powi(t as i32 + 1)), v[i] / (1.0 - 0.99_f64.powi(t as i32 + 1)));
                x[i] -= rate * (mh / (vh.sqrt() + 1e-8) + decay * x[i]);
            }
        }
        for (got, expected) in variable.to_vec1::<f32>().unwrap().into_iter().zip(x) {
            assert!((f64::from(got) - expected).abs() < 1e-5, "{got} {expected}");
        }
    }
}

//! AdamW in one pass per tensor.

use std::sync::Mutex;

use candle_core::{CpuStorage, InplaceOp1, Layout, Result as CandleResult, Var};
use rayon::prelude::*;

use crate::Result;
use crate::language::gradients::Gradients;
use crate::language::kernels::{is_fused, on_cpu};
use crate::numbers::{dot, vectorized};

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
    let sums: Vec<Option<(Vec<f32>, f64)>> =
        slots.par_iter().map(|slot| sum(slot, parts)).collect::<CandleResult<_>>()?;
    let norm = sums.iter().flatten().map(|(_, squares)| squares).sum::<f64>().sqrt();
    let scale = if norm > clip { clip / norm } else { 1.0 };
    let t = (n_steps_done + 1) as i32;
    slots.par_iter_mut().zip(&sums).try_for_each(|(slot, sum)| {
        let Some((grad, _)) = sum else { return Ok(()) };
        let rate = learning_rate * slot.rate;
        let update = Update {
            grad,
            moments: Mutex::new((&mut slot.first, &mut slot.second)),
            numbers: Numbers {
                grad_scale: scale as f32,
                rate: (rate / (1.0 - f64::from(BETA_1).powi(t))) as f32,
                second_scale: (1.0 / (1.0 - f64::from(BETA_2).powi(t))) as f32,
                keep: (1.0 - rate * weight_decay * slot.decay) as f32,
            },
        };
        if is_fused(&slot.variable) {
            return slot.variable.inplace_op1(&update);
        }
        // Elsewhere the numbers make a round trip: they are few beside what the gradients took.
        let here = Var::from_tensor(&on_cpu(&slot.variable)?.copy()?)?;
        here.inplace_op1(&update)?;
        slot.variable.set(&here.to_device(slot.variable.device())?)
    })?;
    Ok(norm)
}

/// The gradient of one tensor and the sum of its squares.
fn sum(slot: &Slot, parts: &[Gradients]) -> CandleResult<Option<(Vec<f32>, f64)>> {
    let mut grads = parts.iter().filter_map(|part| part.get(slot.variable.as_tensor()));
    let Some(first) = grads.next() else { return Ok(None) };
    let mut sum = first.to_vec();
    for grad in grads.by_ref() {
        if grad.len() != sum.len() {
            break;
        }
        accumulate(&mut sum, grad);
    }
    if sum.len() != slot.first.len() || grads.next().is_some() {
        candle_core::bail!("a gradient of `{}` has another shape than its tensor", slot.name);
    }
    let squares = sum.chunks(PIECE).map(|piece| f64::from(squares(piece))).sum();
    Ok(Some((sum, squares)))
}

vectorized! {
    fn squares(values: &[f32]) -> f32 {
        dot(values, values)
    }
}

vectorized! {
    fn accumulate(sum: &mut [f32], values: &[f32]) {
        for (sum, value) in sum.iter_mut().zip(values) {
            *sum += value;
        }
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
    grad: &'a [f32],
    moments: Mutex<(&'a mut Vec<f32>, &'a mut Vec<f32>)>,
    numbers: Numbers,
}

impl InplaceOp1 for Update<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, values: &mut CpuStorage, lv: &Layout) -> CandleResult<()> {
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
            .zip(self.grad.par_chunks(PIECE))
            .zip(first.par_chunks_mut(PIECE))
            .zip(second.par_chunks_mut(PIECE))
            .for_each(|(((values, grad), first), second)| update(values, grad, first, second, self.numbers));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    #[test]
    fn steps_follow_the_published_rule() {
        let variable = Var::from_tensor(&Tensor::new(&[1.0_f32, -2.0], &Device::Cpu).unwrap()).unwrap();
        let mut slots = [Slot::new("x", &variable, 1.0, 1.0)];
        let (rate, decay) = (0.1, 0.5);
        let (mut x, mut m, mut v) = ([1.0_f64, -2.0], [0.0; 2], [0.0; 2]);
        for t in 0..5 {
            // The gradient of Σ x² is 2x, here in two halves; its norm stays below the clip.
            let loss = (variable.sqr().unwrap().sum_all().unwrap() * 0.5).unwrap();
            let half = || Gradients::of(&loss).unwrap();
            step(&mut slots, &[half(), half()], t, rate, decay, 100.0).unwrap();
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

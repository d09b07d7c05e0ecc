//! AdamW on the CPU, in one pass per tensor.

use std::borrow::Cow;
use std::sync::Mutex;

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, bail};
use rayon::prelude::*;

use super::{BETA_1, BETA_2, EPSILON, Moments, Numbers, Rule, Slot};
use crate::language::gradients::Gradients;
use crate::numbers::{dot, vectorized};

/// Numbers per parallel piece.
const PIECE: usize = 16_384;

/// As [`super::step`].
pub(super) fn step(slots: &mut [Slot], parts: &[Gradients], rule: Rule) -> Result<f64> {
    let sums = slots.par_iter().map(|slot| sum(slot, parts)).collect::<Result<Vec<_>>>()?;
    let norm = sums.iter().flatten().map(|(_, squares)| squares).sum::<f64>().sqrt();
    let scale = rule.grad_scale(norm);
    slots.par_iter_mut().zip(&sums).try_for_each(|(slot, sum)| {
        let Some((grad, _)) = sum else { return Ok(()) };
        let numbers = Rounded::new(rule.numbers(slot, scale));
        let Moments::Here { first, second } = &mut slot.moments else { bail!("moments are on another device") };
        slot.variable.inplace_op1(&Update { grad, moments: Mutex::new((first, second)), numbers })
    })?;
    Ok(norm)
}

/// The gradient of one tensor and the sum of its squares.
fn sum<'a>(slot: &Slot, parts: &'a [Gradients]) -> Result<Option<(Cow<'a, [f32]>, f64)>> {
    let mut grads = parts.iter().filter_map(|part| part.get(slot.variable.as_tensor()));
    let Some(first) = grads.next() else { return Ok(None) };
    let mut sum = Cow::Borrowed(first);
    for grad in grads.by_ref() {
        if grad.len() != sum.len() {
            break;
        }
        accumulate(sum.to_mut(), grad);
    }
    if sum.len() != slot.variable.elem_count() || grads.next().is_some() {
        bail!("a gradient of `{}` has another shape than its tensor", slot.name);
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

/// [`Numbers`] as the loop multiplies with them.
#[derive(Clone, Copy)]
struct Rounded {
    grad_scale: f32,
    rate: f32,
    second_scale: f32,
    keep: f32,
}

impl Rounded {
    fn new(Numbers { grad_scale, rate, second_scale, keep }: Numbers) -> Self {
        Self { grad_scale: grad_scale as f32, rate: rate as f32, second_scale: second_scale as f32, keep: keep as f32 }
    }
}

vectorized! {
    fn update(values: &mut [f32], grad: &[f32], first: &mut [f32], second: &mut [f32], numbers: Rounded) {
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
    numbers: Rounded,
}

impl InplaceOp1 for Update<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, values: &mut CpuStorage, lv: &Layout) -> Result<()> {
        let (start, end) = match (lv.contiguous_offsets(), &*values) {
            (Some(range), CpuStorage::F32(_)) => range,
            _ => bail!("a trainable tensor must be contiguous 32-bit numbers"),
        };
        let CpuStorage::F32(values) = values else { bail!("unreachable") };
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

//! AdamW where the tensors lie, of the tensor library's own operations.

use candle_core::{D, Tensor};

use super::{BETA_1, BETA_2, EPSILON, Moments, Numbers, Rule, Slot};
use crate::Result;
use crate::language::gradients::Gradients;

/// As [`super::step`].
pub(super) fn step(slots: &mut [Slot], parts: &[Gradients], rule: Rule) -> Result<f64> {
    let sums = slots.iter().map(|slot| sum(slot, parts)).collect::<Result<Vec<_>>>()?;
    let squares = sums.iter().flatten().map(|sum| Ok(sum.sqr()?.sum_all()?)).collect::<Result<Vec<_>>>()?;
    if squares.is_empty() {
        return Ok(0.0);
    }
    let norm = f64::from(Tensor::stack(&squares, D::Minus1)?.sum_all()?.to_scalar::<f32>()?).sqrt();
    let scale = rule.grad_scale(norm);
    for (slot, grad) in slots.iter_mut().zip(sums) {
        if let Some(grad) = grad {
            update(slot, &grad, rule.numbers(slot, scale))?;
        }
    }
    Ok(norm)
}

/// The gradient of one tensor.
fn sum(slot: &Slot, parts: &[Gradients]) -> Result<Option<Tensor>> {
    let mut sum: Option<Tensor> = None;
    for part in parts {
        if let Some(grad) = part.tensor(slot.variable.as_tensor())? {
            sum = Some(match sum {
                Some(sum) => (sum + grad)?,
                None => grad,
            });
        }
    }
    Ok(sum)
}

fn update(slot: &mut Slot, grad: &Tensor, numbers: Numbers) -> Result<()> {
    let grad = (grad * numbers.grad_scale)?;
    let value = slot.value()?;
    let (beta_1, beta_2) = (f64::from(BETA_1), f64::from(BETA_2));
    let (first, second) = ((&grad * (1.0 - beta_1))?, (grad.sqr()? * (1.0 - beta_2))?);
    let (first, second) = match &slot.moments {
        Moments::There(Some([m, v])) => (((m * beta_1)? + first)?, ((v * beta_2)? + second)?),
        _ => (first, second),
    };
    let deviation = ((&second * numbers.second_scale)?.sqrt()? + f64::from(EPSILON))?;
    let moved = ((&first * numbers.rate)? / deviation)?;
    slot.set_value(&((value * numbers.keep)? - moved)?)?;
    slot.moments = Moments::There(Some([first, second]));
    Ok(())
}

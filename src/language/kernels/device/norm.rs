//! Normalisations of rows.

use candle_core::{D, Result, Tensor};

use crate::language::by_hand::{by_hand, gradient_of_input};
use crate::language::gradients::gradient_tensor_of;

/// Which one.
#[derive(Clone, Copy)]
pub(in super::super) enum Norm {
    /// By mean and variance.
    Layer,
    /// By the root mean square.
    RootMeanSquare,
}

impl Norm {
    /// Rows before the gain, and what they were multiplied with: (n_rows, n_columns), (n_rows, 1).
    fn of(self, x: &Tensor, epsilon: f32) -> Result<[Tensor; 2]> {
        let centred = match self {
            Self::Layer => x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?,
            Self::RootMeanSquare => x.clone(),
        };
        let scale = (centred.sqr()?.mean_keepdim(D::Minus1)? + f64::from(epsilon))?.sqrt()?.recip()?;
        Ok([centred.broadcast_mul(&scale)?, scale])
    }
}

/// Normalised rows times the gain, plus the bias if there is one.
pub(in super::super) fn norm(
    kind: Norm,
    x: &Tensor,
    gain: &Tensor,
    bias: Option<&Tensor>,
    epsilon: f32,
) -> Result<Tensor> {
    let [normal, _] = kind.of(&x.detach(), epsilon)?;
    let y = normal.broadcast_mul(&gain.detach())?;
    let gradients = move |x: &Tensor, gain: &Tensor, grad: &Tensor| {
        let [normal, scale] = kind.of(&x.detach(), epsilon)?;
        let of_rows = gradient_of_input(x, || {
            let inner = grad.broadcast_mul(&gain.detach())?;
            let along = normal.broadcast_mul(&(&inner * &normal)?.mean_keepdim(D::Minus1)?)?;
            let rest = match kind {
                Norm::Layer => (inner.broadcast_sub(&inner.mean_keepdim(D::Minus1)?)? - along)?,
                Norm::RootMeanSquare => (inner - along)?,
            };
            rest.broadcast_mul(&scale)
        })?;
        Ok([of_rows, gradient_tensor_of(gain, || (grad * &normal)?.sum(0))?])
    };
    match bias {
        None => by_hand([x, gain], y, move |[x, gain], grad| gradients(x, gain, grad)),
        Some(bias) => by_hand([x, gain, bias], y.broadcast_add(&bias.detach())?, move |[x, gain, bias], grad| {
            let [of_rows, of_gain] = gradients(x, gain, grad)?;
            Ok([of_rows, of_gain, gradient_tensor_of(bias, || grad.sum(0))?])
        }),
    }
}

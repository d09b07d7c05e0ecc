//! The GELU by the error function; the tensor library's own gradient of it is that of the approximation by the hyperbolic tangent.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use candle_core::{Result, Tensor};

use crate::language::by_hand::{by_hand, gradient_of_input};

/// u Φ(u).
pub(in super::super) fn gelu(u: &Tensor) -> Result<Tensor> {
    by_hand([u], u.detach().gelu_erf()?, |[u], grad| {
        let grad = gradient_of_input(u, || {
            let u = u.detach();
            let share = (((&u * FRAC_1_SQRT_2)?.erf()? + 1.0)? * 0.5)?;
            let density = ((u.sqr()? * -0.5)?.exp()? * (0.5 / PI).sqrt())?;
            grad * (share + (u * density)?)?
        })?;
        Ok([grad])
    })
}

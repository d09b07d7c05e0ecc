//! The affine maps of a block, with what is trained beside them.

use candle_core::Tensor;

use super::params::CausalParams;
use super::tuning::Tuning;
use crate::Result;
use crate::language::kernels::gelu::gelu;
use crate::language::kernels::linear::{linear, linear_with_residual};
use crate::language::parameters::{Parameters, Start};
use crate::language::transformer::Linear;

/// x W + b, or x W + b + x A B with W and b fixed.
#[derive(Debug, Clone)]
pub(super) struct Map {
    plain: Linear,
    thin: Option<Thin>,
}

/// Two thin matrices; the second starts as zeros, so that the map starts as it was.
#[derive(Debug, Clone)]
struct Thin {
    first: Tensor,
    second: Tensor,
    /// In the place of biases: (rank), (n_out).
    zeros: [Tensor; 2],
}

impl Map {
    pub(super) fn new(
        parameters: &mut Parameters,
        name: &str,
        sizes: [usize; 2],
        has_bias: bool,
        params: &CausalParams,
        tuning: Tuning,
    ) -> Result<Self> {
        let [n_in, n_out] = sizes;
        parameters.fix(tuning != Tuning::Full);
        let plain = affine(parameters, name, sizes, has_bias, params);
        parameters.fix(false);
        let thin = match tuning {
            Tuning::Lora { rank } => Some(Thin {
                first: parameters.tensor(&format!("{name}.lora.first"), &[n_in, rank], start(n_in))?,
                second: parameters.tensor(&format!("{name}.lora.second"), &[rank, n_out], Start::Zeros)?,
                zeros: [parameters.zeros(rank)?, parameters.zeros(n_out)?],
            }),
            _ => None,
        };
        Ok(Self { plain: plain?, thin })
    }

    /// (n_rows, n_in) → (n_rows, n_out).
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.beside(x, self.plain.forward(x)?)
    }

    /// The same, and a residual added.
    pub(super) fn with_residual(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        self.beside(x, linear_with_residual(x, &self.plain.weight, &self.plain.bias, residual)?)
    }

    fn beside(&self, x: &Tensor, y: Tensor) -> Result<Tensor> {
        let Some(Thin { first, second, zeros: [first_zeros, second_zeros] }) = &self.thin else { return Ok(y) };
        Ok(linear_with_residual(&linear(x, first, first_zeros)?, second, second_zeros, &y)?)
    }
}

/// Of a matrix whose outputs shall be about as large as its inputs.
fn start(n_in: usize) -> Start {
    Start::Normal(1.0 / (n_in as f32).sqrt())
}

/// An affine map; without a bias, one of zeros that is never trained stands in its place.
fn affine(
    parameters: &mut Parameters,
    name: &str,
    [n_in, n_out]: [usize; 2],
    has_bias: bool,
    params: &CausalParams,
) -> Result<Linear> {
    // Narrower inputs start wider so that their outputs are of the same size.
    let deviation = if n_in > 64 { params.start_deviation } else { 0.7 / (n_in as f32).sqrt() };
    let weight = parameters.matrix(&format!("{name}.weight"), &[n_in, n_out], Start::Normal(deviation))?;
    let bias = match has_bias {
        true => parameters.tensor(&format!("{name}.bias"), &[n_out], Start::Zeros)?,
        false => parameters.zeros(n_out)?,
    };
    Ok(Linear { weight, bias })
}

/// A small perceptron whose second map starts as zeros.
#[derive(Debug, Clone)]
pub(super) struct Adapter {
    down: Linear,
    up: Linear,
}

impl Adapter {
    pub(super) fn new(parameters: &mut Parameters, name: &str, width: usize, n_hidden: usize) -> Result<Self> {
        let down = Linear::new(parameters, &format!("{name}.down"), width, n_hidden, 1.0 / (width as f32).sqrt())?;
        let up = Linear {
            weight: parameters.tensor(&format!("{name}.up.weight"), &[n_hidden, width], Start::Zeros)?,
            bias: parameters.tensor(&format!("{name}.up.bias"), &[width], Start::Zeros)?,
        };
        Ok(Self { down, up })
    }

    /// y + gelu(x D + d) U + u.
    pub(super) fn add_to(&self, y: &Tensor, x: &Tensor) -> Result<Tensor> {
        let hidden = gelu(&self.down.forward(x)?)?;
        Ok(linear_with_residual(&hidden, &self.up.weight, &self.up.bias, y)?)
    }
}

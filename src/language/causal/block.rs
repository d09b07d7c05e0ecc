//! One block: attention and perceptron, each behind a normalisation, one after the other or side by side.

use candle_core::Tensor;

use super::norm::Norm;
use super::params::CausalParams;
use crate::Result;
use crate::language::kernels::activation::Activation;
use crate::language::kernels::bias::add_by_group;
use crate::language::kernels::linear::linear_with_residual;
use crate::language::kernels::rotary::Turn;
use crate::language::parameters::{Parameters, Start};
use crate::language::transformer::{Linear, Shift};

#[derive(Debug, Clone)]
pub(super) struct Block {
    before_attention: Norm,
    qkv: Linear,
    output: Linear,
    before_perceptron: Norm,
    up: Linear,
    down: Linear,
    activation: Activation,
    is_gated: bool,
    is_parallel: bool,
}

/// An affine map; without a bias, one of zeros that is never trained stands in its place.
fn affine(
    parameters: &mut Parameters,
    name: &str,
    sizes: [usize; 2],
    has_bias: bool,
    params: &CausalParams,
) -> Result<Linear> {
    let [n_in, n_out] = sizes;
    // Narrower inputs start wider so that their outputs are of the same size.
    let deviation = if n_in > 64 { params.start_deviation } else { 0.7 / (n_in as f32).sqrt() };
    if has_bias {
        return Linear::new(parameters, name, n_in, n_out, deviation);
    }
    Ok(Linear {
        weight: parameters.tensor(&format!("{name}.weight"), &[n_in, n_out], Start::Normal(deviation))?,
        bias: parameters.zeros(n_out)?,
    })
}

impl Block {
    pub(super) fn new(parameters: &mut Parameters, name: &str, params: &CausalParams) -> Result<Self> {
        let (width, heads) = (params.width, params.heads());
        let named = |part: &str| format!("{name}.{part}");
        let map = |parameters: &mut Parameters, part: &str, sizes: [usize; 2], has_bias: bool| {
            affine(parameters, &named(part), sizes, has_bias, params)
        };
        let before_attention = Norm::new(parameters, &named("before_attention"), params)?;
        let qkv = map(parameters, "qkv", [width, heads.packed()], params.qkv_bias)?;
        let output = map(parameters, "output", [heads.width(), width], params.output_bias)?;
        let before_perceptron = Norm::new(parameters, &named("before_perceptron"), params)?;
        let up = map(parameters, "up", [width, params.n_up()], params.perceptron_bias)?;
        let down = map(parameters, "down", [params.n_hidden, width], params.perceptron_bias)?;
        Ok(Self {
            before_attention,
            qkv,
            output,
            before_perceptron,
            up,
            down,
            activation: params.activation,
            is_gated: params.gated,
            is_parallel: params.parallel_residual,
        })
    }

    /// Queries, keys and values of every head side by side: (n_rows, width) → (n_rows, 3 · n_heads · head_width).
    pub(super) fn looks(&self, x: &Tensor, turn: &Turn) -> Result<Tensor> {
        Ok(turn.of(&self.qkv.forward(&self.before_attention.forward(x)?)?)?)
    }

    /// What comes after the attention; the shift is added to what the perceptron reads.
    pub(super) fn finish(&self, x: &Tensor, attended: &Tensor, shift: Option<&Shift>) -> Result<Tensor> {
        let after = linear_with_residual(attended, &self.output.weight, &self.output.bias, x)?;
        let mut normal = self.before_perceptron.forward(if self.is_parallel { x } else { &after })?;
        if let Some(shift) = shift {
            normal = add_by_group(&normal, &shift.vectors, &shift.of_sequence)?;
        }
        let hidden = self.activation.of(&self.up.forward(&normal)?, self.is_gated)?;
        Ok(linear_with_residual(&hidden, &self.down.weight, &self.down.bias, &after)?)
    }
}

//! One block: attention and perceptron, each behind a normalisation, one after the other or side by side.

use candle_core::Tensor;

use super::map::{Adapter, Map};
use super::norm::Norm;
use super::params::CausalParams;
use super::tuning::Tuning;
use crate::Result;
use crate::language::kernels::activation::Activation;
use crate::language::kernels::attention::{Arrangement, attention};
use crate::language::kernels::bias::add_by_group;
use crate::language::kernels::rotary::Turn;
use crate::language::parameters::Parameters;
use crate::language::transformer::Shift;

#[derive(Debug, Clone)]
pub(super) struct Block {
    before_attention: Norm,
    qkv: Map,
    output: Map,
    before_perceptron: Norm,
    up: Map,
    down: Map,
    adapter: Option<Adapter>,
    activation: Activation,
    is_gated: bool,
    is_parallel: bool,
}

impl Block {
    pub(super) fn new(parameters: &mut Parameters, name: &str, params: &CausalParams, tuning: Tuning) -> Result<Self> {
        let (width, heads) = (params.width, params.heads());
        let named = |part: &str| format!("{name}.{part}");
        let map = |parameters: &mut Parameters, part: &str, sizes: [usize; 2], has_bias: bool| {
            Map::new(parameters, &named(part), sizes, has_bias, params, tuning)
        };
        let norm = |parameters: &mut Parameters, part: &str| Norm::new(parameters, &named(part), params, tuning);
        let before_attention = norm(parameters, "before_attention")?;
        let qkv = map(parameters, "qkv", [width, heads.packed()], params.qkv_bias)?;
        let output = map(parameters, "output", [heads.width(), width], params.output_bias)?;
        let before_perceptron = norm(parameters, "before_perceptron")?;
        let up = map(parameters, "up", [width, params.n_up()], params.perceptron_bias)?;
        let down = map(parameters, "down", [params.n_hidden, width], params.perceptron_bias)?;
        let adapter = match tuning {
            Tuning::Adapters { width: n_hidden } => Some(Adapter::new(parameters, &named("adapter"), width, n_hidden)?),
            _ => None,
        };
        Ok(Self {
            before_attention,
            qkv,
            output,
            before_perceptron,
            up,
            down,
            adapter,
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
        let after = self.output.with_residual(attended, x)?;
        let mut normal = self.before_perceptron.forward(if self.is_parallel { x } else { &after })?;
        if let Some(shift) = shift {
            normal = add_by_group(&normal, &shift.vectors, &shift.of_sequence)?;
        }
        let hidden = self.activation.of(&self.up.forward(&normal)?, self.is_gated)?;
        let y = self.down.with_residual(&hidden, &after)?;
        match &self.adapter {
            Some(adapter) => adapter.add_to(&y, &normal),
            None => Ok(y),
        }
    }

    /// All of it: (n_rows, width) → the same.
    pub(super) fn run(
        &self,
        x: &Tensor,
        prefix: Option<&Tensor>,
        turn: &Turn,
        arrangement: &Arrangement,
        shift: Option<&Shift>,
    ) -> Result<Tensor> {
        let attended = attention(&self.looks(x, turn)?, prefix, arrangement)?;
        self.finish(x, &attended, shift)
    }

    /// The same for tokens of prompts, with their keys and values on the right of each row: (n_rows, width) → (n_rows, width + 2 ·
    /// n_heads · head_width); keys and values only if nothing reads what comes after.
    pub(super) fn run_prefix(
        &self,
        x: &Tensor,
        turn: &Turn,
        arrangement: &Arrangement,
        is_last: bool,
    ) -> Result<Tensor> {
        let (qkv, width) = (self.looks(x, turn)?, turn.heads.width());
        let kept = qkv.narrow(1, width, 2 * width)?;
        if is_last {
            return Ok(kept.contiguous()?);
        }
        let x = self.finish(x, &attention(&qkv, None, arrangement)?, None)?;
        Ok(Tensor::cat(&[&x, &kept], 1)?)
    }
}

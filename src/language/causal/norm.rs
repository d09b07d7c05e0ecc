//! Either kind of normalisation.

use candle_core::Tensor;

use super::params::{CausalParams, NormKind};
use super::tuning::Tuning;
use crate::Result;
use crate::language::kernels::layer_norm::layer_norm;
use crate::language::kernels::root_mean_square::root_mean_square_norm;
use crate::language::parameters::{Parameters, Start};

/// Gain and, for layer normalisation, bias.
#[derive(Debug, Clone)]
pub(super) struct Norm {
    gain: Tensor,
    bias: Option<Tensor>,
    epsilon: f32,
}

impl Norm {
    pub(super) fn new(parameters: &mut Parameters, name: &str, params: &CausalParams, tuning: Tuning) -> Result<Self> {
        parameters.fix(tuning != Tuning::Full);
        let gain = parameters.tensor(&format!("{name}.gain"), &[params.width], Start::Ones);
        let bias = match params.norm {
            NormKind::Layer => Some(parameters.tensor(&format!("{name}.bias"), &[params.width], Start::Zeros)),
            NormKind::RootMeanSquare => None,
        };
        parameters.fix(false);
        Ok(Self { gain: gain?, bias: bias.transpose()?, epsilon: params.epsilon })
    }

    /// (n_rows, width) → the same.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(match &self.bias {
            Some(bias) => layer_norm(x, &self.gain, bias, self.epsilon)?,
            None => root_mean_square_norm(x, &self.gain, self.epsilon)?,
        })
    }
}

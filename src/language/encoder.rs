//! A transformer that normalises after attention and after perceptron (Vaswani et al. 2017, arXiv 1706.03762), as PyTorch's
//! `TransformerEncoder` computes it without dropout: weights that were trained there can be taken.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::kernels::attention::{Arrangement, attention};
use super::kernels::linear::linear_with_residual;
use super::parameters::Parameters;
use super::transformer::{Linear, Norm};
use crate::Result;
use crate::error::refuse;

/// Size of an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderParams {
    /// Numbers per token.
    pub width: usize,
    /// Layers.
    pub n_layers: usize,
    /// Heads of each attention; they share the width.
    pub n_heads: usize,
    /// Numbers within the perceptron of a layer.
    pub n_hidden: usize,
}

impl EncoderParams {
    /// # Errors
    /// [`crate::Error::InvalidParameter`] if a size is zero or the heads do not share the width evenly.
    pub fn check(&self) -> Result<()> {
        if self.width == 0 || self.n_layers == 0 || self.n_hidden == 0 {
            let least = self.width.min(self.n_layers).min(self.n_hidden);
            return refuse("width and layers", least, "both must be above zero");
        }
        if self.n_heads == 0 || !self.width.is_multiple_of(self.n_heads) {
            return refuse("heads", self.n_heads, &format!("the width {} must be a multiple of it", self.width));
        }
        Ok(())
    }
}

/// x ← norm(x + attention(x)), then x ← norm(x + perceptron(x)) with rectified linear units.
#[derive(Debug, Clone)]
struct Layer {
    qkv: Linear,
    output: Linear,
    after_attention: Norm,
    up: Linear,
    down: Linear,
    after_perceptron: Norm,
}

impl Layer {
    fn new(parameters: &mut Parameters, name: &str, params: EncoderParams) -> Result<Self> {
        let EncoderParams { width, n_hidden, .. } = params;
        let mut linear = |part: &str, n_in: usize, n_out: usize| {
            Linear::new(parameters, &format!("{name}.{part}"), n_in, n_out, 0.6 / (n_in as f32).sqrt())
        };
        let qkv = linear("self_attn.in_proj", width, 3 * width)?;
        let output = linear("self_attn.out_proj", width, width)?;
        let up = linear("linear1", width, n_hidden)?;
        let down = linear("linear2", n_hidden, width)?;
        Ok(Self {
            qkv,
            output,
            up,
            down,
            after_attention: Norm::new(parameters, &format!("{name}.norm1"), width)?,
            after_perceptron: Norm::new(parameters, &format!("{name}.norm2"), width)?,
        })
    }

    fn forward(&self, x: &Tensor, arrangement: &Arrangement) -> Result<Tensor> {
        let attended = attention(&self.qkv.forward(x)?, None, arrangement)?;
        let x = linear_with_residual(&attended, &self.output.weight, &self.output.bias, x)?;
        let x = self.after_attention.forward(&x)?;
        let hidden = self.up.forward(&x)?.relu()?;
        self.after_perceptron.forward(&linear_with_residual(&hidden, &self.down.weight, &self.down.bias, &x)?)
    }
}

/// The layers.
#[derive(Debug, Clone)]
pub struct Encoder {
    /// Its size.
    pub params: EncoderParams,
    layers: Vec<Layer>,
}

impl Encoder {
    /// Makes the network; its tensors are named as PyTorch names them, `gain` stands for the weight of a normalisation.
    ///
    /// # Errors
    /// Those of [`EncoderParams::check`] and [`Parameters::tensor`].
    pub fn new(parameters: &mut Parameters, name: &str, params: EncoderParams) -> Result<Self> {
        params.check()?;
        let layer = |number: usize| Layer::new(parameters, &format!("{name}.layers.{number}"), params);
        Ok(Self { params, layers: (0..params.n_layers).map(layer).collect::<Result<_>>()? })
    }

    /// Runs whole sequences.
    ///
    /// **Shapes** `x`: (n_sequences · n_tokens, width) → the same.
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if the shapes do not fit.
    pub fn forward(&self, x: &Tensor, arrangement: &Arrangement) -> Result<Tensor> {
        self.layers.iter().try_fold(x.clone(), |x, layer| layer.forward(&x, arrangement))
    }
}

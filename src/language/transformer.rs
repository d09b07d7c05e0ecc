//! A transformer over embedded tokens, causal or not as its mask says.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::kernels::attention::{Arrangement, attention};
use super::kernels::layer_norm::{EPSILON, layer_norm};
use super::kernels::linear::{linear, linear_with_residual};
use super::kernels::perceptron::{Tensors, perceptron};
use super::parameters::{Parameters, Start};
use crate::Result;
use crate::error::refuse;

/// Size of a transformer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransformerParams {
    /// Numbers per token.
    pub width: usize,
    /// Blocks.
    pub n_layers: usize,
    /// Heads of each attention; they share the width.
    pub n_heads: usize,
}

impl TransformerParams {
    /// # Errors
    /// [`crate::Error::InvalidParameter`] if a size is zero or the heads do not share the width evenly.
    pub fn check(&self) -> Result<()> {
        if self.width == 0 || self.n_layers == 0 {
            return refuse("width and layers", self.width.min(self.n_layers), "both must be above zero");
        }
        if self.n_heads == 0 || !self.width.is_multiple_of(self.n_heads) {
            return refuse("heads", self.n_heads, &format!("the width {} must be a multiple of it", self.width));
        }
        Ok(())
    }
}

/// An affine map of rows, x W + b.
#[derive(Debug, Clone)]
pub struct Linear {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
}

impl Linear {
    /// Makes a map from `n_in` to `n_out` numbers whose weights start normal with standard deviation `deviation`.
    ///
    /// # Errors
    /// Those of [`Parameters::tensor`].
    pub fn new(parameters: &mut Parameters, name: &str, n_in: usize, n_out: usize, deviation: f32) -> Result<Self> {
        Self::with_bias(parameters, name, n_in, n_out, deviation, Start::Zeros)
    }

    /// The same with a bias that starts as told.
    ///
    /// # Errors
    /// Those of [`Parameters::tensor`].
    pub fn with_bias(
        parameters: &mut Parameters,
        name: &str,
        n_in: usize,
        n_out: usize,
        deviation: f32,
        bias: Start,
    ) -> Result<Self> {
        Ok(Self {
            weight: parameters.tensor(&format!("{name}.weight"), &[n_in, n_out], Start::Normal(deviation))?,
            bias: parameters.tensor(&format!("{name}.bias"), &[n_out], bias)?,
        })
    }

    /// (n_rows, n_in) → (n_rows, n_out).
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if the shapes do not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(linear(x, &self.weight, &self.bias)?)
    }
}

/// Gain and bias of a layer normalisation.
#[derive(Debug, Clone)]
pub struct Norm {
    gain: Tensor,
    bias: Tensor,
}

impl Norm {
    /// Starts as the plain normalisation.
    ///
    /// # Errors
    /// Those of [`Parameters::tensor`].
    pub fn new(parameters: &mut Parameters, name: &str, width: usize) -> Result<Self> {
        Ok(Self {
            gain: parameters.tensor(&format!("{name}.gain"), &[width], Start::Ones)?,
            bias: parameters.tensor(&format!("{name}.bias"), &[width], Start::Zeros)?,
        })
    }

    /// (n_rows, width) → the same.
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if the shapes do not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(layer_norm(x, &self.gain, &self.bias, EPSILON)?)
    }
}

/// Attention, then a perceptron, each after a layer normalisation and beside a residual (Radford et al. 2019).
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) before_attention: Norm,
    pub(crate) qkv: Linear,
    pub(crate) output: Linear,
    perceptron: Tensors,
}

/// The tensors of a perceptron from its normalisation and its two maps.
pub(crate) fn perceptron_of(norm: Norm, up: Linear, down: Linear) -> Tensors {
    Tensors {
        gain: norm.gain,
        shift: norm.bias,
        up: up.weight,
        up_bias: up.bias,
        down: down.weight,
        down_bias: down.bias,
    }
}

/// A vector for each sequence that is added in every block, after the second normalisation, so that the effects of
/// words add up and are not normalised away.
#[derive(Debug, Clone)]
pub struct Shift {
    /// (n_vectors, width).
    pub vectors: Tensor,
    /// The vector of each sequence.
    pub of_sequence: std::sync::Arc<Vec<u32>>,
}

impl Block {
    fn new(parameters: &mut Parameters, name: &str, width: usize) -> Result<Self> {
        // 0.02 as in GPT-2; narrower inputs start wider so that their outputs are of the same size.
        let deviation = |n_in: usize| if n_in > 64 { 0.02 } else { 0.7 / (n_in as f32).sqrt() };
        let linear = |parameters: &mut Parameters, part: &str, n_in: usize, n_out: usize| {
            Linear::new(parameters, &format!("{name}.{part}"), n_in, n_out, deviation(n_in))
        };
        let before_attention = Norm::new(parameters, &format!("{name}.before_attention"), width)?;
        let qkv = linear(parameters, "qkv", width, 3 * width)?;
        let output = linear(parameters, "output", width, width)?;
        let norm = Norm::new(parameters, &format!("{name}.before_perceptron"), width)?;
        let up = linear(parameters, "up", width, 4 * width)?;
        let down = linear(parameters, "down", 4 * width, width)?;
        Ok(Self { before_attention, qkv, output, perceptron: perceptron_of(norm, up, down) })
    }

    /// What comes after the attention: its output map, the residual, and the perceptron.
    pub(crate) fn finish(&self, x: &Tensor, attended: &Tensor, shift: Option<&Shift>) -> Result<Tensor> {
        let x = linear_with_residual(attended, &self.output.weight, &self.output.bias, x)?;
        Ok(perceptron(&x, shift.map(|shift| (&shift.vectors, &shift.of_sequence)), &self.perceptron)?)
    }
}

/// Blocks and a last normalisation.
#[derive(Debug, Clone)]
pub struct Transformer {
    /// Its size.
    pub params: TransformerParams,
    pub(crate) blocks: Vec<Block>,
    pub(crate) last: Norm,
}

impl Transformer {
    /// Makes the network.
    ///
    /// # Errors
    /// Those of [`TransformerParams::check`] and [`Parameters::tensor`].
    pub fn new(parameters: &mut Parameters, name: &str, params: TransformerParams) -> Result<Self> {
        params.check()?;
        let block = |number: usize| format!("{name}.blocks.{number}");
        let blocks = (0..params.n_layers).map(|number| Block::new(parameters, &block(number), params.width));
        let blocks = blocks.collect::<Result<Vec<_>>>()?;
        Ok(Self { params, blocks, last: Norm::new(parameters, &format!("{name}.last"), params.width)? })
    }

    /// Runs whole sequences; `prefixes` holds the keys and values of every block as [`super::prefix`] makes them.
    ///
    /// **Shapes** `x`: (n_sequences · n_tokens, width) → the same.
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if the shapes do not fit.
    pub fn forward(
        &self,
        x: &Tensor,
        prefixes: Option<&[Tensor]>,
        arrangement: &Arrangement,
        shift: Option<&Shift>,
    ) -> Result<Tensor> {
        let mut x = x.clone();
        for (number, block) in self.blocks.iter().enumerate() {
            let qkv = block.qkv.forward(&block.before_attention.forward(&x)?)?;
            let attended = attention(&qkv, prefixes.map(|all| &all[number]), arrangement)?;
            x = block.finish(&x, &attended, shift)?;
        }
        self.last.forward(&x)
    }
}

//! One configuration for all families.

use serde::{Deserialize, Serialize};

use super::rotary::RotaryParams;
use crate::Result;
use crate::error::{refuse, refuse_below_zero, refuse_zero};
use crate::language::kernels::activation::Activation;
use crate::language::kernels::rotary::Heads;

/// The families of published models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// GPT-NeoX, as Pythia.
    GptNeox,
    /// Llama.
    Llama,
    /// GPT-2.
    Gpt2,
    /// Qwen2.
    Qwen2,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::GptNeox, Self::Llama, Self::Gpt2, Self::Qwen2];

    /// The `model_type` of a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::GptNeox => "gpt_neox",
            Self::Llama => "llama",
            Self::Gpt2 => "gpt2",
            Self::Qwen2 => "qwen2",
        }
    }
}

/// The kinds of normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormKind {
    /// Mean and variance, gain and bias.
    Layer,
    /// Root mean square and gain.
    RootMeanSquare,
}

/// Everything that tells one causal language model from another but its weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CausalParams {
    /// Where it comes from; says how a folder names its weights.
    pub family: Family,
    /// Tokens of the vocabulary: rows of the embedding.
    pub n_words: usize,
    /// Numbers per token.
    pub width: usize,
    /// Blocks.
    pub n_layers: usize,
    /// Heads of queries.
    pub n_heads: usize,
    /// Heads of keys and values; several heads of queries share one where there are fewer.
    pub n_key_heads: usize,
    /// Numbers of a head.
    pub head_width: usize,
    /// Numbers within the perceptron of a block.
    pub n_hidden: usize,
    /// Most tokens of a sequence.
    pub context: usize,
    /// The normalisations.
    pub norm: NormKind,
    /// What is added to their variance or mean square.
    pub epsilon: f32,
    /// Between the two maps of the perceptron.
    pub activation: Activation,
    /// Whether the perceptron has a gate: f(x G) · (x U) in the place of f(x U).
    pub gated: bool,
    /// Rotary positions; learned ones if absent.
    pub rotary: Option<RotaryParams>,
    /// Attention and perceptron read the same x, and both are added to it; else one after the other.
    pub parallel_residual: bool,
    /// Whether queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Whether the map after the attention has one.
    pub output_bias: bool,
    /// Whether the perceptron has them.
    pub perceptron_bias: bool,
    /// Whether logits are read with the embedding.
    pub tied: bool,
    /// Standard deviation of weights that are drawn.
    pub start_deviation: f32,
}

impl CausalParams {
    /// # Errors
    /// [`crate::Error::InvalidParameter`] for sizes that cannot go together.
    pub fn check(&self) -> Result<()> {
        refuse_zero([
            ("vocabulary", self.n_words),
            ("width", self.width),
            ("layers", self.n_layers),
            ("heads", self.n_heads),
            ("heads of keys", self.n_key_heads),
            ("numbers of a head", self.head_width),
            ("hidden numbers", self.n_hidden),
            ("context", self.context),
        ])?;
        if !self.n_heads.is_multiple_of(self.n_key_heads) {
            let reason = format!("the {} heads of queries must share them evenly", self.n_heads);
            return refuse("heads of keys", self.n_key_heads, &reason);
        }
        refuse_below_zero([("epsilon of the normalisation", f64::from(self.epsilon))])?;
        if !(self.start_deviation > 0.0 && self.start_deviation.is_finite()) {
            return refuse("initializer_range", self.start_deviation, "it must be above zero");
        }
        self.rotary.map_or(Ok(()), |rotary| rotary.check(self.head_width))
    }

    /// The heads.
    pub fn heads(&self) -> Heads {
        Heads { n_heads: self.n_heads, n_key_heads: self.n_key_heads, head_width: self.head_width }
    }

    /// Columns of the first map of the perceptron; the gate comes first.
    pub fn n_up(&self) -> usize {
        if self.gated { 2 * self.n_hidden } else { self.n_hidden }
    }
}

//! Sizes and choices of an encoder of texts.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::error::{refuse, refuse_below_zero, refuse_zero};
use crate::language::kernels::activation::Activation;

/// The architectures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BertFamily {
    /// BERT (Devlin et al. 2018, arXiv:1810.04805).
    Bert,
    /// DistilBERT (Sanh et al. 2019, arXiv:1910.01108).
    #[serde(rename = "distilbert")]
    DistilBert,
    /// RoBERTa (Liu et al. 2019, arXiv:1907.11692).
    Roberta,
    /// XLM-RoBERTa (Conneau et al. 2019, arXiv:1911.02116).
    XlmRoberta,
    /// ModernBERT (Warner et al. 2024, arXiv:2412.13663).
    #[serde(rename = "modernbert")]
    ModernBert,
}

impl BertFamily {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Bert, Self::DistilBert, Self::Roberta, Self::XlmRoberta, Self::ModernBert];

    /// Its name in a `config.json` (`model_type`).
    pub fn name(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::DistilBert => "distilbert",
            Self::Roberta => "roberta",
            Self::XlmRoberta => "xlm-roberta",
            Self::ModernBert => "modernbert",
        }
    }
}

/// Everything that tells one encoder from another but its weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BertParams {
    /// Where it comes from; says how a folder names its weights, and which network it is.
    pub family: BertFamily,
    /// Tokens of the vocabulary: rows of the embedding.
    pub n_words: usize,
    /// Numbers per token.
    pub width: usize,
    /// Blocks.
    pub n_layers: usize,
    /// Attention heads.
    pub n_heads: usize,
    /// Numbers within the perceptron of a block.
    pub n_hidden: usize,
    /// Most tokens of a text.
    pub context: usize,
    /// Kinds of tokens that have an embedding; every token of a text is of the first. None with ModernBERT.
    pub n_kinds: usize,
    /// The padding token, where positions are counted around it (RoBERTa, XLM-RoBERTa).
    pub padding: Option<u32>,
    /// What is added to the variance in a normalisation.
    pub epsilon: f64,
    /// Between the two maps of the perceptron.
    pub activation: Activation,
    /// Which blocks see a part of the text only (ModernBERT).
    pub windows: Option<WindowParams>,
}

/// Attention and rotary positions of ModernBERT.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowParams {
    /// Every so many blocks, from the first on, one sees the whole text.
    pub global_every: usize,
    /// Tokens that the others see; half of it to either side.
    pub local: usize,
    /// The base of the rotary positions where the whole text is seen,
    pub global_theta: f64,
    /// and where a part of it is.
    pub local_theta: f64,
}

impl BertParams {
    /// # Errors
    /// [`crate::Error::InvalidParameter`] for sizes that cannot go together.
    pub fn check(&self) -> Result<()> {
        refuse_zero([
            ("vocabulary", self.n_words),
            ("width", self.width),
            ("layers", self.n_layers),
            ("heads", self.n_heads),
            ("hidden numbers", self.n_hidden),
            ("context", self.context),
            (
                "layers from one that sees everything to the next",
                self.windows.map_or(1, |windows| windows.global_every),
            ),
        ])?;
        if !self.width.is_multiple_of(self.n_heads) {
            return refuse("heads", self.n_heads, &format!("they must share a width of {} evenly", self.width));
        }
        if self.n_kinds == 0 && self.windows.is_none() {
            return refuse("kinds of tokens", 0, "every token of a text is of the first");
        }
        if self.windows.is_some() != (self.family == BertFamily::ModernBert) {
            return refuse("windows", self.windows.is_some(), "modernbert has them, and no other family");
        }
        if self.windows.is_some() && !(self.width / self.n_heads).is_multiple_of(2) {
            return refuse("heads", self.n_heads, "rotary positions need an even number of numbers in each");
        }
        refuse_below_zero([("epsilon of the normalisation", self.epsilon)])
    }

    /// Rows of the table of positions in a folder that stand before that of the first token.
    pub(super) fn n_before(&self) -> usize {
        self.padding.map_or(0, |padding| padding as usize + 1)
    }
}

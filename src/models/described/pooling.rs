//! How the hidden states of a text's tokens become one vector.

use serde::{Deserialize, Serialize};

/// A way of pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The mean over all tokens, also those that the tokenizer sets around a text, as in sentence-transformers.
    #[default]
    Mean,
    /// The first token, which stands for the text in encoders of the BERT family.
    Cls,
    /// The last token, which has seen the whole text in a causal language model.
    Last,
}

impl std::fmt::Display for Pooling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Mean => "mean over the tokens",
            Self::Cls => "first token",
            Self::Last => "last token",
        })
    }
}

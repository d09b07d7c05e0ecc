//! Where the vector of a text comes from.

use ndarray::Array1;
use serde::{Deserialize, Serialize};

use super::words::Words;
use crate::Result;

/// A source of text vectors. Everything after it sees unit vectors and their products only, so that a further source (the
/// pooled hidden states of a language model, say) is a further variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextEncoder {
    /// Which words and pairs of words occur, the rarer the heavier.
    Words(Words),
}

impl TextEncoder {
    /// Counts the words of training texts.
    pub fn of_words(texts: &[&str]) -> Self {
        Self::Words(Words::fit(texts))
    }

    /// The vector of a text, of length one, or zero where the text says nothing that is known: (n_numbers).
    ///
    /// # Errors
    /// Those of the source; words have none.
    pub fn vector(&self, text: &str) -> Result<Array1<f64>> {
        match self {
            Self::Words(words) => Ok(words.vector(text)),
        }
    }
}

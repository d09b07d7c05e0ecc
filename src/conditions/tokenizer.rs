//! Words as numbers: byte-pair encoding.

use std::str::FromStr;

use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{
    DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, SplitDelimiterBehavior,
    TokenizerBuilder,
};

use crate::{Error, Result};

/// At most this many tokens; the 256 bytes are always among them, so that no text is ever dropped.
const MOST_TOKENS: usize = 4096;

/// Words end at white space, with the punctuation before it apart: `MAP2K6`, `IL-6` and `1.5` are one word each, and `B` is
/// the same word in `A + B` and in `A + B:`.
const WORDS: &str = r" ?[^\s.,:;!?]+(?:[.,:;!?]+[^\s.,:;!?]+)*|[.,:;!?]+|\s+";

/// A byte-level byte-pair encoding.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    n_tokens: usize,
}

impl Tokenizer {
    /// Learns merges from texts until every word of them is one token or there are 4096 tokens.
    ///
    /// # Errors
    /// [`Error::Backend`] if the library fails.
    pub fn fit(texts: &[String]) -> Result<Self> {
        let failed = |source: tokenizers::Error| Error::backend("fitting the tokenizer", source);
        let mut trainer = BpeTrainerBuilder::new()
            .show_progress(false)
            .vocab_size(MOST_TOKENS)
            .min_frequency(0)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        let words =
            Split::new(SplitPattern::Regex(WORDS.into()), SplitDelimiterBehavior::Isolated, false).map_err(failed)?;
        let pieces = Sequence::new(vec![words.into(), ByteLevel::new(false, true, false).into()]);
        let mut tokenizer =
            TokenizerBuilder::<BPE, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>::new(
            )
            .with_model(BPE::default())
            .with_normalizer(None)
            .with_pre_tokenizer(Some(pieces.into()))
            .with_post_processor(None)
            .with_decoder(Some(ByteLevel::default().into()))
            .build()
            .map_err(failed)?;
        tokenizer.train(&mut trainer, texts.iter().map(String::as_str)).map_err(failed)?;
        let json = tokenizer.to_string(false).map_err(failed)?;
        Self::from_json(&json)
    }

    /// Reads the content of a `tokenizer.json`. What it says of cutting and padding texts for batches is left out: no text is cut
    /// without a word.
    ///
    /// # Errors
    /// [`Error::Backend`] if it is none.
    pub fn from_json(json: &str) -> Result<Self> {
        let failed = |source| Error::backend("reading tokenizer.json", source);
        let mut inner = tokenizers::Tokenizer::from_str(json).map_err(failed)?;
        inner.with_truncation(None).map_err(failed)?;
        inner.with_padding(None);
        let greatest = inner.get_vocab(true).into_values().max();
        Ok(Self { inner, n_tokens: greatest.map_or(0, |id| id as usize + 1) })
    }

    /// The content of a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::Backend`] if the library fails.
    pub fn to_json(&self) -> Result<String> {
        self.inner.to_string(true).map_err(|source| Error::backend("writing tokenizer.json", source))
    }

    /// One more than the greatest number of a token.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// The tokens of a text.
    ///
    /// # Errors
    /// [`Error::Backend`] if the library fails.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode(text, false).map_err(|source| Error::backend("reading a prompt", source))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The same with what the tokenizer sets before and after a text, such as a mark of its beginning.
    ///
    /// # Errors
    /// [`Error::Backend`] if the library fails.
    pub fn encode_framed(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode(text, true).map_err(|source| Error::backend("reading a text", source))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The tokens whose numbers are not below `n`, in order of their numbers.
    pub fn tokens_from(&self, n: usize) -> Vec<(String, u32)> {
        let all = self.inner.get_vocab(true).into_iter();
        let mut beyond: Vec<(String, u32)> = all.filter(|(_, id)| *id as usize >= n).collect();
        beyond.sort_by_key(|(_, id)| *id);
        beyond
    }

    /// A token as a text of its own; nothing for a number that stands for none.
    pub fn word(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)?;
        self.inner.decode(&[id], false).ok()
    }

    /// The text of tokens.
    ///
    /// # Errors
    /// [`Error::Backend`] if the library fails.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        self.inner.decode(tokens, false).map_err(|source| Error::backend("writing tokens as text", source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_texts_become_single_tokens_and_no_byte_is_dropped() {
        let texts = ["a T cell perturbed with KLF1 + MAP2K6", "a B cell perturbed with drug A"].map(String::from);
        let tokenizer = Tokenizer::fit(&texts).unwrap();
        for word in [" KLF1", " MAP2K6"] {
            assert_eq!(tokenizer.encode(word).unwrap().len(), 1);
        }
        let (open, closed) = (tokenizer.encode("a drug A").unwrap(), tokenizer.encode("a drug A:").unwrap());
        assert_eq!(open, closed[..open.len()]);
        for text in ["GENE13 + drug_7 µM β", &texts[0]] {
            assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap(), *text);
        }
        let mut cutting: serde_json::Value = serde_json::from_str(&tokenizer.to_json().unwrap()).unwrap();
        cutting["truncation"] =
            serde_json::json!({ "direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0 });
        let again = Tokenizer::from_json(&cutting.to_string()).unwrap();
        assert_eq!(again.encode(&texts[1]).unwrap(), tokenizer.encode(&texts[1]).unwrap());
        assert_eq!(Tokenizer::fit(&texts).unwrap().to_json().unwrap(), tokenizer.to_json().unwrap());
    }
}

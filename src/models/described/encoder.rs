//! Where the vector of a text comes from.

use ndarray::Array1;
use serde::{Deserialize, Serialize};

use super::network::TextNetwork;
use super::words::Words;
use crate::models::lists::vector;
use crate::{Error, Result};

/// A pooled state that lies nearer to the mean, relative to the length of the mean, differs from it by rounding only.
const NEAREST: f64 = 1e-5;

/// A source of text vectors. Everything after it sees unit vectors and their products only, so that a further source is a further
/// variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextEncoder {
    /// Which words and pairs of words occur, the rarer the heavier.
    Words(Words),
    /// The pooled hidden state h of a network, (h − mean) / ‖h − mean‖. States of different texts all lie in nearly the same
    /// direction, and what tells texts apart is how they differ from the mean.
    Network {
        /// The mean over training texts: (width).
        #[serde(with = "vector")]
        mean: Array1<f32>,
    },
}

impl TextEncoder {
    /// Counts the words of training texts; with the vectors of these.
    pub fn of_words(texts: &[&str]) -> (Self, Vec<Array1<f64>>) {
        let words = Words::fit(texts);
        let vectors = texts.iter().map(|text| words.vector(text)).collect();
        (Self::Words(words), vectors)
    }

    /// Takes the mean of a network over training texts; with the vectors of these.
    ///
    /// # Errors
    /// Those of [`TextNetwork::pooled`].
    pub fn of_network(network: &TextNetwork, texts: &[&str]) -> Result<(Self, Vec<Array1<f64>>)> {
        let pooled = |text: &&str| Ok(network.pooled(text)?.mapv(f64::from));
        let pooled = texts.iter().map(pooled).collect::<Result<Vec<_>>>()?;
        let mut sum = Array1::<f64>::zeros(network.params().size()[1]);
        pooled.iter().for_each(|pooled| sum += pooled);
        // Rounded as in a file, so that vectors are the same before and after.
        let mean = sum.mapv(|value| (value / texts.len().max(1) as f64) as f32);
        let vectors = pooled.into_iter().map(|pooled| direction(pooled, &mean)).collect();
        Ok((Self::Network { mean }, vectors))
    }

    /// The vector of a text, of length one, or zero where the text says nothing that is known: (n_numbers).
    ///
    /// # Errors
    /// Those of [`TextNetwork::pooled`]; [`Error::MissingKey`] if a network is needed and not there. Words have none.
    pub fn vector(&self, text: &str, network: Option<&TextNetwork>) -> Result<Array1<f64>> {
        let mean = match self {
            Self::Words(words) => return Ok(words.vector(text)),
            Self::Network { mean } => mean,
        };
        let Some(network) = network else {
            return Err(Error::MissingKey {
                place: "the model".into(),
                key: "text encoder".into(),
                hint: "it was fitted with --text-encoder and needs it; fit it again".into(),
            });
        };
        let pooled = network.pooled(text)?.mapv(f64::from);
        if pooled.len() != mean.len() {
            return Err(Error::ShapeMismatch {
                what: "vector of a text".into(),
                expected: mean.len().to_string(),
                got: pooled.len().to_string(),
            });
        }
        Ok(direction(pooled, mean))
    }
}

/// Where a pooled state lies from the mean: a vector of length one, or zero.
fn direction(pooled: Array1<f64>, mean: &Array1<f32>) -> Array1<f64> {
    let mean = mean.mapv(f64::from);
    let size = mean.dot(&mean).sqrt();
    let difference = pooled - mean;
    let length = difference.dot(&difference).sqrt();
    if length > NEAREST * size { difference / length } else { Array1::zeros(difference.len()) }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::conditions::tokenizer::Tokenizer;
    use crate::language::causal::tests::families;
    use crate::language::causal::tuning::Tuning;
    use crate::language::causal::{Causal, CausalParams, NAME};
    use crate::language::parameters::Parameters;
    use crate::models::described::{NetworkParams, Pooling};

    const TEXTS: [&str; 3] = ["blocks X", "activates X", "activates Y"];

    /// A causal language model, drawn at random.
    fn network(pooling: Pooling) -> TextNetwork {
        let tokenizer = Tokenizer::fit(&TEXTS.map(String::from)).unwrap();
        let params = CausalParams { n_words: tokenizer.n_tokens(), context: 40, ..families()[1] };
        let mut parameters = Parameters::draw(9, 0, &Device::Cpu);
        Causal::new(&mut parameters, NAME, params, Tuning::Full, false).unwrap();
        TextNetwork::new(NetworkParams::Causal(params), pooling, tokenizer, parameters.copies().unwrap()).unwrap()
    }

    #[test]
    fn vectors_of_a_network_are_directions_from_the_mean_of_training_texts() {
        for pooling in [Pooling::Mean, Pooling::Last] {
            let network = network(pooling);
            let (encoder, vectors) = TextEncoder::of_network(&network, &TEXTS).unwrap();
            let pooled = TEXTS.map(|text| network.pooled(text).unwrap().mapv(f64::from));
            let mean = (&pooled[0] + &pooled[1] + &pooled[2]) / 3.0;
            let mut sum = Array1::<f64>::zeros(mean.len());
            for (number, (text, pooled)) in TEXTS.iter().zip(&pooled).enumerate() {
                assert_eq!(encoder.vector(text, Some(&network)).unwrap(), vectors[number]);
                let (vector, gap) = (encoder.vector(text, Some(&network)).unwrap(), pooled - &mean);
                assert!((vector.dot(&vector) - 1.0).abs() < 1e-12);
                let length = gap.dot(&gap).sqrt();
                assert!((&vector * length - gap).iter().all(|gap| gap.abs() < 1e-6));
                sum += &(vector * length);
            }
            assert!(sum.iter().all(|sum| sum.abs() < 1e-5), "{sum}");
            let error = encoder.vector(TEXTS[0], None).unwrap_err().to_string();
            assert!(error.contains("text encoder"), "{error}");
        }
    }

    #[test]
    fn texts_that_are_all_alike_say_nothing_of_each_other() {
        let network = network(Pooling::Mean);
        let (encoder, _) = TextEncoder::of_network(&network, &["blocks X"; 7]).unwrap();
        assert_eq!(encoder.vector("blocks X", Some(&network)).unwrap().sum(), 0.0);
        assert!(encoder.vector("blocks Y", Some(&network)).unwrap().iter().any(|value| *value != 0.0));
    }
}

//! Texts as vectors of words.

use std::collections::BTreeMap;

use ndarray::Array1;
use serde::{Deserialize, Serialize};

/// The words and pairs of neighbouring words of training texts with their weights.
///
/// A text's number for a term is its count times ln((1 + n) / (1 + df)) + 1, n the number of texts and df of those with the
/// term; the vector is divided by its length (term frequency times inverse document frequency, as scikit-learn's
/// `TfidfVectorizer` has it with `ngram_range=(1, 2)`). Words are runs of letters, digits and underscores in lower case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Words {
    /// Term → weight, in bytewise order, which is the order of the vector.
    weights: BTreeMap<String, f64>,
}

impl Words {
    /// Learns the terms of training texts.
    pub fn fit(texts: &[&str]) -> Self {
        let mut frequencies = BTreeMap::<String, usize>::new();
        for text in texts {
            for term in counts(text).into_keys() {
                *frequencies.entry(term).or_default() += 1;
            }
        }
        let weight = |frequency: usize| ((1.0 + texts.len() as f64) / (1.0 + frequency as f64)).ln() + 1.0;
        Self { weights: frequencies.into_iter().map(|(term, frequency)| (term, weight(frequency))).collect() }
    }

    /// The vector of a text: (n_terms). Terms that no training text has are left out.
    pub fn vector(&self, text: &str) -> Array1<f64> {
        let counts = counts(text);
        let of = |(term, weight): (&String, &f64)| counts.get(term).map_or(0.0, |&count| count as f64 * weight);
        let vector: Array1<f64> = self.weights.iter().map(of).collect();
        let length = vector.dot(&vector).sqrt();
        if length > 0.0 { vector / length } else { vector }
    }
}

/// How often each word and each pair of neighbours occurs.
fn counts(text: &str) -> BTreeMap<String, usize> {
    let text = text.to_lowercase();
    let words: Vec<&str> =
        text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect();
    let mut counts = BTreeMap::new();
    for word in &words {
        *counts.entry((*word).to_owned()).or_default() += 1;
    }
    for pair in words.windows(2) {
        *counts.entry(pair.join(" ")).or_default() += 1;
    }
    counts
}

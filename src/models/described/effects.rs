//! Effects of single components from their descriptions.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2, ArrayView1};
use serde::{Deserialize, Serialize};

use super::encoder::TextEncoder;
use super::network::TextNetwork;
use super::ridge::Ridge;
use crate::conditions::descriptions::Descriptions;
use crate::models::lists::{matrix, vector};
use crate::{Error, Result};

/// With fewer described components nothing can be learned, and nothing chosen.
const FEWEST: usize = 4;
/// The powers of the kernel that are tried,
const DEGREES: [i32; 3] = [1, 2, 4];
/// and the ridges, relative to a kernel with ones on its diagonal.
const RIDGES: [f64; 9] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];

/// How strongly descriptions are trusted, and what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Strength {
    /// The power of the kernel.
    pub degree: i32,
    /// The ridge; none if descriptions tell nothing, so that every component has the mean effect.
    pub ridge: Option<f64>,
    /// Mean squared distance of a component's effect from what the others tell of it,
    pub error: f64,
    /// the same if the mean of the others is told,
    pub error_of_mean: f64,
    /// and the same if no effect is told.
    pub error_of_none: f64,
    /// Where a network reads the texts: the same if their words told the effects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_of_words: Option<f64>,
    /// Components that were described and measured alone.
    pub n_components: usize,
}

/// A kernel ridge regression from descriptions to the effects of single components.
///
/// δ(text) = b + Σ_i α_i·k(text, text_i), k(s, t) = ((1 + v(s)·v(t)) / 2)^p, over training components i that were measured
/// alone, v(·) the unit vector of a text ([`TextEncoder`]). α and b solve min Σ_i ‖δ_i − δ(text_i)‖² + λ·‖δ‖²_k with b free.
/// Power p and ridge λ are those that tell components best when each is left out; λ → ∞, the mean effect of all components, is
/// among them, so that descriptions that tell nothing do little harm.
///
/// **Units** those of the effects, principal components.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DescribedEffects {
    encoder: TextEncoder,
    strength: Strength,
    /// v of the training texts: (n_components, n_numbers).
    #[serde(with = "matrix")]
    vectors: Array2<f32>,
    /// α: (n_components, n_dims).
    #[serde(with = "matrix")]
    coefficients: Array2<f32>,
    /// b: (n_dims).
    #[serde(with = "vector")]
    intercept: Array1<f32>,
}

impl DescribedEffects {
    /// Fits the regression to the effects of training components that were measured alone; texts are read by a network, or by their
    /// words if there is none. Also returns what is told of each of them by the others: component → (n_dims).
    ///
    /// # Errors
    /// [`Error::TooFew`] with fewer than four components that were measured alone and are described; those of
    /// [`TextNetwork::pooled`].
    pub fn fit(
        descriptions: &Descriptions,
        singles: &BTreeMap<String, Array1<f32>>,
        network: Option<&TextNetwork>,
    ) -> Result<(Self, BTreeMap<String, Array1<f32>>)> {
        let described: Vec<(&String, &str, &Array1<f32>)> =
            singles.iter().filter_map(|(name, effect)| Some((name, descriptions.get(name)?, effect))).collect();
        if described.len() < FEWEST {
            return Err(Error::TooFew {
                what: "training components that were measured alone and have a description".into(),
                needed: FEWEST,
                got: described.len(),
                hint: "describe more components, hold fewer out, or fit without --descriptions".into(),
            });
        }
        let texts: Vec<&str> = described.iter().map(|(_, text, _)| *text).collect();
        let n_dims = described.first().map_or(0, |(.., effect)| effect.len());
        let targets = Array2::from_shape_fn((texts.len(), n_dims), |(i, d)| f64::from(described[i].2[d]));
        let (words, of_words) = TextEncoder::of_words(&texts);
        let (encoder, vectors, error_of_words) = match network {
            None => (words, of_words, None),
            Some(network) => {
                let other = Choice::best(&rounded(&of_words), &targets)?;
                let (encoder, vectors) = TextEncoder::of_network(network, &texts)?;
                (encoder, vectors, Some(other.ridge.left_out_error(&targets)))
            }
        };
        let vectors = rounded(&vectors);
        let Choice { degree, strength, ridge: fitted, error_of_mean } = Choice::best(&vectors, &targets)?;
        let strength = Strength {
            degree,
            ridge: strength,
            error: fitted.left_out_error(&targets),
            error_of_mean,
            error_of_none: targets.mapv(|value| value * value).sum() / targets.nrows() as f64,
            error_of_words,
            n_components: texts.len(),
        };
        let narrow = |row: ArrayView1<f64>| row.mapv(|value| value as f32);
        let names = described.iter().map(|(name, ..)| (*name).clone());
        let left_out = names.zip(fitted.left_out.rows()).map(|(name, row)| (name, narrow(row))).collect();
        let fitted = Self {
            encoder,
            strength,
            vectors,
            coefficients: fitted.coefficients.mapv(|value| value as f32),
            intercept: narrow(fitted.intercept.view()),
        };
        Ok((fitted, left_out))
    }

    /// How strongly descriptions are trusted.
    pub fn strength(&self) -> &Strength {
        &self.strength
    }

    /// The effect of a component with this description, read by the network of the fit: (n_dims).
    ///
    /// # Errors
    /// Those of [`TextEncoder::vector`].
    pub fn effect(&self, text: &str, network: Option<&TextNetwork>) -> Result<Array1<f32>> {
        let products = self.vectors.mapv(f64::from).dot(&self.encoder.vector(text, network)?);
        let kernel = products.mapv(|product| power(product, self.strength.degree));
        let effect = self.intercept.mapv(f64::from) + kernel.dot(&self.coefficients.mapv(f64::from));
        Ok(effect.mapv(|value| value as f32))
    }
}

/// The vectors of texts, rounded as in a file, so that the estimates are the same before and after: (n_texts, n_numbers).
fn rounded(vectors: &[Array1<f64>]) -> Array2<f32> {
    let n_numbers = vectors.first().map_or(0, Array1::len);
    Array2::from_shape_fn((vectors.len(), n_numbers), |(i, j)| vectors[i][j] as f32)
}

/// The power and the ridge that tell rows best when each is left out.
struct Choice {
    degree: i32,
    strength: Option<f64>,
    ridge: Ridge,
    error_of_mean: f64,
}

impl Choice {
    /// **Shapes** `vectors`: (n_rows, n_numbers); `targets`: (n_rows, n_dims).
    fn best(vectors: &Array2<f32>, targets: &Array2<f64>) -> Result<Self> {
        let wide = vectors.mapv(f64::from);
        let products = wide.dot(&wide.t());
        let mean = Ridge::fit(&products, targets, None)?;
        let error_of_mean = mean.left_out_error(targets);
        let (mut best, mut least) = (Self { degree: 1, strength: None, ridge: mean, error_of_mean }, error_of_mean);
        for degree in DEGREES {
            let kernel = products.mapv(|product| power(product, degree));
            for strength in RIDGES {
                let ridge = Ridge::fit(&kernel, targets, Some(strength))?;
                let error = ridge.left_out_error(targets);
                if error < least {
                    (best, least) = (Self { degree, strength: Some(strength), ridge, error_of_mean }, error);
                }
            }
        }
        Ok(best)
    }
}

/// ((1 + v·w) / 2)^p.
fn power(product: f64, degree: i32) -> f64 {
    ((1.0 + product) / 2.0).powi(degree)
}

impl std::fmt::Display for Strength {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "descriptions: {} components left out in turn, squared errors {:.4} by the others' texts, ",
            self.n_components, self.error
        )?;
        if let Some(error) = self.error_of_words {
            write!(f, "{error:.4} by the words of these, ")?;
        }
        write!(f, "{:.4} by their mean, {:.4} by no effect", self.error_of_mean, self.error_of_none)?;
        match self.ridge {
            Some(ridge) => write!(f, " (kernel to the power of {}, ridge {ridge})", self.degree),
            None => f.write_str("; the texts tell nothing, the mean is taken"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::described::Words;

    fn singles(effects: &[Vec<f32>]) -> BTreeMap<String, Array1<f32>> {
        let named = effects.iter().enumerate().map(|(i, effect)| (format!("p{i}"), Array1::from(effect.clone())));
        named.collect()
    }

    fn descriptions(texts: &[String]) -> Descriptions {
        Descriptions::new(texts.iter().enumerate().map(|(i, text)| (format!("p{i}"), text.clone()))).unwrap()
    }

    #[test]
    fn effects_are_those_of_scikit_learn_s_words_and_of_regressions_without_each_component() {
        let golden = include_str!("../../../tests/golden/descriptions.json");
        let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
        fn of<T: serde::de::DeserializeOwned>(value: &serde_json::Value) -> T {
            serde_json::from_value(value.clone()).unwrap()
        }
        let (texts, effects): (Vec<String>, Vec<Vec<f32>>) = (of(&golden["texts"]), of(&golden["effects"]));
        let words = Words::fit(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let expected: Vec<f64> = of(&golden["first_vector"]);
        let found = words.vector(&texts[0]);
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found}");

        let (fitted, left_out) = DescribedEffects::fit(&descriptions(&texts), &singles(&effects), None).unwrap();
        let strength = fitted.strength();
        assert_eq!((strength.degree, strength.ridge), (of(&golden["degree"]), Some(of(&golden["ridge"]))));
        for (found, expected) in
            [(strength.error, &golden["error"]), (strength.error_of_mean, &golden["error_of_mean"])]
        {
            let expected: f64 = of(expected);
            // Vectors are kept in single precision.
            assert!((found / expected - 1.0).abs() < 1e-5, "{found} {expected}");
        }
        assert_eq!(left_out.len(), texts.len());
        for (text, expected) in of::<Vec<String>>(&golden["new"]).iter().zip(of::<Vec<Vec<f32>>>(&golden["told"])) {
            let gap = fitted.effect(text, None).unwrap() - Array1::from(expected);
            assert!(gap.iter().all(|gap| gap.abs() < 1e-4), "{text}: {gap}");
        }
        let file = serde_json::to_string(&fitted).unwrap();
        let again: DescribedEffects = serde_json::from_str(&file).unwrap();
        assert_eq!(again.effect(&texts[0], None).unwrap(), fitted.effect(&texts[0], None).unwrap());
    }

    #[test]
    fn texts_that_tell_nothing_give_the_mean_and_few_components_are_refused() {
        let effects: Vec<Vec<f32>> = [[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]].map(Vec::from).to_vec();
        // Alike texts, opposite effects.
        let texts = ["red sun", "red sun", "blue moon", "blue moon"].map(String::from);
        let (fitted, _) = DescribedEffects::fit(&descriptions(&texts), &singles(&effects), None).unwrap();
        assert_eq!(fitted.strength().ridge, None);
        assert_eq!(fitted.effect("red sun", None).unwrap(), Array1::<f32>::zeros(2));
        let error = DescribedEffects::fit(&descriptions(&texts[..3]), &singles(&effects), None).unwrap_err();
        assert!(error.is_mistake() && error.to_string().contains("4 needed, 3 found"), "{error}");
    }
}

//! What predicts perturbation and covariates from a basal state.

use std::ops::Range;

use candle_core::{D, Tensor};

use crate::Result;
use crate::language::parameters::Parameters;
use crate::language::transformer::Linear;
use crate::models::counts::Codes;

/// Which codes an adversary predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Any number of them: the components.
    Several,
    /// One of them: the value of a covariate.
    One,
}

/// Affine → ReLU → affine, to the log odds of codes.
struct Head {
    kind: Kind,
    codes: Range<usize>,
    first: Linear,
    second: Linear,
}

/// An adversary for the components, and one for each covariate that has two values or more.
pub(super) struct Adversaries {
    heads: Vec<Head>,
}

/// x, whose slope is passed on as −weight times itself.
fn reversed(x: &Tensor, weight: f64) -> Result<Tensor> {
    Ok(((x.detach() * (1.0 + weight))? - (x * weight)?)?)
}

/// ln(1 + eˣ) from operations that have slopes.
fn softplus(x: &Tensor) -> Result<Tensor> {
    Ok((x.relu()? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?)?)
}

impl Adversaries {
    pub(super) fn new(parameters: &mut Parameters, codes: &Codes, n_latent: usize, width: usize) -> Result<Self> {
        let components = Some(("perturbation".to_owned(), Kind::Several, codes.components()));
        let covariates = codes.covariates().into_iter().filter(|(_, values)| values.len() > 1);
        let covariates = covariates.map(|(column, values)| (format!("covariate.{column}"), Kind::One, values));
        let mut head = |(name, kind, codes): (String, Kind, Range<usize>)| {
            let deviation = |n_in: usize| 1.0 / (n_in as f32).sqrt();
            let name = format!("adversary.{name}");
            Ok(Head {
                kind,
                first: Linear::new(parameters, &format!("{name}.0"), n_latent, width, deviation(n_latent))?,
                second: Linear::new(parameters, &format!("{name}.1"), width, codes.len(), deviation(width))?,
                codes,
            })
        };
        let wanted = components.into_iter().filter(|(_, _, codes)| !codes.is_empty()).chain(covariates);
        Ok(Self { heads: wanted.map(&mut head).collect::<Result<_>>()? })
    }

    /// The sum over adversaries of their loss, which the basal states are to make larger by `weight` times, and of `penalty`
    /// times the mean square of the slope of their summed outputs by a basal state; nothing without adversaries.
    ///
    /// Losses: binary cross-entropy, the mean over cells and components; cross-entropy, the mean over cells.
    ///
    /// **Shapes** `basal`: (n_cells, n_latent); `codes`: (n_cells, n_codes).
    pub(super) fn loss(&self, basal: &Tensor, codes: &Tensor, weight: f64, penalty: f64) -> Result<Option<Tensor>> {
        let seen = reversed(basal, weight)?;
        let mut sum: Option<Tensor> = None;
        for head in &self.heads {
            let truth = codes.narrow(1, head.codes.start, head.codes.len())?.contiguous()?;
            let inner = head.first.forward(&seen)?;
            let odds = head.second.forward(&inner.relu()?)?;
            let mut loss = match head.kind {
                Kind::Several => (softplus(&odds)? - (truth * &odds)?)?.mean_all()?,
                Kind::One => (truth * candle_nn::ops::log_softmax(&odds, D::Minus1)?)?.sum(1)?.mean_all()?.neg()?,
            };
            if penalty > 0.0 {
                loss = (loss + (head.slope(&inner)? * penalty)?)?;
            }
            sum = Some(match sum {
                Some(sum) => (sum + loss)?,
                None => loss,
            });
        }
        Ok(sum)
    }
}

impl Head {
    /// The mean square of ∂(Σ outputs)/∂basal = W₁ (1[W₁ᵀ basal + b > 0] ⊙ W₂ 1), as a function of the weights.
    fn slope(&self, inner: &Tensor) -> Result<Tensor> {
        let inner = inner.detach();
        let is_on = inner.gt(&inner.zeros_like()?)?.to_dtype(inner.dtype())?;
        let slopes = is_on.broadcast_mul(&self.second.weight.sum(1)?)?.matmul(&self.first.weight.t()?)?;
        Ok(slopes.sqr()?.mean_all()?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::conditions::Condition;
    use crate::language::gradients::Gradients;
    use crate::language::kernels::values;

    fn adversaries() -> (Adversaries, Tensor, Var) {
        let conditions =
            ["control | t=x", "A | t=y", "A+B | t=x", "B | t=z"].map(|text| Condition::parse(text, "control").unwrap());
        let codes = Codes::fit(&conditions);
        let hot: Vec<f32> = conditions
            .iter()
            .flat_map(|condition| {
                let of = codes.of(condition).unwrap();
                (0..codes.n() as u32).map(move |code| f32::from(u8::from(of.contains(&code))))
            })
            .collect();
        let hot = Tensor::from_vec(hot, (4, codes.n()), &Device::Cpu).unwrap();
        let basal: Vec<f32> = (0..12).map(|i| (i as f32 * 1.7).sin()).collect();
        let basal = Var::from_tensor(&Tensor::from_vec(basal, (4, 3), &Device::Cpu).unwrap()).unwrap();
        (Adversaries::new(&mut Parameters::draw(1, 0, &Device::Cpu), &codes, 3, 5).unwrap(), hot, basal)
    }

    /// The penalty against the slope of the outputs by finite differences of the basal states.
    #[test]
    fn the_penalty_is_the_mean_square_of_the_outputs_slopes() {
        let (adversaries, _, basal) = adversaries();
        let start = values(&basal).unwrap();
        for head in &adversaries.heads {
            let sums = |points: Vec<f32>| {
                let points = Tensor::from_vec(points, (4, 3), &Device::Cpu).unwrap();
                let odds = head.second.forward(&head.first.forward(&points).unwrap().relu().unwrap()).unwrap();
                values(&odds.sum(1).unwrap()).unwrap()
            };
            let mut squares = 0.0;
            for place in 0..start.len() {
                let moved = |by: f32| {
                    let mut points = start.clone();
                    points[place] += by;
                    sums(points)[place / 3]
                };
                squares += ((moved(1e-3) - moved(-1e-3)) / 2e-3).powi(2) / start.len() as f32;
            }
            let inner = head.first.forward(&basal).unwrap();
            let got = head.slope(&inner).unwrap().to_scalar::<f32>().unwrap();
            assert!((got / squares - 1.0).abs() < 0.01, "{got} {squares}");
        }
        assert_eq!(adversaries.heads.len(), 2);
    }

    #[test]
    fn basal_states_climb_where_adversaries_descend_and_the_penalty_leaves_them_alone() {
        let (adversaries, codes, basal) = adversaries();
        let loss = |weight: f64, penalty: f64| adversaries.loss(&basal, &codes, weight, penalty).unwrap().unwrap();
        let slopes = |loss: &Tensor| Gradients::of(loss).unwrap().get(&basal).unwrap().to_vec();
        // A weight of −1 reverses nothing: the slope of the adversaries' loss itself.
        let own = slopes(&loss(-1.0, 0.0));
        assert!(own.iter().any(|slope| slope.abs() > 1e-3));
        for (reversed, own) in slopes(&loss(2.0, 3.0)).iter().zip(&own) {
            assert!((reversed + 2.0 * own).abs() < 1e-5, "{reversed} {own}");
        }
        let value = |loss: Tensor| loss.to_scalar::<f32>().unwrap();
        assert_eq!(value(loss(2.0, 0.0)), value(loss(0.5, 0.0)));
        assert!(value(loss(1.0, 3.0)) > value(loss(1.0, 0.0)));
    }

    /// Cross-entropies written out from the outputs.
    #[test]
    fn losses_are_cross_entropies() {
        let (adversaries, codes, basal) = adversaries();
        let truth = codes.to_vec2::<f32>().unwrap();
        let mut expected = 0.0;
        for head in &adversaries.heads {
            let odds = head.second.forward(&head.first.forward(&basal).unwrap().relu().unwrap()).unwrap();
            for (odds, truth) in odds.to_vec2::<f32>().unwrap().iter().zip(&truth) {
                let truth = &truth[head.codes.clone()];
                match head.kind {
                    Kind::Several => {
                        for (odds, truth) in odds.iter().zip(truth) {
                            let p = 1.0 / (1.0 + (-odds).exp());
                            expected -= (truth * p.ln() + (1.0 - truth) * (1.0 - p).ln()) / (4.0 * 2.0);
                        }
                    }
                    Kind::One => {
                        let sum: f32 = odds.iter().map(|odds| odds.exp()).sum();
                        let own = odds.iter().zip(truth).find(|(_, truth)| **truth > 0.0).unwrap().0;
                        expected -= (own.exp() / sum).ln() / 4.0;
                    }
                }
            }
        }
        let got = adversaries.loss(&basal, &codes, 1.0, 0.0).unwrap().unwrap().to_scalar::<f32>().unwrap();
        assert!((got - expected).abs() < 1e-5, "{got} {expected}");
    }
}

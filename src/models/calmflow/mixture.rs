//! The `mixture` decoder: the law of the path's end as a mixture of diagonal Gaussians.
//!
//! q(x1 | x_{≤k}, prompt) = Σ_j w_j N(μ_j, diag σ_j²) with gated skips μ_j = a_kj ⊙ x_k + b_kj ⊙ x_0 + s_kj ⊙ m_j(h) + r_k c,
//! log σ_j = log s_kj + l_j(h); m, l and w are affine in the network's output h, c is affine in the condition, and a, b, s
//! start as the posterior of x1 ~ N(0, 1) given x_k on a bridge from x_0: with g = t/(t² + σ² t(1 − t)),
//! a = g, b = −(1 − t) g, s = √(1 − g t), and r = 1 − g t is the weight of the prior mean.

use std::sync::Arc;

use candle_core::Tensor;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::mixture_kernel::{MixtureLoss, composed_loss};
use super::params::CalmFlowParams;
use super::trajectories::Trajectories;
use crate::Result;
use crate::flow::Path;
use crate::language::kernels::{dot, is_fused, values};
use crate::language::parameters::{Parameters, Start};
use crate::language::transformer::Linear;

/// Standard deviations are held within e^−6.9 = 0.001 and e³ of the data's.
pub(super) const LOG_DEVIATION: (f32, f32) = (-6.907_755, 3.0);
/// The straight path has no noise; its gates start as if it had this variance.
const LEAST_VARIANCE: f32 = 1e-4;

/// The decoder.
pub(super) struct Mixture {
    n_components: usize,
    n_dims: usize,
    path: Path,
    n_steps: usize,
    /// h → all m, all l, all logits.
    output: Linear,
    /// a, b and log s: (3, n_steps, n_components, n_dims).
    gates: Tensor,
    to_centre: Option<Linear>,
    prior_weights: Arc<Vec<f32>>,
}

/// Where the random numbers of a step come from, one entry per state.
pub(super) struct Present<'a> {
    /// The states now: (n_states, n_dims).
    pub(super) now: &'a [f32],
    /// The source points: (n_states, n_dims).
    pub(super) source: &'a [f32],
    /// The condition's shift of the means: (n_dims), or nothing.
    pub(super) centre: &'a [f32],
}

impl Mixture {
    pub(super) fn new(
        parameters: &mut Parameters,
        params: &CalmFlowParams,
        n_dims: usize,
        has_centre: bool,
    ) -> Result<Self> {
        let (n_components, n_steps) = (params.n_mixture, params.n_steps);
        let n_hidden = params.n_spatial * params.transformer.width;
        let n_output = n_components * (2 * n_dims + 1);
        // The components' means start apart.
        let bias = Start::NormalThenZeros(n_components * n_dims, 0.5);
        let output = Linear::with_bias(parameters, "mixture.output", n_hidden, n_output, 0.02, bias)?;
        let (mut gates, mut prior_weights) = (vec![Vec::new(), Vec::new(), Vec::new()], Vec::new());
        for step in 0..n_steps {
            let t = step as f32 / n_steps as f32;
            let variance = params.path.sigma().powi(2).max(LEAST_VARIANCE);
            let gain = if step == 0 { 0.0 } else { t / (t * t + variance * t * (1.0 - t)) };
            let rest = (1.0 - gain * t).max(0.0);
            let starts = [gain, -(1.0 - t) * gain, 0.5 * rest.max(1e-4).ln()];
            for (gate, start) in gates.iter_mut().zip(starts) {
                gate.extend(std::iter::repeat_n(start, n_components * n_dims));
            }
            prior_weights.push(rest);
        }
        let shape = [3, n_steps, n_components, n_dims];
        let gates = parameters.tensor("mixture.gates", &shape, Start::Values(gates.concat()))?;
        let width = params.transformer.width;
        let to_centre =
            has_centre.then(|| Linear::new(parameters, "mixture.to_centre", width, n_dims, 0.01)).transpose()?;
        let prior_weights = Arc::new(prior_weights);
        Ok(Self { n_components, n_dims, path: params.path, n_steps, output, gates, to_centre, prior_weights })
    }

    /// The shift of the means for each condition: (n_prompts, width) → (n_prompts, n_dims).
    pub(super) fn centre(&self, meaning: &Tensor) -> Result<Option<Tensor>> {
        self.to_centre.as_ref().map(|map| map.forward(meaning)).transpose()
    }

    /// The mean negative log-likelihood of the path's end, per dimension: a scalar.
    ///
    /// **Shapes** `hidden`: (n_states, n_hidden); `centre`: (n_prompts, n_dims).
    pub(super) fn loss(
        &self,
        hidden: &Tensor,
        centre: Option<&Tensor>,
        of_sequence: &Arc<Vec<u32>>,
        trajectories: Arc<Trajectories>,
    ) -> Result<Tensor> {
        let output = self.output.forward(hidden)?;
        let nothing;
        let centre = match centre {
            Some(centre) => centre,
            None => {
                let n_prompts = of_sequence.iter().max().map_or(1, |&prompt| prompt as usize + 1);
                nothing = Tensor::zeros((n_prompts, self.n_dims), output.dtype(), output.device())?;
                &nothing
            }
        };
        let loss = MixtureLoss {
            n_components: self.n_components,
            trajectories,
            of_sequence: of_sequence.clone(),
            prior_weights: self.prior_weights.clone(),
            gradients: std::sync::Mutex::default(),
        };
        if !is_fused(&output) {
            return composed_loss(&output, &self.gates, centre, &loss);
        }
        Ok(output.contiguous()?.apply_op3(&self.gates.contiguous()?, &centre.contiguous()?, loss)?)
    }

    /// Draws the end of each path and steps towards it: the states at the next time.
    ///
    /// x̂1 ~ q with standard deviations times `temperature`; x′ = x + w (x̂1 − x) + s ε as in [`Path::step`]; the last step
    /// returns x̂1.
    pub(super) fn step(
        &self,
        hidden: &Tensor,
        step: usize,
        present: &Present<'_>,
        temperature: f32,
        rng: &mut ChaCha8Rng,
    ) -> Result<Vec<f32>> {
        let (n_dims, n_components) = (self.n_dims, self.n_components);
        let outputs = values(&self.output.forward(hidden)?)?;
        let gates = values(&self.gates)?;
        let gate = |kind: usize, component: usize| {
            let start = ((kind * self.n_steps + step) * n_components + component) * n_dims;
            &gates[start..start + n_dims]
        };
        let (weight, deviation) = self.path.step(step, self.n_steps);
        let is_last = step + 1 == self.n_steps;
        let mut next = Vec::with_capacity(present.now.len());
        let states = outputs.chunks_exact(n_components * (2 * n_dims + 1)).zip(present.now.chunks_exact(n_dims));
        for ((output, now), source) in states.zip(present.source.chunks_exact(n_dims)) {
            let component = choose(&output[2 * n_components * n_dims..], rng);
            let (means, logs) = output.split_at(n_components * n_dims);
            let (means, logs) = (&means[component * n_dims..], &logs[component * n_dims..]);
            let (a, b, s) = (gate(0, component), gate(1, component), gate(2, component));
            for d in 0..n_dims {
                let shift = present.centre.get(d).map_or(0.0, |centre| self.prior_weights[step] * centre);
                let mean = a[d] * now[d] + b[d] * source[d] + s[d].exp() * means[d] + shift;
                let log_deviation = (s[d] + logs[d]).clamp(LOG_DEVIATION.0, LOG_DEVIATION.1);
                let noise: f32 = StandardNormal.sample(rng);
                let end = mean + temperature * log_deviation.exp() * noise;
                next.push(if is_last {
                    end
                } else {
                    let noise: f32 = StandardNormal.sample(rng);
                    now[d] + weight * (end - now[d]) + temperature * deviation * noise
                });
            }
        }
        Ok(next)
    }
}

/// Draws a component in proportion to exp(logit).
fn choose(logits: &[f32], rng: &mut ChaCha8Rng) -> usize {
    let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f32> = logits.iter().map(|logit| (logit - greatest).exp()).collect();
    let mut left = rng.random::<f32>() * dot(&weights, &vec![1.0; weights.len()]);
    for (component, weight) in weights.iter().enumerate() {
        left -= weight;
        if left < 0.0 {
            return component;
        }
    }
    weights.len() - 1
}

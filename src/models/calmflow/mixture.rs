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

use super::mixture_kernel::{MixtureLoss, composed_loss};
use super::params::CalmFlowParams;
use super::trajectories::Trajectories;
use crate::Result;
use crate::flow::Path;
use crate::language::kernels::{Matrix, is_fused, on_cpu, product, with_values};
use crate::language::parameters::{Parameters, Start};
use crate::language::transformer::Linear;
use crate::numbers::{exp, fill_normal, vectorized};

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
    /// The hidden numbers that means are read from, where guidance moves them: (n_states, n_hidden).
    pub(super) guided: Option<&'a Tensor>,
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
        let nothing;
        let centre = match centre {
            Some(centre) => centre,
            None => {
                let n_prompts = of_sequence.iter().max().map_or(1, |&prompt| prompt as usize + 1);
                nothing = Tensor::zeros((n_prompts, self.n_dims), hidden.dtype(), hidden.device())?;
                &nothing
            }
        };
        let loss = MixtureLoss {
            output: self.output.clone(),
            n_components: self.n_components,
            trajectories,
            of_sequence: of_sequence.clone(),
            prior_weights: self.prior_weights.clone(),
            gradients: std::sync::Mutex::default(),
        };
        if !is_fused(hidden) {
            return composed_loss(hidden, &self.gates, centre, &loss);
        }
        Ok(hidden.contiguous()?.apply_op3(&self.gates.contiguous()?, &centre.contiguous()?, loss)?)
    }

    /// Draws the end of each path and steps towards it: the states at the next time.
    ///
    /// x̂1 ~ q with standard deviations times `temperature`; x′ = x + w (x̂1 − x) + s ε as in [`Path::step`]; the last step
    /// returns x̂1. The component of each state is drawn first; only its mean and deviation are computed.
    pub(super) fn step(
        &self,
        hidden: &Tensor,
        step: usize,
        present: &Present<'_>,
        temperature: f32,
        rng: &mut ChaCha8Rng,
    ) -> Result<Vec<f32>> {
        let (n_dims, n_hidden) = (self.n_dims, self.output.weight.dim(0)?);
        let (path_weight, deviation) = self.path.step(step, self.n_steps);
        let is_last = step + 1 == self.n_steps;
        let (path_weight, deviation) = if is_last { (1.0, 0.0) } else { (path_weight, deviation) };
        let mut noise = vec![0.0; present.now.len() * if deviation > 0.0 { 2 } else { 1 }];
        fill_normal(rng, &mut noise);
        let (end_noise, path_noise) = noise.split_at(present.now.len());
        let shift: Vec<f32> = (0..n_dims)
            .map(|d| present.centre.get(d).map_or(0.0, |centre| self.prior_weights[step] * centre))
            .collect();
        let mut next = vec![0.0; present.now.len()];
        let guided = present.guided.unwrap_or(hidden);
        let tensors = [hidden, guided, &self.output.weight, &self.output.bias, &self.gates];
        let tensors = tensors.into_iter().map(on_cpu).collect::<candle_core::Result<Vec<_>>>()?;
        with_values(std::array::from_fn(|number| &tensors[number]), |[hidden, guided, weight, bias, gates]| {
            for (component, states) in self.choose(hidden, weight, bias, rng).iter().enumerate() {
                if states.is_empty() {
                    continue;
                }
                let part = |kind: usize, hidden: &[f32]| {
                    let row = |&state: &usize| &hidden[state * n_hidden..(state + 1) * n_hidden];
                    let rows: Vec<f32> = states.iter().flat_map(row).copied().collect();
                    let start = (kind * self.n_components + component) * n_dims;
                    let columns = start..start + n_dims;
                    let weight = Matrix::rows(weight, bias.len()).columns(columns.clone());
                    (product(Matrix::rows(&rows, n_hidden), weight), &bias[columns])
                };
                let ((means, mean_bias), (logs, log_bias)) = (part(0, guided), part(1, hidden));
                let gate = |kind: usize| {
                    let start = ((kind * self.n_steps + step) * self.n_components + component) * n_dims;
                    &gates[start..start + n_dims]
                };
                let factors: Vec<f32> = gate(2).iter().map(|log| log.exp()).collect();
                let law = Law {
                    gates: [gate(0), gate(1), gate(2), &factors],
                    biases: [mean_bias, log_bias],
                    shift: &shift,
                    path: [path_weight, temperature, temperature * deviation],
                };
                for (place, &state) in states.iter().enumerate() {
                    let at = state * n_dims..(state + 1) * n_dims;
                    let row = place * n_dims..(place + 1) * n_dims;
                    let now = [&present.now[at.clone()], &present.source[at.clone()], &end_noise[at.clone()]];
                    let path_noise = if path_noise.is_empty() { &shift } else { &path_noise[at.clone()] };
                    draw_next(&mut next[at], &law, now, path_noise, [&means[row.clone()], &logs[row]]);
                }
            }
            Ok(())
        })?;
        Ok(next)
    }

    /// Draws a component for each state in proportion to exp(logit): the states of each component.
    fn choose(&self, hidden: &[f32], weight: &[f32], bias: &[f32], rng: &mut ChaCha8Rng) -> Vec<Vec<usize>> {
        let first = 2 * self.n_components * self.n_dims;
        let n_hidden = weight.len() / bias.len();
        let weight = Matrix::rows(weight, bias.len()).columns(first..bias.len());
        let mut logits = product(Matrix::rows(hidden, n_hidden), weight);
        let mut states = vec![Vec::new(); self.n_components];
        for (state, logits) in logits.chunks_exact_mut(self.n_components).enumerate() {
            logits.iter_mut().zip(&bias[first..]).for_each(|(logit, bias)| *logit += bias);
            let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            logits.iter_mut().for_each(|logit| *logit = exp(*logit - greatest));
            let mut left = rng.random::<f32>() * logits.iter().sum::<f32>();
            let chosen = logits.iter().position(|weight| {
                left -= weight;
                left < 0.0
            });
            states[chosen.unwrap_or(self.n_components - 1)].push(state);
        }
        states
    }
}

/// What all states of one component and step share.
struct Law<'a> {
    /// a, b, log s and s.
    gates: [&'a [f32]; 4],
    /// Of the means and of the log deviations.
    biases: [&'a [f32]; 2],
    shift: &'a [f32],
    /// The part of the way to the end, and the factors of the noise of the end and of the path.
    path: [f32; 3],
}

vectorized! {
    /// The next state; `now`: the state, its source, and noise of the end; `output`: m and l without their biases.
    fn draw_next(next: &mut [f32], law: &Law<'_>, now: [&[f32]; 3], path_noise: &[f32], output: [&[f32]; 2]) {
        let n = next.len();
        let [a, b, s, factors] = law.gates.map(|gate| &gate[..n]);
        let [mean_bias, log_bias] = law.biases.map(|bias| &bias[..n]);
        let [now, source, end_noise] = now.map(|values| &values[..n]);
        let [means, logs] = output.map(|values| &values[..n]);
        let (shift, path_noise) = (&law.shift[..n], &path_noise[..n]);
        let [path_weight, temperature, deviation] = law.path;
        for d in 0..n {
            let mean = a[d] * now[d] + b[d] * source[d] + factors[d] * (means[d] + mean_bias[d]) + shift[d];
            let log_deviation = (s[d] + logs[d] + log_bias[d]).clamp(LOG_DEVIATION.0, LOG_DEVIATION.1);
            let end = mean + temperature * exp(log_deviation) * end_noise[d];
            next[d] = now[d] + path_weight * (end - now[d]) + deviation * path_noise[d];
        }
    }
}

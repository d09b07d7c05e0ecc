//! The loss of the mixture decoder with its gradients, in one pass over the states.

use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp3, Layout, Result as CandleResult, Shape, Tensor};
use rayon::prelude::*;

use super::mixture::LOG_DEVIATION;
use super::trajectories::Trajectories;
use crate::Result;
use crate::language::kernels::{contiguous, exp, values, vectorized};

/// States per partial sum of the gradients of the gates.
const STATES: usize = 64;

/// −log q(x1) per dimension, averaged over states; see [`super::mixture`] for the law.
pub(super) struct MixtureLoss {
    pub(super) n_components: usize,
    pub(super) trajectories: Arc<Trajectories>,
    pub(super) of_sequence: Arc<Vec<u32>>,
    pub(super) prior_weights: Arc<Vec<f32>>,
    /// Gradients of output, gates and centre, made with the loss.
    pub(super) gradients: Mutex<Option<[Vec<f32>; 3]>>,
}

/// One state's view of everything.
struct State<'a> {
    now: &'a [f32],
    source: &'a [f32],
    end: &'a [f32],
    centre: &'a [f32],
    prior_weight: f32,
    /// a, b, log s of the state's step, each (n_components · n_dims).
    gates: [&'a [f32]; 3],
    n_components: usize,
}

/// Gradients of one state: of its output, of its step's gates, and of the centre.
struct Gradient<'a> {
    output: &'a mut [f32],
    gates: [&'a mut [f32]; 3],
    centre: &'a mut [f32],
}

vectorized! {
    fn state_loss(output: &[f32], state: &State<'_>, gradient: &mut Gradient<'_>, scratch: &mut [f32], scale: f32) -> f32 {
        let (n_dims, n_components) = (state.now.len(), state.n_components);
        let size = n_components * n_dims;
        let (means, rest) = output.split_at(size);
        let (logs, logits) = rest.split_at(size);
        let (log_likelihoods, rest) = scratch.split_at_mut(n_components);
        let (residuals, rest) = rest.split_at_mut(size);
        let (precisions, scales) = rest.split_at_mut(size);
        let [a, b, s] = state.gates;
        for (component, log_likelihood) in log_likelihoods.iter_mut().enumerate() {
            let at = component * n_dims;
            let mut sums = [0.0_f32; 16];
            for d in 0..n_dims {
                let i = at + d;
                let factor = exp(s[i]);
                let mean = a[i] * state.now[d] + b[i] * state.source[d] + factor * means[i]
                    + state.prior_weight * state.centre[d];
                let log_deviation = (s[i] + logs[i]).clamp(LOG_DEVIATION.0, LOG_DEVIATION.1);
                let precision = exp(-log_deviation);
                let residual = (state.end[d] - mean) * precision;
                residuals[i] = residual;
                precisions[i] = precision;
                scales[i] = factor;
                sums[d % 16] += 0.5 * residual * residual + log_deviation;
            }
            *log_likelihood = logits[component] - sums.iter().sum::<f32>();
        }
        let greatest = |values: &[f32]| values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let log_sum = |values: &[f32]| {
            let greatest = greatest(values);
            greatest + values.iter().map(|value| (value - greatest).exp()).sum::<f32>().ln()
        };
        let (all, prior) = (log_sum(log_likelihoods), log_sum(logits));
        let (mean_grad, rest) = gradient.output.split_at_mut(size);
        let (log_grad, logit_grad) = rest.split_at_mut(size);
        let [a_grad, b_grad, s_grad] = &mut gradient.gates;
        for component in 0..n_components {
            let share = (log_likelihoods[component] - all).exp() * scale;
            logit_grad[component] = (logits[component] - prior).exp() * scale - share;
            let at = component * n_dims;
            for d in 0..n_dims {
                let i = at + d;
                let slope = -share * residuals[i] * precisions[i];
                let log_deviation = s[i] + logs[i];
                let inside = log_deviation > LOG_DEVIATION.0 && log_deviation < LOG_DEVIATION.1;
                let log_slope = if inside { share * (1.0 - residuals[i] * residuals[i]) } else { 0.0 };
                mean_grad[i] = slope * scales[i];
                log_grad[i] = log_slope;
                a_grad[i] += slope * state.now[d];
                b_grad[i] += slope * state.source[d];
                s_grad[i] += slope * scales[i] * means[i] + log_slope;
                gradient.centre[d] += slope * state.prior_weight;
            }
        }
        // The constant ½ log 2π per dimension is left out: the loss is a likelihood ratio to the unit Gaussian's peak.
        prior - all
    }
}

impl MixtureLoss {
    fn compute(&self, outputs: &[f32], gates: &[f32], centres: &[f32]) -> (f32, [Vec<f32>; 3]) {
        let trajectories = &*self.trajectories;
        let (n_states, n_dims, n_steps) = (trajectories.n_states(), trajectories.n_dims, trajectories.n_steps);
        let size = self.n_components * n_dims;
        let row = 2 * size + self.n_components;
        let scale = 1.0 / (n_states * n_dims) as f32;
        let mut output_grad = vec![0.0; outputs.len()];
        let partial: Vec<(f64, Vec<f32>, Vec<f32>)> = output_grad
            .par_chunks_mut(STATES * row)
            .zip(outputs.par_chunks(STATES * row))
            .enumerate()
            .map(|(block, (output_grad, outputs))| {
                let (mut gates_grad, mut centres_grad) = (vec![0.0; gates.len()], vec![0.0; centres.len()]);
                let mut scratch = vec![0.0; self.n_components + 3 * size];
                let mut sum = 0.0;
                let states = output_grad.chunks_exact_mut(row).zip(outputs.chunks_exact(row));
                for (place, (output_grad, output)) in states.enumerate() {
                    let (sequence, step, trajectory) = trajectories.place(block * STATES + place);
                    let prompt = self.of_sequence[sequence] as usize;
                    let gate = |kind: usize| (kind * n_steps + step) * size;
                    let state = State {
                        now: trajectories.state(sequence, step, trajectory),
                        source: trajectories.state(sequence, 0, trajectory),
                        end: trajectories.state(sequence, n_steps, trajectory),
                        centre: &centres[prompt * n_dims..(prompt + 1) * n_dims],
                        prior_weight: self.prior_weights[step],
                        gates: [0, 1, 2].map(|kind| &gates[gate(kind)..gate(kind) + size]),
                        n_components: self.n_components,
                    };
                    let (first, rest) = gates_grad.split_at_mut(n_steps * size);
                    let (second, third) = rest.split_at_mut(n_steps * size);
                    let of_step = |all| -> &mut [f32] {
                        let all: &mut [f32] = all;
                        &mut all[step * size..(step + 1) * size]
                    };
                    let mut gradient = Gradient {
                        output: output_grad,
                        gates: [of_step(first), of_step(second), of_step(third)],
                        centre: &mut centres_grad[prompt * n_dims..(prompt + 1) * n_dims],
                    };
                    sum += f64::from(state_loss(output, &state, &mut gradient, &mut scratch, scale));
                }
                (sum, gates_grad, centres_grad)
            })
            .collect();
        let (mut sum, mut gates_grad, mut centres_grad) = (0.0, vec![0.0; gates.len()], vec![0.0; centres.len()]);
        for (part, gates_part, centres_part) in &partial {
            sum += part;
            gates_grad.iter_mut().zip(gates_part).for_each(|(total, value)| *total += value);
            centres_grad.iter_mut().zip(centres_part).for_each(|(total, value)| *total += value);
        }
        ((sum * f64::from(scale)) as f32, [output_grad, gates_grad, centres_grad])
    }
}

impl CustomOp3 for MixtureLoss {
    fn name(&self) -> &'static str {
        "mixture-loss"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> CandleResult<(CpuStorage, Shape)> {
        let (loss, gradients) = self.compute(contiguous(s1, l1)?, contiguous(s2, l2)?, contiguous(s3, l3)?);
        *self.gradients.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(gradients);
        Ok((CpuStorage::F32(vec![loss]), Shape::from(())))
    }

    fn bwd(
        &self,
        output: &Tensor,
        gates: &Tensor,
        centre: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let factor = grad.to_scalar::<f32>()?;
        let gradients = self.gradients.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let Some(gradients) = gradients else { candle_core::bail!("the mixture loss was differentiated twice") };
        let [output_grad, gates_grad, centre_grad] = gradients;
        let tensor = |mut gradient: Vec<f32>, like: &Tensor| {
            if factor != 1.0 {
                gradient.iter_mut().for_each(|value| *value *= factor);
            }
            Tensor::from_vec(gradient, like.shape(), like.device()).map(Some)
        };
        Ok((tensor(output_grad, output)?, tensor(gates_grad, gates)?, tensor(centre_grad, centre)?))
    }
}

/// The same loss from the tensor library's own operations.
pub(super) fn composed_loss(output: &Tensor, gates: &Tensor, centre: &Tensor, loss: &MixtureLoss) -> Result<Tensor> {
    let trajectories = &*loss.trajectories;
    let (n_states, n_dims, n_components) = (trajectories.n_states(), trajectories.n_dims, loss.n_components);
    let size = n_components * n_dims;
    let device = output.device();
    let (mut source, mut end, mut steps, mut prompts, mut weights) = (vec![], vec![], vec![], vec![], vec![]);
    for state in 0..n_states {
        let (sequence, step, trajectory) = trajectories.place(state);
        source.extend_from_slice(trajectories.state(sequence, 0, trajectory));
        end.extend_from_slice(trajectories.state(sequence, trajectories.n_steps, trajectory));
        steps.push(step as u32);
        prompts.push(loss.of_sequence[sequence]);
        weights.push(loss.prior_weights[step]);
    }
    let points = |values: Vec<f32>| Tensor::from_vec(values, (n_states, 1, n_dims), device);
    let (now, source, end) = (points(values(&trajectories.present()?)?)?, points(source)?, points(end)?);
    let steps = Tensor::from_vec(steps, n_states, device)?;
    let gate = |kind: usize| gates.get(kind)?.index_select(&steps, 0);
    let (a, b, s) = (gate(0)?, gate(1)?, gate(2)?);
    let part = |start: usize| output.narrow(1, start, size)?.reshape((n_states, n_components, n_dims));
    let (means, logs, logits) = (part(0)?, part(size)?, output.narrow(1, 2 * size, n_components)?);
    let shift = centre.index_select(&Tensor::from_vec(prompts, n_states, device)?, 0)?.unsqueeze(1)?;
    let shift = shift.broadcast_mul(&Tensor::from_vec(weights, (n_states, 1, 1), device)?)?;
    let skipped = (a.broadcast_mul(&now)? + b.broadcast_mul(&source)?)?;
    let mean = ((skipped + s.exp()?.mul(&means)?)?).broadcast_add(&shift)?;
    let log_deviation = (&s + &logs)?.clamp(LOG_DEVIATION.0, LOG_DEVIATION.1)?;
    let residual = end.broadcast_sub(&mean)?.mul(&log_deviation.neg()?.exp()?)?;
    let log_density = ((residual.sqr()? * 0.5)? + log_deviation)?.sum(2)?.neg()?;
    let prior = logits.log_sum_exp(1)?;
    let all = (logits + log_density)?.log_sum_exp(1)?;
    Ok(((prior - all)?.mean_all()? / n_dims as f64)?)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};
    use ndarray::Array3;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::language::mask::TokenOrder;

    #[test]
    fn the_kernel_agrees_with_its_composition_forward_and_backward() {
        let order = TokenOrder { n_steps: 3, n_trajectories: 2, n_spatial: 1 };
        let (n_cells, n_dims, n_components) = (8, 5, 3);
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut normal = |scale: f32| -> f32 { scale * Distribution::<f32>::sample(&StandardNormal, &mut rng) };
        let points = Array3::from_shape_simple_fn((4, n_cells, n_dims), || normal(1.0));
        let trajectories = Arc::new(Trajectories::pack(points.view(), order));
        let mut var = |shape: &[usize], scale: f32| {
            let values: Vec<f32> = (0..shape.iter().product()).map(|_| normal(scale)).collect();
            Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
        };
        let output = var(&[trajectories.n_states(), n_components * (2 * n_dims + 1)], 0.7);
        let (gates, centre) = (var(&[3, 3, n_components, n_dims], 0.5), var(&[2, n_dims], 1.0));
        let loss = || MixtureLoss {
            n_components,
            trajectories: trajectories.clone(),
            of_sequence: Arc::new(vec![1, 0, 0, 1]),
            prior_weights: Arc::new(vec![1.0, 0.6, 0.2]),
            gradients: Mutex::default(),
        };
        let fused = output.apply_op3(gates.as_tensor(), centre.as_tensor(), loss()).unwrap();
        let composed = composed_loss(&output, &gates, &centre, &loss()).unwrap();
        let (a, b) = (fused.to_scalar::<f32>().unwrap(), composed.to_scalar::<f32>().unwrap());
        assert!((a - b).abs() < 1e-5 * b.abs(), "{a} {b}");
        let (fused, composed) =
            ((fused * 2.0).unwrap().backward().unwrap(), (composed * 2.0).unwrap().backward().unwrap());
        for var in [&output, &gates, &centre] {
            let (a, b) = (values(fused.get(var).unwrap()).unwrap(), values(composed.get(var).unwrap()).unwrap());
            let size = b.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            assert!(size > 0.0);
            a.iter().zip(&b).for_each(|(a, b)| assert!((a - b).abs() < 1e-4 * size, "{a} {b}"));
        }
    }
}

//! The loss of the mixture decoder with its gradients, in one pass over the states.

use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp3, Layout, Result as CandleResult, Shape, Tensor};

use super::mixture::LOG_DEVIATION;
use super::trajectories::Trajectories;
use crate::Result;
use crate::language::gradients::{add, collect_gradient, gradient_of};
use crate::language::kernels::linear::{add_weight_gradient, affine, input_gradient};
use crate::language::kernels::{add_column_sums, contiguous, for_each_block, lock, values, with_values};
use crate::language::transformer::Linear;
use crate::numbers::{dot, exp, vectorized};

/// States per partial sum of the gradients of the gates.
const STATES: usize = 256;

/// −log q(x1) per dimension, averaged over states, of the network's hidden numbers, the gates and the centres; see
/// [`super::mixture`] for the law. The map from hidden numbers to the law's belongs to it.
pub(super) struct MixtureLoss {
    pub(super) output: Linear,
    pub(super) n_components: usize,
    pub(super) trajectories: Arc<Trajectories>,
    pub(super) of_sequence: Arc<Vec<u32>>,
    pub(super) prior_weights: Arc<Vec<f32>>,
    /// Gradients of the map's output, gates and centre, made with the loss.
    pub(super) gradients: Mutex<Option<[Vec<f32>; 3]>>,
}

/// One state's view of everything.
struct State<'a> {
    now: &'a [f32],
    source: &'a [f32],
    end: &'a [f32],
    centre: &'a [f32],
    prior_weight: f32,
    /// a, b, log s and s of the state's step, each (n_components · n_dims).
    gates: [&'a [f32]; 4],
    n_components: usize,
}

/// Gradients of one state: of its output, of its step's gates, and of the centre.
struct Gradient<'a> {
    output: &'a mut [f32],
    gates: [&'a mut [f32]; 3],
    centre: &'a mut [f32],
}

/// Room for one state.
struct Scratch {
    log_likelihoods: Vec<f32>,
    /// Residuals in standard deviations, and 1/σ: (n_components · n_dims).
    residuals: Vec<f32>,
    precisions: Vec<f32>,
    /// x1 less the condition's shift, and what each dimension adds to −log q: (n_dims).
    rest: Vec<f32>,
    terms: Vec<f32>,
    ones: Vec<f32>,
}

impl Scratch {
    fn new(n_components: usize, n_dims: usize) -> Self {
        let zeros = |n: usize| vec![0.0; n];
        Self {
            log_likelihoods: zeros(n_components),
            residuals: zeros(n_components * n_dims),
            precisions: zeros(n_components * n_dims),
            rest: zeros(n_dims),
            terms: zeros(n_dims),
            ones: vec![1.0; n_dims],
        }
    }
}

vectorized! {
    fn state_loss(output: &[f32], state: &State<'_>, gradient: &mut Gradient<'_>, scratch: &mut Scratch, scale: f32) -> f32 {
        let (n, n_components) = (state.now.len(), state.n_components);
        let (means, rest) = output.split_at(n_components * n);
        let (logs, logits) = rest.split_at(n_components * n);
        let [a, b, s, factors] = state.gates;
        // All slices of one component are cut to n numbers, so that the loops below need no checks.
        let (now, source, rest, terms) = (&state.now[..n], &state.source[..n], &mut scratch.rest[..n], &mut scratch.terms[..n]);
        for ((rest, end), centre) in rest.iter_mut().zip(state.end).zip(state.centre) {
            *rest = end - state.prior_weight * centre;
        }
        for (component, logit) in logits.iter().enumerate().take(n_components) {
            let at = component * n..(component + 1) * n;
            let (means, logs) = (&means[at.clone()][..n], &logs[at.clone()][..n]);
            let (a, b, s, factors) = (&a[at.clone()][..n], &b[at.clone()][..n], &s[at.clone()][..n], &factors[at.clone()][..n]);
            let (residuals, precisions) = (&mut scratch.residuals[at.clone()][..n], &mut scratch.precisions[at][..n]);
            for d in 0..n {
                let mean = a[d] * now[d] + b[d] * source[d] + factors[d] * means[d];
                let log_deviation = (s[d] + logs[d]).clamp(LOG_DEVIATION.0, LOG_DEVIATION.1);
                precisions[d] = exp(-log_deviation);
                residuals[d] = (rest[d] - mean) * precisions[d];
                terms[d] = 0.5 * residuals[d] * residuals[d] + log_deviation;
            }
            scratch.log_likelihoods[component] = logit - dot(terms, &scratch.ones);
        }
        let log_sum = |values: &[f32]| {
            let greatest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            greatest + values.iter().map(|value| (value - greatest).exp()).sum::<f32>().ln()
        };
        let (all, prior) = (log_sum(&scratch.log_likelihoods), log_sum(logits));
        let (mean_grad, rest) = gradient.output.split_at_mut(n_components * n);
        let (log_grad, logit_grad) = rest.split_at_mut(n_components * n);
        let [a_grad, b_grad, s_grad] = &mut gradient.gates;
        let centre_grad = &mut gradient.centre[..n];
        for component in 0..n_components {
            let share = (scratch.log_likelihoods[component] - all).exp() * scale;
            logit_grad[component] = (logits[component] - prior).exp() * scale - share;
            let at = component * n..(component + 1) * n;
            let (means, logs) = (&means[at.clone()][..n], &logs[at.clone()][..n]);
            let (s, factors) = (&s[at.clone()][..n], &factors[at.clone()][..n]);
            let (residuals, precisions) = (&scratch.residuals[at.clone()][..n], &scratch.precisions[at.clone()][..n]);
            let (mean_grad, log_grad) = (&mut mean_grad[at.clone()][..n], &mut log_grad[at.clone()][..n]);
            let (a_grad, b_grad) = (&mut a_grad[at.clone()][..n], &mut b_grad[at.clone()][..n]);
            let s_grad = &mut s_grad[at][..n];
            for d in 0..n {
                let slope = -share * residuals[d] * precisions[d];
                let log_deviation = s[d] + logs[d];
                let is_inside = (log_deviation > LOG_DEVIATION.0) & (log_deviation < LOG_DEVIATION.1);
                let log_slope = if is_inside { share * (1.0 - residuals[d] * residuals[d]) } else { 0.0 };
                mean_grad[d] = slope * factors[d];
                log_grad[d] = log_slope;
                a_grad[d] += slope * now[d];
                b_grad[d] += slope * source[d];
                s_grad[d] += slope * factors[d] * means[d] + log_slope;
                centre_grad[d] += slope * state.prior_weight;
            }
        }
        // The constant ½ log 2π per dimension is left out: the loss is a likelihood ratio to the unit Gaussian's peak.
        prior - all
    }
}

impl MixtureLoss {
    /// The loss, and its gradients by the law's numbers (in their place), gates and centres.
    fn compute(&self, mut outputs: Vec<f32>, gates: &[f32], centres: &[f32]) -> (f32, [Vec<f32>; 3]) {
        let trajectories = &*self.trajectories;
        let (n_states, n_dims, n_steps) = (trajectories.n_states(), trajectories.n_dims, trajectories.n_steps);
        let size = self.n_components * n_dims;
        let row = 2 * size + self.n_components;
        let scale = 1.0 / (n_states * n_dims) as f32;
        let factors: Vec<f32> = gates[2 * n_steps * size..].iter().map(|log| log.exp()).collect();
        type Sums = (f64, Vec<f32>, Vec<f32>);
        let partial: Vec<Mutex<Sums>> = (0..n_states.div_ceil(STATES)).map(|_| Mutex::default()).collect();
        for_each_block(&mut outputs, STATES * row, |block, outputs| {
            let (mut gates_grad, mut centres_grad) = (vec![0.0; gates.len()], vec![0.0; centres.len()]);
            let mut scratch = Scratch::new(self.n_components, n_dims);
            let mut output = vec![0.0; row];
            let mut sum = 0.0;
            for (place, output_grad) in outputs.chunks_exact_mut(row).enumerate() {
                output.copy_from_slice(output_grad);
                let number = block * STATES + place;
                let (sequence, step, trajectory) = trajectories.place(number);
                let prompt = self.of_sequence[sequence] as usize;
                let of_step = |all: usize| (all * n_steps + step) * size..(all * n_steps + step + 1) * size;
                let state = State {
                    now: trajectories.state(sequence, step, trajectory),
                    source: trajectories.state(sequence, 0, trajectory),
                    end: trajectories.state(sequence, n_steps, trajectory),
                    centre: &centres[prompt * n_dims..(prompt + 1) * n_dims],
                    prior_weight: self.prior_weights[step],
                    gates: [&gates[of_step(0)], &gates[of_step(1)], &gates[of_step(2)], &factors[of_step(0)]],
                    n_components: self.n_components,
                };
                let (first, rest) = gates_grad.split_at_mut(n_steps * size);
                let (second, third) = rest.split_at_mut(n_steps * size);
                let mut gradient = Gradient {
                    output: output_grad,
                    gates: [&mut first[of_step(0)], &mut second[of_step(0)], &mut third[of_step(0)]],
                    centre: &mut centres_grad[prompt * n_dims..(prompt + 1) * n_dims],
                };
                sum += f64::from(state_loss(&output, &state, &mut gradient, &mut scratch, scale));
            }
            *lock(&partial[block]) = (sum, gates_grad, centres_grad);
        });
        let (mut sum, mut gates_grad, mut centres_grad) = (0.0, vec![0.0; gates.len()], vec![0.0; centres.len()]);
        for partial in &partial {
            let (part, gates_part, centres_part) = &*lock(partial);
            sum += part;
            gates_grad.iter_mut().zip(gates_part).for_each(|(total, value)| *total += value);
            centres_grad.iter_mut().zip(centres_part).for_each(|(total, value)| *total += value);
        }
        ((sum * f64::from(scale)) as f32, [outputs, gates_grad, centres_grad])
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
        let hidden = contiguous(s1, l1)?;
        let outputs = with_values([&self.output.weight, &self.output.bias], |[weight, bias]| {
            Ok(affine(hidden, weight, bias, None))
        })?;
        let (loss, gradients) = self.compute(outputs, contiguous(s2, l2)?, contiguous(s3, l3)?);
        *lock(&self.gradients) = Some(gradients);
        Ok((CpuStorage::F32(vec![loss]), Shape::from(())))
    }

    fn bwd(
        &self,
        hidden: &Tensor,
        gates: &Tensor,
        centre: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let factor = grad.to_scalar::<f32>()?;
        let gradients = lock(&self.gradients).take();
        let Some(mut gradients) = gradients else { candle_core::bail!("the mixture loss was differentiated twice") };
        if factor != 1.0 {
            gradients.iter_mut().for_each(|gradient| scale_all(gradient, factor));
        }
        let [output_grad, gates_grad, centre_grad] = gradients;
        let (n_in, n_out) = self.output.weight.dims2()?;
        with_values([hidden], |[hidden]| {
            collect_gradient(&self.output.weight, |sum| add_weight_gradient(sum, hidden, n_in, &output_grad, n_out))?;
            collect_gradient(&self.output.bias, |sum| add_column_sums(sum, &output_grad, n_out))
        })?;
        let hidden_grad =
            with_values([&self.output.weight], |[weight]| Ok(input_gradient(&output_grad, weight, n_out)))?;
        Ok((
            Some(Tensor::from_vec(hidden_grad, hidden.shape(), hidden.device())?),
            gradient_of(gates, |sum| add(sum, &gates_grad))?,
            gradient_of(centre, |sum| add(sum, &centre_grad))?,
        ))
    }
}

vectorized! {
    fn scale_all(values: &mut [f32], factor: f32) {
        values.iter_mut().for_each(|value| *value *= factor);
    }
}

/// The same loss from the tensor library's own operations.
pub(super) fn composed_loss(hidden: &Tensor, gates: &Tensor, centre: &Tensor, loss: &MixtureLoss) -> Result<Tensor> {
    let output = hidden.matmul(&loss.output.weight)?.broadcast_add(&loss.output.bias)?;
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
    use crate::language::gradients::Gradients;
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
        let (n_hidden, n_output) = (7, n_components * (2 * n_dims + 1));
        let hidden = var(&[trajectories.n_states(), n_hidden], 1.0);
        let (weight, bias) = (var(&[n_hidden, n_output], 0.25), var(&[n_output], 0.3));
        let (gates, centre) = (var(&[3, 3, n_components, n_dims], 0.5), var(&[2, n_dims], 1.0));
        let loss = || MixtureLoss {
            output: Linear { weight: weight.as_tensor().clone(), bias: bias.as_tensor().clone() },
            n_components,
            trajectories: trajectories.clone(),
            of_sequence: Arc::new(vec![1, 0, 0, 1]),
            prior_weights: Arc::new(vec![1.0, 0.6, 0.2]),
            gradients: Mutex::default(),
        };
        let fused = hidden.apply_op3(gates.as_tensor(), centre.as_tensor(), loss()).unwrap();
        let composed = composed_loss(&hidden, &gates, &centre, &loss()).unwrap();
        let (a, b) = (fused.to_scalar::<f32>().unwrap(), composed.to_scalar::<f32>().unwrap());
        assert!((a - b).abs() < 1e-5 * b.abs(), "{a} {b}");
        let (fused, composed) =
            (Gradients::of(&(fused * 2.0).unwrap()).unwrap(), (composed * 2.0).unwrap().backward().unwrap());
        for var in [&hidden, &weight, &bias, &gates, &centre] {
            let (a, b) = (fused.get(var).unwrap(), values(composed.get(var).unwrap()).unwrap());
            let size = b.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            assert!(size > 0.0);
            a.iter().zip(&b).for_each(|(a, b)| assert!((a - b).abs() < 1e-4 * size, "{a} {b}"));
        }
    }
}

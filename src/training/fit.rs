//! The loop.

use std::time::Instant;

use candle_core::Tensor;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::optimizer;
use super::schedule::learning_rate_factor;
use super::state::State;
use crate::language::gradients::Gradients;
use crate::language::kernels::alone;
use crate::{Error, Result};

/// Steps that are measured to turn a time budget into a number of steps, and steps before them that are not.
const MEASURED_STEPS: usize = 12;
const COLD_STEPS: usize = 3;

/// How to fit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingParams {
    /// Number of steps.
    pub n_steps: usize,
    /// The peak learning rate.
    pub learning_rate: f64,
    /// The decoupled weight decay.
    pub weight_decay: f64,
    /// The greatest norm of a gradient.
    pub clip: f64,
    /// Minibatches whose gradients are averaged for one step.
    #[serde(default = "one")]
    pub accumulate: usize,
    /// Seed of everything drawn.
    pub seed: u64,
}

fn one() -> usize {
    1
}

/// A part of a loss that is still to be computed: a scalar.
pub type Part<'a> = Box<dyn FnOnce() -> Result<Tensor> + Send + 'a>;

/// Something that can be fitted: a loss of its trainable tensors on a random minibatch.
pub trait Objective: Sync {
    /// The loss on a minibatch drawn with `rng`: a scalar.
    ///
    /// # Errors
    /// Those of the model.
    fn loss(&self, rng: &mut ChaCha8Rng) -> Result<Tensor>;

    /// The same loss as a sum of parts, each of which is computed and differentiated on a thread of its own. How many
    /// there are must not depend on the number of threads, so that the same seed gives the same bytes.
    ///
    /// # Errors
    /// Those of the model.
    fn parts(&self, rng: &mut ChaCha8Rng) -> Result<Vec<Part<'_>>> {
        let mut rng = rng.clone();
        Ok(vec![Box::new(move || self.loss(&mut rng))])
    }

    /// The loss when this share of the steps is done, 0 to 1, for one that changes on the way: a term that is phased in.
    ///
    /// # Errors
    /// Those of the model.
    fn parts_at(&self, _done: f64, rng: &mut ChaCha8Rng) -> Result<Vec<Part<'_>>> {
        self.parts(rng)
    }
}

/// The sum of all parts as one tensor.
///
/// # Errors
/// Those of the parts.
pub fn sum_of(parts: Vec<Part<'_>>) -> Result<Tensor> {
    let losses = parts.into_iter().map(|part| part()).collect::<Result<Vec<_>>>()?;
    Ok(Tensor::stack(&losses, 0)?.sum_all()?)
}

/// How the gradients of a minibatch join those before it within a step.
#[derive(Clone, Copy)]
struct Joining {
    /// The share of the step's loss.
    share: f64,
    /// Whether there are gradients of this step already.
    adds: bool,
}

/// The value and the gradients of a part. A single part may use all threads, several share them.
fn differentiate(part: Part<'_>, room: Gradients, joining: Joining) -> Result<(f64, Gradients)> {
    let loss = part()?;
    let loss = if joining.share == 1.0 { loss } else { (loss * joining.share)? };
    let value = f64::from(loss.to_scalar::<f32>()?);
    let gradients = match (value.is_finite(), joining.adds) {
        (false, _) => room,
        (true, false) => room.again(&loss)?,
        (true, true) => room.further(&loss)?,
    };
    Ok((value, gradients))
}

/// The same of all parts, in the memory of the gradients of a step before.
fn differentiate_all(
    mut parts: Vec<Part<'_>>,
    mut room: Vec<Gradients>,
    joining: Joining,
) -> Result<(f64, Vec<Gradients>)> {
    let beyond = room.split_off(parts.len().min(room.len()));
    room.resize_with(parts.len(), Gradients::default);
    let done: Vec<(f64, Gradients)> = match (parts.len(), room.pop()) {
        (1, Some(room)) => vec![differentiate(parts.remove(0), room, joining)?],
        (_, last) => {
            room.extend(last);
            let parts = parts.into_par_iter().zip(room);
            parts.map(|(part, room)| alone(|| differentiate(part, room, joining))).collect::<Result<_>>()?
        }
    };
    let value = done.iter().map(|(value, _)| value).sum();
    // A minibatch of fewer parts than the one before it leaves the gradients of the others as they are.
    let beyond = beyond.into_iter().filter(|_| joining.adds);
    Ok((value, done.into_iter().map(|(_, gradients)| gradients).chain(beyond).collect()))
}

/// Where the fit stands, told after every step.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Steps done.
    pub step: usize,
    /// Steps in all.
    pub n_steps: usize,
    /// Loss of the last step.
    pub loss: f64,
}

/// Runs the remaining steps; `after_step` is told of each and may save the state, say that it is done, or stop the fit with
/// an error. It is told as soon as the loss of the next step is known: a state that diverges is never saved as a good one.
///
/// The draws of a step depend on the seed and the number of the step alone, so a fit that goes on from a saved state
/// ends with the same numbers as one that was never stopped.
///
/// # Errors
/// [`Error::NonFiniteLoss`] if training diverges; those of the objective and of `after_step`.
pub fn fit(
    objective: &(impl Objective + ?Sized),
    state: &mut State,
    params: &TrainingParams,
    after_step: &mut dyn FnMut(Progress, &mut State) -> Result<()>,
) -> Result<()> {
    let (mut done, mut room) = (None, Vec::new());
    while state.step < params.n_steps && !state.is_done {
        let (loss, gradients) = gradients_of_step(objective, state, params, std::mem::take(&mut room))?;
        if !loss.is_finite() {
            return Err(Error::NonFiniteLoss {
                step: state.step,
                loss,
                hint: "lower --learning-rate; the last checkpoint holds finite weights".into(),
            });
        }
        if let Some(progress) = done.take() {
            after_step(progress, state)?;
            if state.is_done {
                return Ok(());
            }
        }
        update(&gradients, state, params)?;
        room = gradients;
        if let Some(average) = &mut state.average {
            average.update(&state.slots, state.step)?;
        }
        state.losses.push(loss);
        state.step += 1;
        done = Some(Progress { step: state.step, n_steps: params.n_steps, loss });
    }
    done.map_or(Ok(()), |progress| after_step(progress, state))
}

/// Seconds per step on this machine, the median of some: what else the machine does for a moment does not count. The state is
/// back where it was afterwards.
///
/// # Errors
/// Those of the objective.
pub fn measure_seconds_per_step(
    objective: &(impl Objective + ?Sized),
    state: &mut State,
    params: &TrainingParams,
) -> Result<f64> {
    let before: Vec<(Tensor, [Tensor; 2])> =
        state.slots.iter().map(|slot| Ok((slot.value()?.copy()?, slot.moments()?))).collect::<Result<_>>()?;
    let (mut taken, mut room) = (Vec::with_capacity(MEASURED_STEPS), Vec::new());
    for number in 0..COLD_STEPS + MEASURED_STEPS {
        let start = Instant::now();
        let (loss, gradients) = gradients_of_step(objective, state, params, std::mem::take(&mut room))?;
        if loss.is_finite() {
            update(&gradients, state, params)?;
        }
        room = gradients;
        if number >= COLD_STEPS {
            taken.push(start.elapsed().as_secs_f64());
        }
    }
    taken.sort_unstable_by(f64::total_cmp);
    let seconds = taken[MEASURED_STEPS / 2];
    for (slot, (value, moments)) in state.slots.iter_mut().zip(before) {
        slot.set_value(&value)?;
        slot.set_moments(moments.each_ref())?;
    }
    Ok(seconds)
}

/// The loss of the step that comes next, with its gradients in the memory of those of a step before.
fn gradients_of_step(
    objective: &(impl Objective + ?Sized),
    state: &State,
    params: &TrainingParams,
    mut room: Vec<Gradients>,
) -> Result<(f64, Vec<Gradients>)> {
    let mut rng = ChaCha8Rng::seed_from_u64(params.seed);
    rng.set_stream(state.step as u64 + 1);
    let done = state.step as f64 / params.n_steps.max(1) as f64;
    let (mut value, share) = (0.0, 1.0 / params.accumulate as f64);
    for number in 0..params.accumulate {
        let joining = Joining { share, adds: number > 0 };
        let (of_minibatch, gradients) = differentiate_all(objective.parts_at(done, &mut rng)?, room, joining)?;
        value += of_minibatch;
        room = gradients;
    }
    Ok((value, room))
}

fn update(gradients: &[Gradients], state: &mut State, params: &TrainingParams) -> Result<()> {
    let rate = params.learning_rate * learning_rate_factor(state.step, params.n_steps);
    optimizer::step(&mut state.slots, gradients, state.step, rate, params.weight_decay, params.clip)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};
    use rand::Rng;

    use super::*;
    use crate::training::optimizer::Slot;

    /// x times a random number, in as many parts as the last draw says.
    struct Line(Var);

    impl Line {
        fn factor(rng: &mut ChaCha8Rng) -> f64 {
            rng.random_range(0.5..1.5)
        }
    }

    impl Objective for Line {
        fn loss(&self, rng: &mut ChaCha8Rng) -> Result<Tensor> {
            sum_of(self.parts(rng)?)
        }

        fn parts(&self, rng: &mut ChaCha8Rng) -> Result<Vec<Part<'_>>> {
            let factor = Self::factor(rng);
            let half = move || Ok((self.0.as_tensor() * (factor / 2.0))?.sum_all()?);
            Ok(vec![Box::new(half), Box::new(half)])
        }
    }

    #[test]
    fn a_step_of_several_minibatches_takes_the_mean_of_their_gradients() {
        let variable = Var::from_tensor(&Tensor::new(&[2.0_f32], &Device::Cpu).unwrap()).unwrap();
        let mut state = State::new(vec![Slot::new("x", &variable, 1.0, 1.0)]);
        let params =
            TrainingParams { n_steps: 1, learning_rate: 1e-3, weight_decay: 0.0, clip: 100.0, accumulate: 3, seed: 5 };
        fit(&Line(variable), &mut state, &params, &mut |_, _| Ok(())).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        rng.set_stream(1);
        let mean = (0..3).map(|_| Line::factor(&mut rng)).sum::<f64>() / 3.0;
        assert!((state.losses[0] - 2.0 * mean).abs() < 1e-5, "{} {mean}", state.losses[0]);
        // The first moment is a tenth of the first gradient.
        let first = state.slots[0].moments().unwrap()[0].to_vec1::<f32>().unwrap()[0];
        assert!((f64::from(first) - 0.1 * mean).abs() < 1e-6, "{first} {mean}");
    }
}

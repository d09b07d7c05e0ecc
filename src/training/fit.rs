//! The loop.

use std::time::Instant;

use candle_core::Tensor;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::optimizer;
use super::schedule::learning_rate_factor;
use super::state::State;
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
    /// Seed of everything drawn.
    pub seed: u64,
}

/// Something that can be fitted: a loss of its trainable tensors on a random minibatch.
pub trait Objective {
    /// The loss on a minibatch drawn with `rng`: a scalar.
    ///
    /// # Errors
    /// Those of the model.
    fn loss(&self, rng: &mut ChaCha8Rng) -> Result<Tensor>;
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
    let mut done = None;
    while state.step < params.n_steps && !state.is_done {
        let (tensor, loss) = loss_of_step(objective, state, params)?;
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
        update(&tensor, state, params)?;
        if let Some(average) = &mut state.average {
            average.update(&state.slots, state.step)?;
        }
        state.losses.push(loss);
        state.step += 1;
        done = Some(Progress { step: state.step, n_steps: params.n_steps, loss });
    }
    done.map_or(Ok(()), |progress| after_step(progress, state))
}

/// Seconds per step on this machine; the state is back where it was afterwards.
///
/// # Errors
/// Those of the objective.
pub fn measure_seconds_per_step(
    objective: &(impl Objective + ?Sized),
    state: &mut State,
    params: &TrainingParams,
) -> Result<f64> {
    let before: Vec<(Tensor, Vec<f32>, Vec<f32>)> = state
        .slots
        .iter()
        .map(|slot| Ok((slot.variable.as_tensor().copy()?, slot.first.clone(), slot.second.clone())))
        .collect::<Result<_>>()?;
    let mut start = Instant::now();
    for number in 0..COLD_STEPS + MEASURED_STEPS {
        if number == COLD_STEPS {
            start = Instant::now();
        }
        one_step(objective, state, params)?;
    }
    let seconds = start.elapsed().as_secs_f64() / MEASURED_STEPS as f64;
    for (slot, (value, first, second)) in state.slots.iter_mut().zip(before) {
        slot.variable.set(&value)?;
        (slot.first, slot.second) = (first, second);
    }
    Ok(seconds)
}

fn one_step(objective: &(impl Objective + ?Sized), state: &mut State, params: &TrainingParams) -> Result<f64> {
    let (loss, value) = loss_of_step(objective, state, params)?;
    if value.is_finite() {
        update(&loss, state, params)?;
    }
    Ok(value)
}

/// The loss of the step that comes next, as a tensor and as a number.
fn loss_of_step(
    objective: &(impl Objective + ?Sized),
    state: &State,
    params: &TrainingParams,
) -> Result<(Tensor, f64)> {
    let mut rng = ChaCha8Rng::seed_from_u64(params.seed);
    rng.set_stream(state.step as u64 + 1);
    let loss = objective.loss(&mut rng)?;
    let value = f64::from(loss.to_scalar::<f32>()?);
    Ok((loss, value))
}

fn update(loss: &Tensor, state: &mut State, params: &TrainingParams) -> Result<()> {
    let rate = params.learning_rate * learning_rate_factor(state.step, params.n_steps);
    let grads = loss.backward()?;
    optimizer::step(&mut state.slots, &grads, state.step, rate, params.weight_decay, params.clip)?;
    Ok(())
}

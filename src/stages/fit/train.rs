//! Training within a fit: the number of steps, going on from a checkpoint, checkpoints and signals on the way.

use std::time::Instant;

use super::checkpoint::Checkpoint;
use super::validation::Validation;
use super::{FitParams, Watcher};
use crate::models::method::Fitting;
use crate::training::{self, State, TrainingParams, measure_seconds_per_step};
use crate::{Error, Result};

/// The budget where neither steps nor seconds are given.
const DEFAULT_BUDGET_SECONDS: f64 = 120.0;
/// With a budget there are at least this many steps.
const FEWEST_STEPS: usize = 50;

/// Trains until all steps are done, and returns how it was done.
///
/// # Errors
/// Those of [`training::fit()`] and of the checkpoint; [`Error::Interrupted`] after a signal, with a checkpoint written.
pub(super) fn train(
    params: &FitParams,
    objective: &dyn Fitting,
    state: &mut State,
    mut validation: Option<&mut Validation>,
    checkpoint: &Checkpoint,
    watcher: &dyn Watcher,
) -> Result<TrainingParams> {
    let training = training_params(params, objective, state, validation.as_deref_mut(), checkpoint, watcher)?;
    let n_weights = state.n_weights();
    watcher.say(&format!("{n_weights} weights, {} steps of {} cells", training.n_steps, params.choices()?.n_cells()));
    let (mut last, mut last_step) = (Instant::now(), state.step);
    let mut saved = params.resume.then_some(state.step);
    let result = training::fit(objective, state, &training, &mut |progress, state| {
        watcher.progress(progress);
        if let Some(validation) = validation.as_deref_mut() {
            validation.after_step(objective, state, training.n_steps)?;
        }
        let signal = watcher.signal().filter(|_| progress.step < progress.n_steps);
        let is_due = params.checkpoint_every.is_due(progress.step - last_step, last.elapsed());
        if signal.is_some() || (is_due && progress.step < progress.n_steps) {
            checkpoint.write(state, validation.as_deref(), training.n_steps)?;
            (last, last_step, saved) = (Instant::now(), progress.step, Some(progress.step));
        }
        match signal {
            Some(signal) => Err(Error::Interrupted {
                signal,
                step: progress.step,
                hint: "the same command with --resume goes on from here to the same model".into(),
            }),
            None => Ok(()),
        }
    });
    match result {
        Ok(()) => Ok(training),
        Err(Error::NonFiniteLoss { step, loss, .. }) => {
            let hint = match saved {
                Some(saved) => {
                    format!("the last good weights, of step {saved}, are in `{}`", checkpoint.path().display())
                }
                None => "no checkpoint had been written; see --checkpoint-every".into(),
            };
            Err(Error::NonFiniteLoss { step, loss, hint: format!("lower --learning-rate; {hint}") })
        }
        Err(error) => Err(error),
    }
}

/// The training's choices with the number of steps: the user's, the checkpoint's, or what fills the budget.
fn training_params(
    params: &FitParams,
    objective: &dyn Fitting,
    state: &mut State,
    validation: Option<&mut Validation>,
    checkpoint: &Checkpoint,
    watcher: &dyn Watcher,
) -> Result<TrainingParams> {
    let mut training = params.training();
    if params.resume {
        training.n_steps = checkpoint.restore(state, validation)?.unwrap_or(training.n_steps);
        watcher.say(&format!("going on from step {} of {}", state.step, training.n_steps));
    } else if params.steps.is_none() {
        let budget = params.budget_seconds.unwrap_or(DEFAULT_BUDGET_SECONDS);
        let seconds = measure_seconds_per_step(objective, state, &TrainingParams { n_steps: 1000, ..training })?;
        training.n_steps = ((budget / seconds) as usize).max(FEWEST_STEPS);
        watcher.say(&format!(
            "{:.1} ms per step: {} steps fill {budget} seconds (--steps {} gives this model again)",
            seconds * 1e3,
            training.n_steps,
            training.n_steps
        ));
    }
    Ok(training)
}

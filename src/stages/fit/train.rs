//! Training within a fit: the number of steps, going on from a checkpoint, checkpoints and signals on the way.

use std::time::Instant;

use super::checkpoint::Checkpoint;
use super::validation::Validation;
use super::{FitParams, Watcher};
use crate::models::method::Fitting;
use crate::training::{self, State, TrainingParams, measure_seconds_per_step};
use crate::{Error, Result};

/// Where neither steps nor seconds are given there are this many steps, or more if that is fewer passes over the training
/// cells than the second number. On screens of a few thousand cells, 300 steps leave conditions in new strata half learned,
/// and 1000 begin to learn the training combinations by heart.
const DEFAULT_STEPS: usize = 600;
const DEFAULT_PASSES: usize = 10;
/// With a budget there are at least this many steps.
const FEWEST_STEPS: usize = 50;

/// Trains until all steps are done, and returns how it was done.
///
/// # Errors
/// Those of [`training::fit()`] and of the checkpoint; [`Error::Interrupted`] after a signal, with a checkpoint written.
pub(super) fn train(
    params: &FitParams,
    objective: &dyn Fitting,
    n_training_cells: usize,
    state: &mut State,
    mut validation: Option<&mut Validation>,
    checkpoint: &Checkpoint,
    watcher: &dyn Watcher,
) -> Result<TrainingParams> {
    let mut training = training_params(params, objective, state, validation.as_deref_mut(), checkpoint, watcher)?;
    if training.n_steps == 0 {
        let n_passes = (DEFAULT_PASSES * n_training_cells).div_ceil(params.choices()?.n_cells());
        training.n_steps = n_passes.max(DEFAULT_STEPS);
    }
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

/// The training's choices with the number of steps: the user's, the checkpoint's, what fills the budget, or zero.
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
    } else if let Some(budget) = params.budget_seconds {
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

//! Fits a model to the training cells of a prepared screen.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ndarray::Axis;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::conditions::Condition;
use crate::conditions::prompt::Template;
use crate::flow::Path as FlowPath;
use crate::io::{atomic, checkpoint, digest, h5ad, model_folder};
use crate::language::transformer::TransformerParams;
use crate::models::calmflow::{CalmFlowObjective, CalmFlowParams, DecoderKind, PromptUse};
use crate::models::fitted::{FittedModel, Known};
use crate::models::gene_decoder::{GeneDecoder, GeneDecoderParams};
use crate::models::guide::Centre;
use crate::models::reference::Choice;
use crate::prepared::Prepared;
use crate::training::{Progress, State, TrainingParams, measure_seconds_per_step};
use crate::{Error, Result, training};

/// The budget where neither steps nor seconds are given.
const DEFAULT_BUDGET_SECONDS: f64 = 120.0;
/// With a budget there are at least this many steps.
const FEWEST_STEPS: usize = 50;

/// What to fit, and how. Where a choice is absent, the decoder's own holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FitParams {
    /// The prepared screen.
    pub input: PathBuf,
    /// The model folder.
    pub output: PathBuf,
    /// How the network's output becomes the next state.
    pub decoder: DecoderKind,
    /// Training steps; the same number, seed and threads give the same model.
    pub steps: Option<usize>,
    /// Seconds to train; turned into steps by a measurement at the start.
    pub budget_seconds: Option<f64>,
    /// Seed of everything drawn.
    pub seed: u64,
    /// The prompt, with `{perturbation}` and the covariates in braces; a plain sentence if absent.
    pub prompt: Option<String>,
    /// How the prompt is used.
    pub prompt_use: Option<PromptUse>,
    /// What cells are measured from.
    pub centre: Centre,
    /// Numbers per token of the language model.
    pub width: usize,
    /// Blocks of the language model.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Steps of flow time.
    pub time_steps: Option<usize>,
    /// Spatial tokens per state (K).
    pub spatial_tokens: usize,
    /// Flows per sequence (M).
    pub trajectories: usize,
    /// Gaussians of the mixture.
    pub mixture_components: usize,
    /// Noise of the Brownian bridge; 0 is the straight path.
    pub sigma: Option<f32>,
    /// Weight of the variational decoder's divergence.
    pub beta: f64,
    /// Cells per training step.
    pub cells_per_step: usize,
    /// Conditions per training step.
    pub prompts_per_step: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Seconds between checkpoints.
    pub checkpoint_seconds: f64,
    /// Go on from the checkpoint beside the output.
    pub resume: bool,
    /// Replace the output if it exists.
    pub force: bool,
}

impl Default for FitParams {
    fn default() -> Self {
        let flow = CalmFlowParams::of(DecoderKind::Mixture);
        Self {
            input: "prepared.h5ad".into(),
            output: "model".into(),
            decoder: flow.decoder,
            steps: None,
            budget_seconds: None,
            seed: 0,
            prompt: None,
            prompt_use: None,
            centre: flow.centre,
            width: flow.transformer.width,
            layers: flow.transformer.n_layers,
            heads: flow.transformer.n_heads,
            time_steps: None,
            spatial_tokens: flow.n_spatial,
            trajectories: flow.n_trajectories,
            mixture_components: flow.n_mixture,
            sigma: None,
            beta: flow.beta,
            cells_per_step: flow.n_cells,
            prompts_per_step: flow.n_prompts,
            learning_rate: 2e-3,
            weight_decay: 1.0,
            checkpoint_seconds: 60.0,
            resume: false,
            force: false,
        }
    }
}

impl FitParams {
    /// The choices of the model.
    pub fn flow(&self) -> CalmFlowParams {
        let own = CalmFlowParams::of(self.decoder);
        let path = match self.sigma {
            Some(0.0) => FlowPath::Straight,
            Some(sigma) => FlowPath::Bridge { sigma },
            None => own.path,
        };
        CalmFlowParams {
            decoder: self.decoder,
            centre: self.centre,
            prompt_use: self.prompt_use.unwrap_or(own.prompt_use),
            transformer: TransformerParams { width: self.width, n_layers: self.layers, n_heads: self.heads },
            path,
            n_steps: self.time_steps.unwrap_or(own.n_steps),
            n_spatial: self.spatial_tokens,
            n_trajectories: self.trajectories,
            n_mixture: self.mixture_components,
            beta: self.beta,
            n_cells: self.cells_per_step,
            n_prompts: self.prompts_per_step,
        }
    }

    /// # Errors
    /// [`Error::InvalidParameter`] for a choice that cannot work.
    pub fn check(&self) -> Result<()> {
        let invalid = |name: &str, value: String, reason: &str| {
            Err(Error::InvalidParameter { name: name.into(), value, reason: reason.into() })
        };
        if self.steps.is_some() && self.budget_seconds.is_some() {
            return invalid("steps and budget", "both".into(), "give one of them");
        }
        if self.steps == Some(0) {
            return invalid("steps", "0".into(), "at least one step is needed");
        }
        for (name, value) in [
            ("budget", self.budget_seconds.unwrap_or(1.0)),
            ("learning-rate", self.learning_rate),
            ("checkpoint-seconds", self.checkpoint_seconds),
        ] {
            if !(value > 0.0 && value.is_finite()) {
                return invalid(name, value.to_string(), "it must be above zero");
            }
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return invalid("weight-decay", self.weight_decay.to_string(), "it must be zero or above");
        }
        self.flow().check()
    }
}

/// Told while a fit runs.
pub trait Watcher {
    /// Something worth a line.
    fn say(&self, message: &str);
    /// A step was done.
    fn progress(&self, progress: Progress);
    /// The signal that asks to stop, if one has come.
    fn signal(&self) -> Option<u8>;
}

/// Fits the model and writes its folder; a checkpoint lies beside it while the fit runs.
///
/// # Errors
/// Those of reading and writing, of [`FitParams::check`], of the model, and [`Error::NonFiniteLoss`].
pub fn fit(params: &FitParams, watcher: &dyn Watcher) -> Result<()> {
    params.check()?;
    atomic::check(&params.output, params.force)?;
    let checkpoint_path = checkpoint::path_of(&params.output);
    if checkpoint_path.exists() && !params.resume && !params.force {
        return Err(Error::InvalidParameter {
            name: "resume".into(),
            value: "not given".into(),
            reason: format!(
                "`{}` holds an unfinished fit; add --resume to go on from it, or --force to begin anew",
                checkpoint_path.display()
            ),
        });
    }
    let prepared = Prepared::new(h5ad::read(&params.input)?)?;
    refuse_leaks(&prepared)?;
    let rows = prepared.training_rows();
    let conditions: Vec<Condition> = rows.iter().map(|&row| prepared.conditions[row].clone()).collect();
    let embedding = prepared.embedding().select(Axis(0), &rows);
    let covariates = &prepared.settings.covariates;
    let prompt = params.prompt.clone().unwrap_or_else(|| Template::plain(covariates));
    let template = Template::parse(&prompt, covariates)?;
    watcher.say(&format!(
        "fitting to {} training cells; {} held out",
        rows.len(),
        prepared.conditions.len() - rows.len()
    ));

    let flow_params = params.flow();
    let objective = CalmFlowObjective::new(embedding.view(), &conditions, template, flow_params, params.seed)?;
    let choice = objective.guide().choice().cloned();
    if let Some(choice) = &choice {
        watcher.say(&describe(choice));
    }
    let mut state = State::new(objective.slots());
    let n_weights: usize = state.slots.iter().map(|slot| slot.variable.elem_count()).sum();
    let input_sha256 = digest::sha256(&params.input)?;
    let mut training = TrainingParams {
        n_steps: params.steps.unwrap_or(0),
        learning_rate: params.learning_rate,
        weight_decay: params.weight_decay,
        clip: 1.0,
        seed: params.seed,
    };
    let fingerprint = fingerprint(params, &input_sha256)?;
    if params.resume {
        let mut tensors = checkpoint::read(&checkpoint_path, &fingerprint)?;
        let n_steps = tensors.remove("n_steps").map(|tensor| tensor.to_scalar::<u32>()).transpose()?;
        training.n_steps = n_steps.map_or(training.n_steps, |n| n as usize);
        state.restore(&tensors)?;
        watcher.say(&format!("going on from step {} of {}", state.step, training.n_steps));
    } else if params.steps.is_none() {
        let budget = params.budget_seconds.unwrap_or(DEFAULT_BUDGET_SECONDS);
        let seconds = measure_seconds_per_step(&objective, &mut state, &TrainingParams { n_steps: 1000, ..training })?;
        training.n_steps = ((budget / seconds) as usize).max(FEWEST_STEPS);
        watcher.say(&format!(
            "{:.1} ms per step: {} steps fill {budget} seconds (--steps {} gives this model again)",
            seconds * 1e3,
            training.n_steps,
            training.n_steps
        ));
    }
    watcher.say(&format!("{n_weights} weights, {} steps of {} cells", training.n_steps, flow_params.n_cells));
    let mut last_checkpoint = Instant::now();
    let pause = Duration::from_secs_f64(params.checkpoint_seconds);
    training::fit(&objective, &mut state, &training, &mut |progress, state| {
        watcher.progress(progress);
        let signal = watcher.signal().filter(|_| progress.step < progress.n_steps);
        if signal.is_some() || last_checkpoint.elapsed() >= pause {
            let mut tensors = state.to_tensors()?;
            let n_steps = candle_core::Tensor::new(training.n_steps as u32, &candle_core::Device::Cpu)?;
            tensors.insert("n_steps".into(), n_steps);
            checkpoint::write(&checkpoint_path, tensors, &fingerprint)?;
            last_checkpoint = Instant::now();
        }
        match signal {
            Some(signal) => Err(Error::Interrupted {
                signal,
                step: progress.step,
                hint: "the same command with --resume goes on from here to the same model".into(),
            }),
            None => Ok(()),
        }
    })?;

    watcher.say("fitting the gene decoder");
    let sizes = prepared.library_sizes()?;
    let sizes: Vec<f64> = rows.iter().map(|&row| sizes[row]).collect();
    let counts = prepared.counts().select_rows(&rows);
    let decoder_params = GeneDecoderParams {
        target_sum: prepared.settings.target_sum,
        seed: params.seed,
        ..GeneDecoderParams::default()
    };
    let gene_decoder = GeneDecoder::fit(embedding.view(), &counts, &sizes, &decoder_params)?;
    let history = BTreeMap::from([
        ("step".to_owned(), (1..=state.step).map(|step| step as f64).collect()),
        ("loss".to_owned(), state.losses.clone()),
    ]);
    let model = FittedModel {
        flow: objective.finish()?,
        gene_decoder,
        pca: prepared.pca()?,
        genes: prepared.cells.var.index.clone(),
        known: Known::of(&prepared, params.seed)?,
        settings: prepared.settings.clone(),
        history,
        provenance: json!({
            "input_sha256": input_sha256,
            "seed": params.seed,
            "training": training,
            "n_weights": n_weights,
            "interaction": choice,
        }),
    };
    atomic::folder(&params.output, |folder| model_folder::write(folder, &model))?;
    remove_checkpoint(&checkpoint_path)
}

/// The rule of combination in words, with the errors of all that were tried.
fn describe(choice: &Choice) -> String {
    if choice.n_combinations == 0 {
        return "no combination can be estimated from others: combinations are the sums of their parts".into();
    }
    let of = |tried: &crate::models::reference::Tried| format!("{} {:.4}", tried.rule, tried.error);
    let tried: Vec<String> = choice.tried.iter().map(of).collect();
    format!(
        "combinations: {}, share {}, by squared errors on {} left out in turn: plain sums {:.4}, {}",
        choice.rule,
        choice.share,
        choice.n_combinations,
        choice.plain_additive_error,
        tried.join(", ")
    )
}

/// Fails if a cell of a condition that was held out when the screen was prepared is marked as a training cell.
fn refuse_leaks(prepared: &Prepared) -> Result<()> {
    let held_out = &prepared.settings.held_out;
    let leaks: Vec<usize> = prepared
        .training_rows()
        .into_iter()
        .filter(|&row| held_out.iter().any(|held| *held == prepared.conditions[row].to_string()))
        .collect();
    if leaks.is_empty() {
        return Ok(());
    }
    Err(Error::BadValues {
        place: "obs[\"split\"]".into(),
        problem: "`train` although the cell's condition was held out".into(),
        n_bad: leaks.len(),
        n_total: prepared.conditions.len(),
        examples: leaks.iter().take(3).map(|&row| prepared.cells.obs.index[row].clone()).collect(),
        hint: "prepare the screen again: genes and components were chosen without these cells".into(),
    })
}

/// A digest of everything that decides the numbers of a fit.
fn fingerprint(params: &FitParams, input_sha256: &str) -> Result<String> {
    let deciding = FitParams {
        input: PathBuf::new(),
        output: PathBuf::new(),
        checkpoint_seconds: 0.0,
        resume: false,
        force: false,
        ..params.clone()
    };
    let text = serde_json::to_string(&(deciding, input_sha256, env!("CARGO_PKG_VERSION")))
        .map_err(|source| Error::backend("naming a fit", source))?;
    Ok(Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect())
}

fn remove_checkpoint(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Io { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

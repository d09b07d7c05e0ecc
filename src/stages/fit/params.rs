//! The choices of a fit.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Every;
use crate::flow::Path as FlowPath;
use crate::language::transformer::TransformerParams;
use crate::models::calmflow::{CalmFlowParams, DecoderKind, PromptUse};
use crate::models::guide::Centre;
use crate::training::TrainingParams;
use crate::{Error, Result};

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
    /// How often a checkpoint is written: a number of steps, or a time such as `"60s"`.
    pub checkpoint_every: Every,
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
            checkpoint_every: Every::Seconds(60.0),
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

    /// The choices of the training; the number of steps is 0 where a budget decides it.
    pub(super) fn training(&self) -> TrainingParams {
        TrainingParams {
            n_steps: self.steps.unwrap_or(0),
            learning_rate: self.learning_rate,
            weight_decay: self.weight_decay,
            clip: 1.0,
            seed: self.seed,
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
        for (name, value) in [("budget", self.budget_seconds.unwrap_or(1.0)), ("learning-rate", self.learning_rate)] {
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

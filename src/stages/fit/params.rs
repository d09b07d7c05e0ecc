//! The choices of a fit.

use std::path::PathBuf;

use candle_core::Device;
use serde::{Deserialize, Serialize};

use super::Every;
use super::language::Tune;
use crate::Result;
use crate::error::{refuse, refuse_below_zero};
use crate::flow::Coupling;
use crate::language::device::DeviceChoice;
use crate::language::precision::Precision;
use crate::models::calmflow::{DecoderKind, PromptUse};
use crate::models::coordinates::Coordinates;
use crate::models::counts::CountLikelihood;
use crate::models::described::Pooling;
use crate::models::guide::Centre;
use crate::models::registry::Method;
use crate::models::source::Source;
use crate::training::TrainingParams;

/// What to fit, and how. Where a choice is absent, the own one of the method, or of its decoder, holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FitParams {
    /// The prepared screen.
    pub input: PathBuf,
    /// The model folder.
    pub output: PathBuf,
    /// The method.
    pub method: Method,
    /// How the network's output becomes the next state (calmflow).
    pub decoder: Option<DecoderKind>,
    /// Training steps; the same number, seed and threads give the same model.
    pub steps: Option<usize>,
    /// Seconds to train; turned into steps by a measurement at the start.
    pub budget_seconds: Option<f64>,
    /// Seed of everything drawn.
    pub seed: u64,
    /// Prompts that say the same, with `{perturbation}`, covariates and perhaps `{descriptions}` in braces; a plain sentence if
    /// there are none.
    pub prompts: Vec<String>,
    /// A table with the columns `name` and `text` that says what components are.
    pub descriptions: Option<PathBuf>,
    /// Some components of the screen may have no description.
    pub descriptions_partial: bool,
    /// The folder of a network that reads descriptions; their words are counted if absent.
    pub text_encoder: Option<PathBuf>,
    /// How its hidden states become one vector: as its folder says, or their mean, if absent.
    pub text_pooling: Option<Pooling>,
    /// How the prompt is used (calmflow).
    pub prompt_use: Option<PromptUse>,
    /// What cells are measured from.
    pub centre: Centre,
    /// The coordinates that the flow works in.
    pub coordinates: Option<Coordinates>,
    /// Whether that estimate is told to the network in numbers.
    pub inputs: bool,
    /// What cells are made from: where flows start, or what latents are (scvi).
    pub source: Source,
    /// How source points are paired with cells; the variants of cfm have their own.
    pub coupling: Option<Coupling>,
    /// Networks that are fitted side by side, whose means are averaged.
    pub members: Option<usize>,
    /// Numbers per token of the language model, or per layer of the velocity field.
    pub width: Option<usize>,
    /// Blocks of the network.
    pub layers: Option<usize>,
    /// Attention heads (calmflow, scgpt).
    pub heads: Option<usize>,
    /// Steps of flow time (calmflow).
    pub time_steps: Option<usize>,
    /// Spatial tokens per state, K (calmflow).
    pub spatial_tokens: Option<usize>,
    /// Flows per sequence, M (calmflow).
    pub trajectories: Option<usize>,
    /// Gaussians of the mixture (calmflow).
    pub mixture_components: Option<usize>,
    /// Noise of the path between source and cell; 0 is the straight path.
    pub sigma: Option<f32>,
    /// Whether the score is learned too, so that cells can be drawn by the stochastic equation (cfm-sb).
    pub score: bool,
    /// Points in time that a token sees; all if absent (calmflow).
    pub window: Option<usize>,
    /// Noise on the states that the network reads while it is fitted (calmflow).
    pub history_noise: Option<f32>,
    /// Tell moments of the control and of the components as tokens (calmflow).
    pub evidence: bool,
    /// The probability with which a condition is hidden in training, for guidance.
    pub condition_dropout: f64,
    /// Weight of the variational decoder's divergence (calmflow).
    pub beta: Option<f64>,
    /// The law of a count (scvi, cpa).
    pub likelihood: Option<CountLikelihood>,
    /// Numbers of a latent (scvi, cpa).
    pub latent: Option<usize>,
    /// How much the encoder minds what the adversaries know (cpa).
    pub adversary: Option<f64>,
    /// Weight of the penalty on the slopes of the adversaries (cpa).
    pub penalty: Option<f64>,
    /// Genes of a cell that are read together (scgpt).
    pub genes_per_step: Option<usize>,
    /// The folder of a published scGPT from whose weights the fit starts.
    pub pretrained: Option<PathBuf>,
    /// The column of `var` that holds the symbols of genes, where their names are others (scgpt).
    pub gene_symbols: Option<String>,
    /// Genes that the pretrained vocabulary does not know start new (scgpt).
    pub allow_unknown_genes: bool,
    /// The folder of a causal language model that a CaLMFlow stands on.
    pub language_model: Option<PathBuf>,
    /// Whether only its architecture is taken, with weights drawn from the seed.
    pub language_model_random: bool,
    /// What of it is trained: everything if absent.
    pub tune: Option<Tune>,
    /// Rank of the matrices beside its maps, with `tune = "lora"`.
    pub lora_rank: Option<usize>,
    /// Numbers within the adapters, with `tune = "adapters"`.
    pub adapter_width: Option<usize>,
    /// Make the numbers within its blocks again in the backward pass.
    pub checkpoint_activations: bool,
    /// How its matrices are held.
    pub language_weights: Option<Precision>,
    /// Minibatches whose gradients are averaged for one step.
    pub accumulate: usize,
    /// Cells per training step.
    pub cells_per_step: Option<usize>,
    /// Conditions per training step.
    pub prompts_per_step: Option<usize>,
    /// Peak learning rate.
    pub learning_rate: Option<f64>,
    /// Weight decay.
    pub weight_decay: f64,
    /// Decay of the running mean of the weights, which makes the model; 0 takes the last weights.
    pub average: f64,
    /// Training combinations (or strata, where there are none) that are kept from the fit to stop it early; 0 for none.
    pub validation_conditions: usize,
    /// Stop early by the cells that `obs["split"]` marks `val`.
    pub validation_split: bool,
    /// Where the network is computed.
    pub device: DeviceChoice,
    /// How often a checkpoint is written: a number of steps, or a time such as `"60s"`.
    pub checkpoint_every: Every,
    /// Go on from the checkpoint beside the output.
    pub resume: bool,
    /// Replace the output if it exists.
    pub force: bool,
}

impl Default for FitParams {
    fn default() -> Self {
        Self {
            input: "prepared.h5ad".into(),
            output: "model".into(),
            method: Method::default(),
            decoder: None,
            steps: None,
            budget_seconds: None,
            seed: 0,
            prompts: Vec::new(),
            descriptions: None,
            descriptions_partial: false,
            text_encoder: None,
            text_pooling: None,
            prompt_use: None,
            centre: Centre::Interaction,
            coordinates: None,
            inputs: true,
            source: Source::default(),
            coupling: None,
            members: None,
            width: None,
            layers: None,
            heads: None,
            time_steps: None,
            spatial_tokens: None,
            trajectories: None,
            mixture_components: None,
            sigma: None,
            score: false,
            window: None,
            history_noise: None,
            evidence: false,
            condition_dropout: 0.0,
            beta: None,
            likelihood: None,
            latent: None,
            adversary: None,
            penalty: None,
            genes_per_step: None,
            pretrained: None,
            gene_symbols: None,
            allow_unknown_genes: false,
            language_model: None,
            language_model_random: false,
            tune: None,
            lora_rank: None,
            adapter_width: None,
            checkpoint_activations: false,
            language_weights: None,
            accumulate: 1,
            cells_per_step: None,
            prompts_per_step: None,
            learning_rate: None,
            weight_decay: 1.0,
            average: 0.0,
            validation_conditions: 0,
            validation_split: false,
            device: DeviceChoice::default(),
            checkpoint_every: Every::Seconds(60.0),
            resume: false,
            force: false,
        }
    }
}

impl FitParams {
    /// The choices of the training; the number of steps is 0 where a budget decides it, the learning rate where nothing is trained.
    pub fn training(&self) -> TrainingParams {
        TrainingParams {
            n_steps: self.steps.unwrap_or(0),
            learning_rate: self.learning_rate.or(self.method.learning_rate()).unwrap_or(0.0),
            weight_decay: self.weight_decay,
            clip: 1.0,
            accumulate: self.accumulate,
            seed: self.seed,
        }
    }

    /// # Errors
    /// [`crate::Error::InvalidParameter`] for a choice that cannot work.
    pub fn check(&self) -> Result<()> {
        if self.steps.is_some() && self.budget_seconds.is_some() {
            return refuse("steps and budget", "both", "give one of them");
        }
        if self.accumulate == 0 {
            return refuse("accumulate", "0", "at least one minibatch is needed");
        }
        if self.steps == Some(0) {
            return refuse("steps", "0", "at least one step is needed");
        }
        for (name, value) in
            [("budget", self.budget_seconds.unwrap_or(1.0)), ("learning-rate", self.learning_rate.unwrap_or(1.0))]
        {
            if !(value > 0.0 && value.is_finite()) {
                return refuse(name, value, "it must be above zero");
            }
        }
        if !(0.0..1.0).contains(&self.average) {
            return refuse("average", self.average, "it must be zero or above, and below one");
        }
        if self.validation_split && self.validation_conditions > 0 {
            return refuse("validation-conditions and validation-split", "both", "give one of them");
        }
        refuse_below_zero([("weight-decay", self.weight_decay)])?;
        self.check_wording()?;
        self.choices()?;
        match self.language_weights {
            None | Some(Precision::F32) => Ok(()),
            Some(narrow) => narrow.check("language-weights", &self.open_device()?.0),
        }
    }

    /// The device, with a description for people.
    ///
    /// # Errors
    /// Those of [`DeviceChoice::open`].
    pub(super) fn open_device(&self) -> Result<(Device, String)> {
        self.device.open_for(self.language_model.is_some() || self.pretrained.is_some())
    }
}

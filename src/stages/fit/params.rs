//! The choices of a fit.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Every;
use crate::error::refuse;
use crate::flow::{Coupling, Path as FlowPath};
use crate::language::device::DeviceChoice;
use crate::language::transformer::TransformerParams;
use crate::models::calmflow::{CalmFlowParams, DecoderKind, PromptUse};
use crate::models::cfm::{CfmParams, Variant};
use crate::models::coordinates::Coordinates;
use crate::models::counts::CountLikelihood;
use crate::models::cpa::CpaParams;
use crate::models::guide::Centre;
use crate::models::registry::{Choices, Has, Method};
use crate::models::scgpt::ScgptParams;
use crate::models::scvi::ScviParams;
use crate::models::source::Source;
use crate::training::TrainingParams;
use crate::{Error, Result};

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
    /// The prompt, with `{perturbation}` and the covariates in braces; a plain sentence if absent.
    pub prompt: Option<String>,
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
            prompt: None,
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
    /// The method with its choices.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] for a choice that the method does not have or that cannot work.
    pub fn choices(&self) -> Result<Choices> {
        self.refuse_foreign()?;
        let choices = match self.method {
            Method::Calmflow => Choices::CalmFlow(self.calmflow()),
            Method::Cfm => Choices::Cfm(self.cfm(Variant::Cfm)?),
            Method::CfmOt => Choices::Cfm(self.cfm(Variant::CfmOt)?),
            Method::CfmSb => Choices::Cfm(self.cfm(Variant::CfmSb)?),
            Method::Scvi => Choices::Scvi(self.scvi()),
            Method::Cpa => Choices::Cpa(self.cpa()),
            Method::Scgpt => Choices::Scgpt(self.scgpt()),
            Method::ControlMean
            | Method::PerturbedMean
            | Method::Additive
            | Method::Linear
            | Method::AdditiveShift
            | Method::InteractionShift => self.method.closed_form().map_or_else(
                || refuse("method", self.method.name(), "it is no closed form"),
                |form| Ok(Choices::ClosedForm(form)),
            )?,
        };
        choices.check()?;
        Ok(choices)
    }

    /// The choices that were made, as far as can be told, with what a method must have for them.
    fn made(&self) -> [(&'static str, Has, bool); 39] {
        let own = Self::default();
        [
            ("steps", Has::Training, self.steps.is_some()),
            ("budget", Has::Training, self.budget_seconds.is_some()),
            ("resume", Has::Training, self.resume),
            ("width", Has::Training, self.width.is_some()),
            ("layers", Has::Training, self.layers.is_some()),
            ("cells-per-step", Has::Training, self.cells_per_step.is_some()),
            ("learning-rate", Has::Training, self.learning_rate.is_some()),
            ("weight-decay", Has::Training, self.weight_decay != own.weight_decay),
            ("average", Has::Training, self.average != own.average),
            ("validation-conditions", Has::Training, self.validation_conditions > 0),
            ("validation-split", Has::Training, self.validation_split),
            ("checkpoint-every", Has::Training, self.checkpoint_every != own.checkpoint_every),
            ("prompt", Has::Flow, self.prompt.is_some()),
            ("centre", Has::Estimate, self.centre != own.centre),
            ("coordinates", Has::Flow, self.coordinates.is_some()),
            ("no-inputs", Has::Estimate, self.inputs != own.inputs),
            ("source", Has::Source, self.source != own.source),
            ("coupling", Has::Flow, self.coupling.is_some()),
            ("sigma", Has::Flow, self.sigma.is_some()),
            ("condition-dropout", Has::Flow, self.condition_dropout != own.condition_dropout),
            ("members", Has::Flow, self.members.is_some()),
            ("prompts-per-step", Has::Flow, self.prompts_per_step.is_some()),
            ("score", Has::Score, self.score),
            ("decoder", Has::LanguageModel, self.decoder.is_some()),
            ("prompt-use", Has::LanguageModel, self.prompt_use.is_some()),
            ("heads", Has::Attention, self.heads.is_some()),
            ("time-steps", Has::LanguageModel, self.time_steps.is_some()),
            ("spatial-tokens", Has::LanguageModel, self.spatial_tokens.is_some()),
            ("trajectories", Has::LanguageModel, self.trajectories.is_some()),
            ("mixture-components", Has::LanguageModel, self.mixture_components.is_some()),
            ("window", Has::LanguageModel, self.window.is_some()),
            ("history-noise", Has::LanguageModel, self.history_noise.is_some()),
            ("evidence", Has::LanguageModel, self.evidence),
            ("beta", Has::LanguageModel, self.beta.is_some()),
            ("likelihood", Has::Counts, self.likelihood.is_some()),
            ("latent", Has::Counts, self.latent.is_some()),
            ("adversary", Has::Adversary, self.adversary.is_some()),
            ("penalty", Has::Adversary, self.penalty.is_some()),
            ("genes-per-step", Has::GeneTokens, self.genes_per_step.is_some()),
        ]
    }

    /// Fails if a choice was made that the method does not have.
    fn refuse_foreign(&self) -> Result<()> {
        let foreign = self.made().into_iter().find(|(_, needs, made)| *made && !self.method.has(*needs));
        let Some((name, needs, _)) = foreign else { return Ok(()) };
        let reason = match needs {
            Has::Training => "is a closed form and trains nothing; leave it away",
            Has::Flow | Has::Source => "is no flow and has none; leave it away",
            Has::Estimate => "is told no estimate; leave it away",
            Has::Counts => "has none; leave it away, or fit with --method scvi or cpa",
            Has::Adversary => "has none; leave it away, or fit with --method cpa",
            Has::Attention => "has none; leave it away, or fit with --method calmflow or scgpt",
            Has::GeneTokens => "has none; leave it away, or fit with --method scgpt",
            Has::Score => "has no stochastic equation; leave it away, or fit with --method cfm-sb",
            Has::LanguageModel => "has none; leave it away, or fit with --method calmflow",
        };
        refuse(name, "given", &format!("method `{}` {reason}", self.method.name()))
    }

    fn calmflow(&self) -> CalmFlowParams {
        let own = CalmFlowParams::of(self.decoder.unwrap_or(DecoderKind::Mixture));
        let coupling = self.coupling.unwrap_or(own.coupling);
        let n_prompts = match coupling {
            Coupling::Independent => own.n_prompts,
            // Transport pairs cells of one condition only: fewer conditions, more cells of each.
            Coupling::Exact | Coupling::Entropic => CfmParams::of(Variant::CfmOt).n_prompts,
        };
        let path = match self.sigma {
            Some(0.0) => FlowPath::Straight,
            Some(sigma) => FlowPath::Bridge { sigma },
            None => own.path,
        };
        CalmFlowParams {
            centre: self.centre,
            coordinates: self.coordinates.unwrap_or(own.coordinates),
            inputs: self.inputs,
            source: self.source,
            coupling,
            prompt_use: self.prompt_use.unwrap_or(own.prompt_use),
            transformer: TransformerParams {
                width: self.width.unwrap_or(own.transformer.width),
                n_layers: self.layers.unwrap_or(own.transformer.n_layers),
                n_heads: self.heads.unwrap_or(own.transformer.n_heads),
            },
            path,
            n_members: self.members.unwrap_or(own.n_members),
            n_steps: self.time_steps.unwrap_or(own.n_steps),
            n_spatial: self.spatial_tokens.unwrap_or(own.n_spatial),
            n_trajectories: self.trajectories.unwrap_or(own.n_trajectories),
            n_mixture: self.mixture_components.unwrap_or(own.n_mixture),
            window: self.window,
            history_noise: self.history_noise.unwrap_or(own.history_noise),
            evidence: self.evidence,
            condition_dropout: self.condition_dropout,
            beta: self.beta.unwrap_or(own.beta),
            n_cells: self.cells_per_step.unwrap_or(own.n_cells),
            n_prompts: self.prompts_per_step.unwrap_or(n_prompts),
            ..own
        }
    }

    fn cfm(&self, variant: Variant) -> Result<CfmParams> {
        if let Some(coupling) = self.coupling.filter(|coupling| *coupling != variant.coupling()) {
            let fitting = [Variant::Cfm, Variant::CfmOt, Variant::CfmSb].map(|one| (one.coupling(), one.name()));
            let fitting = fitting.iter().find(|(of, _)| *of == coupling).map_or("", |(_, name)| name);
            return Err(Error::InvalidParameter {
                name: "coupling".into(),
                value: format!("{coupling:?}").to_lowercase(),
                reason: format!(
                    "method `{}` is another coupling; leave it away, or fit with --method {fitting}",
                    variant.name()
                ),
            });
        }
        let own = CfmParams::of(variant);
        Ok(CfmParams {
            centre: self.centre,
            coordinates: self.coordinates.unwrap_or(own.coordinates),
            inputs: self.inputs,
            source: self.source,
            n_members: self.members.unwrap_or(own.n_members),
            width: self.width.unwrap_or(own.width),
            n_layers: self.layers.unwrap_or(own.n_layers),
            sigma: self.sigma.unwrap_or(own.sigma),
            score: self.score,
            condition_dropout: self.condition_dropout,
            n_cells: self.cells_per_step.unwrap_or(own.n_cells),
            n_prompts: self.prompts_per_step.unwrap_or(own.n_prompts),
            ..own
        })
    }

    /// The estimate that methods on counts are told in numbers: they measure no cells from it.
    fn told_centre(&self) -> Centre {
        if self.inputs { self.centre } else { Centre::None }
    }

    fn scvi(&self) -> ScviParams {
        let own = ScviParams::default();
        ScviParams {
            likelihood: self.likelihood.unwrap_or(own.likelihood),
            centre: self.told_centre(),
            source: self.source,
            n_latent: self.latent.unwrap_or(own.n_latent),
            width: self.width.unwrap_or(own.width),
            n_layers: self.layers.unwrap_or(own.n_layers),
            n_cells: self.cells_per_step.unwrap_or(own.n_cells),
            ..own
        }
    }

    fn cpa(&self) -> CpaParams {
        let own = CpaParams::default();
        CpaParams {
            likelihood: self.likelihood.unwrap_or(own.likelihood),
            centre: self.told_centre(),
            n_latent: self.latent.unwrap_or(own.n_latent),
            width: self.width.unwrap_or(own.width),
            n_layers: self.layers.unwrap_or(own.n_layers),
            adversary: self.adversary.unwrap_or(own.adversary),
            penalty: self.penalty.unwrap_or(own.penalty),
            n_cells: self.cells_per_step.unwrap_or(own.n_cells),
            ..own
        }
    }

    fn scgpt(&self) -> ScgptParams {
        let own = ScgptParams::default();
        ScgptParams {
            centre: self.told_centre(),
            transformer: TransformerParams {
                width: self.width.unwrap_or(own.transformer.width),
                n_layers: self.layers.unwrap_or(own.transformer.n_layers),
                n_heads: self.heads.unwrap_or(own.transformer.n_heads),
            },
            n_genes: self.genes_per_step.unwrap_or(own.n_genes),
            n_cells: self.cells_per_step.unwrap_or(own.n_cells),
        }
    }

    /// The choices of the training; the number of steps is 0 where a budget decides it, the learning rate where nothing is trained.
    pub fn training(&self) -> TrainingParams {
        TrainingParams {
            n_steps: self.steps.unwrap_or(0),
            learning_rate: self.learning_rate.or(self.method.learning_rate()).unwrap_or(0.0),
            weight_decay: self.weight_decay,
            clip: 1.0,
            seed: self.seed,
        }
    }

    /// # Errors
    /// [`Error::InvalidParameter`] for a choice that cannot work.
    pub fn check(&self) -> Result<()> {
        if self.steps.is_some() && self.budget_seconds.is_some() {
            return refuse("steps and budget", "both", "give one of them");
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
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return refuse("weight-decay", self.weight_decay, "it must be zero or above");
        }
        self.choices().map(drop)
    }
}

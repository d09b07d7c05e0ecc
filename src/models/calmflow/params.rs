//! The choices of a CaLMFlow.

use serde::{Deserialize, Serialize};

use super::language::LanguageParams;
use crate::Result;
use crate::error::{refuse, refuse_below_zero, refuse_zero};
use crate::flow::{Coupling, Path};
use crate::language::causal::CausalParams;
use crate::language::mask::TokenOrder;
use crate::language::transformer::TransformerParams;
use crate::models::coordinates::Coordinates;
use crate::models::guide::Centre;
use crate::models::minibatch::{MinibatchParams, check_dropout};
use crate::models::reader::ReaderParams;
use crate::models::source::Source;

/// How the language model's output becomes the next state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecoderKind {
    /// A mixture of diagonal Gaussians over the end of the path, with gated skips from the present and first states.
    Mixture,
    /// A Gaussian latent per token, decoded to the next state (He et al. 2024).
    Variational,
}

/// How the prompt reaches the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptUse {
    /// As tokens before the flow's tokens (He et al. 2024).
    Prefix,
    /// As the sum of its words' embeddings, added in every block: free of order, and new combinations add up. With a language
    /// model from outside, of its tokens' hidden states.
    Sum,
    /// Both.
    Both,
}

impl PromptUse {
    /// True if prompts stand before the flow's tokens.
    pub fn has_prefix(self) -> bool {
        self != Self::Sum
    }

    /// True if words are summed.
    pub fn has_sum(self) -> bool {
        self != Self::Prefix
    }
}

/// The choices of a CaLMFlow.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalmFlowParams {
    /// The decoder.
    pub decoder: DecoderKind,
    /// What cells are measured from.
    pub centre: Centre,
    /// The coordinates that the flow works in.
    pub coordinates: Coordinates,
    /// Whether the estimate is told to the network in numbers.
    pub inputs: bool,
    /// How the prompt is used.
    pub prompt_use: PromptUse,
    /// The causal language model; with one from outside, its width, blocks and heads.
    pub transformer: TransformerParams,
    /// The one from outside, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<LanguageParams>,
    /// The path from source to cell.
    pub path: Path,
    /// Where flows start.
    pub source: Source,
    /// How source points are paired with cells.
    pub coupling: Coupling,
    /// Points in time that a token sees, its own among them; all if absent.
    pub window: Option<usize>,
    /// Standard deviation of noise on the states that the network reads while it is fitted; the data have one.
    pub history_noise: f32,
    /// The probability with which a condition is hidden in training; guidance needs it above zero.
    pub condition_dropout: f64,
    /// Whether moments of the control and of the components stand before the flow's tokens.
    pub evidence: bool,
    /// Networks that are fitted side by side.
    pub n_members: usize,
    /// Steps of flow time; the paper's 16 time points are 15 steps.
    pub n_steps: usize,
    /// Spatial tokens per state (K).
    pub n_spatial: usize,
    /// Flows that share a sequence (M).
    pub n_trajectories: usize,
    /// Gaussians of the mixture.
    pub n_mixture: usize,
    /// Weight of the Kullback–Leibler term of the variational decoder.
    pub beta: f64,
    /// Cells per training step.
    pub n_cells: usize,
    /// Conditions per training step.
    pub n_prompts: usize,
}

impl CalmFlowParams {
    /// The choices that worked best for a decoder; for `Variational`, those of the paper where they differ.
    pub fn of(decoder: DecoderKind) -> Self {
        let mixture = Self {
            decoder,
            centre: Centre::Interaction,
            coordinates: Coordinates::Whitened,
            inputs: true,
            prompt_use: PromptUse::Sum,
            transformer: TransformerParams { width: 64, n_layers: 2, n_heads: 4 },
            language: None,
            path: Path::Bridge { sigma: 0.5 },
            source: Source::Noise,
            coupling: Coupling::Independent,
            window: None,
            history_noise: 0.0,
            condition_dropout: 0.0,
            evidence: false,
            n_members: 3,
            n_steps: 2,
            n_spatial: 1,
            n_trajectories: 1,
            n_mixture: 4,
            beta: 0.3,
            n_cells: 128,
            n_prompts: 32,
        };
        match decoder {
            DecoderKind::Mixture => mixture,
            DecoderKind::Variational => Self {
                coordinates: Coordinates::Scaled,
                prompt_use: PromptUse::Prefix,
                path: Path::Straight,
                n_members: 1,
                n_steps: 15,
                ..mixture
            },
        }
    }

    /// The same on a language model from outside.
    #[must_use]
    pub fn on_language(self, language: LanguageParams) -> Self {
        let CausalParams { width, n_layers, n_heads, .. } = language.network;
        Self { transformer: TransformerParams { width, n_layers, n_heads }, language: Some(language), ..self }
    }

    /// The order of a sequence's tokens.
    pub fn order(&self) -> TokenOrder {
        TokenOrder { n_steps: self.n_steps, n_trajectories: self.n_trajectories, n_spatial: self.n_spatial }
    }

    /// How far the cells of a condition are drawn from where the flow puts them towards the estimate of their mean and the
    /// spread of their controls, unless told otherwise. The flow and the closed form err in different ways, so that their
    /// average is nearer than either (Bates & Granger 1969); the published decoder is left as it was published.
    pub fn anchor(&self) -> f32 {
        match self.decoder {
            DecoderKind::Mixture => 0.5,
            DecoderKind::Variational => 0.0,
        }
    }

    /// What is read of conditions.
    pub fn reader(&self) -> ReaderParams {
        ReaderParams {
            centre: self.centre,
            coordinates: self.coordinates,
            inputs: self.inputs,
            source: self.source,
            evidence: self.evidence,
            reads_order: self.prompt_use.has_prefix(),
        }
    }

    /// The size of a minibatch; a sequence holds cells of one condition.
    pub fn minibatch(&self) -> MinibatchParams {
        MinibatchParams {
            n_cells: self.n_cells,
            n_prompts: self.n_prompts,
            multiple: self.n_trajectories,
            coupling: self.coupling,
            sigma: self.path.sigma(),
            condition_dropout: self.condition_dropout,
        }
    }

    /// # Errors
    /// [`crate::Error::InvalidParameter`] for a value that cannot work.
    pub fn check(&self) -> Result<()> {
        match &self.language {
            None => self.transformer.check()?,
            Some(language) => language.check()?,
        }
        if self.language.is_some() && !self.prompt_use.has_prefix() {
            let reason = "a language model from outside reads prompts as tokens: use prefix or both";
            return refuse("prompt-use", "sum", reason);
        }
        refuse_zero([
            ("members", self.n_members),
            ("time-steps", self.n_steps),
            ("window", self.window.unwrap_or(1)),
            ("spatial-tokens", self.n_spatial),
            ("trajectories", self.n_trajectories),
            ("mixture-components", self.n_mixture),
            ("cells-per-step", self.n_cells),
            ("prompts-per-step", self.n_prompts),
        ])?;
        refuse_below_zero([
            ("sigma", f64::from(self.path.sigma())),
            ("history-noise", f64::from(self.history_noise)),
            ("beta", self.beta),
        ])?;
        check_dropout(self.condition_dropout)?;
        if self.coupling == Coupling::Entropic && self.path.sigma() == 0.0 {
            return refuse("coupling", "entropic", "it needs --sigma above zero: the regularisation is 2 sigma^2");
        }
        Ok(())
    }
}

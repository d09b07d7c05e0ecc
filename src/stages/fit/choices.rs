//! What the choices of a fit mean to its method: those that it has, with its own where none was made.

use super::FitParams;
use crate::error::refuse;
use crate::flow::{Coupling, Path as FlowPath};
use crate::language::encoder::EncoderParams;
use crate::language::transformer::TransformerParams;
use crate::models::calmflow::{CalmFlowParams, DecoderKind, PromptUse};
use crate::models::cfm::{CfmParams, Variant};
use crate::models::cpa::CpaParams;
use crate::models::guide::Centre;
use crate::models::registry::{Choices, Has, Method};
use crate::models::scgpt::ScgptParams;
use crate::models::scvi::ScviParams;
use crate::{Error, Result};

impl FitParams {
    /// The method with its choices.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] for a choice that the method does not have or that cannot work.
    pub fn choices(&self) -> Result<Choices> {
        self.refuse_foreign()?;
        self.refuse_what_is_pretrained()?;
        self.check_language()?;
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
    fn made(&self) -> [(&'static str, Has, bool); 53] {
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
            ("prompt", Has::Flow, !self.prompts.is_empty()),
            ("descriptions", Has::Descriptions, self.descriptions.is_some()),
            ("text-encoder", Has::Descriptions, self.text_encoder.is_some()),
            ("text-pooling", Has::Descriptions, self.text_pooling.is_some()),
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
            ("pretrained", Has::GeneTokens, self.pretrained.is_some()),
            ("gene-symbols", Has::GeneTokens, self.gene_symbols.is_some()),
            ("allow-unknown-genes", Has::GeneTokens, self.allow_unknown_genes),
            ("accumulate", Has::Training, self.accumulate != own.accumulate),
            ("language-model", Has::LanguageModel, self.language_model.is_some()),
            ("language-model-random", Has::LanguageModel, self.language_model_random),
            ("tune", Has::LanguageModel, self.tune.is_some()),
            ("lora-rank", Has::LanguageModel, self.lora_rank.is_some()),
            ("adapter-width", Has::LanguageModel, self.adapter_width.is_some()),
            ("checkpoint-activations", Has::LanguageModel, self.checkpoint_activations),
            ("language-weights", Has::LanguageModel, self.language_weights.is_some()),
        ]
    }

    /// Fails if a choice was made that the method does not have.
    fn refuse_foreign(&self) -> Result<()> {
        let foreign = self.made().into_iter().find(|(_, needs, made)| *made && !self.method.has(*needs));
        let Some((name, needs, _)) = foreign else { return Ok(()) };
        let reason = match needs {
            Has::Training => "is a closed form and trains nothing; leave it away",
            Has::Flow | Has::Source => "is no flow and has none; leave it away",
            Has::Descriptions => "reads no descriptions; leave them away",
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

    /// Fails if the size of a network is chosen that pretrained weights have, or unknown genes are allowed where none can be.
    fn refuse_what_is_pretrained(&self) -> Result<()> {
        let sizes = [("width", self.width), ("layers", self.layers), ("heads", self.heads)];
        match sizes.into_iter().find_map(|(name, size)| Some((name, size?))) {
            Some((name, size)) if self.pretrained.is_some() => {
                refuse(name, size, "the pretrained weights decide it; leave it away, or --pretrained")
            }
            Some((name, size)) if self.language_model.is_some() => {
                refuse(name, size, "the language model decides it; leave it away, or --language-model")
            }
            _ if self.allow_unknown_genes && self.pretrained.is_none() => {
                refuse("allow-unknown-genes", "given", "genes are unknown to a vocabulary only; see --pretrained")
            }
            _ => Ok(()),
        }
    }

    fn calmflow(&self) -> CalmFlowParams {
        let own = CalmFlowParams::of(self.decoder.unwrap_or(DecoderKind::Mixture));
        let own = match self.language_model {
            // Its prompts are read as text, in the published form as tokens only, and one network is large enough.
            Some(_) => {
                let prompt_use = match own.decoder {
                    DecoderKind::Mixture => PromptUse::Both,
                    DecoderKind::Variational => PromptUse::Prefix,
                };
                CalmFlowParams { prompt_use, n_members: 1, ..own }
            }
            None => own,
        };
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
        let width = self.width.unwrap_or(own.encoder.width);
        ScgptParams {
            centre: self.told_centre(),
            encoder: EncoderParams {
                width,
                n_layers: self.layers.unwrap_or(own.encoder.n_layers),
                n_heads: self.heads.unwrap_or(own.encoder.n_heads),
                n_hidden: 4 * width,
            },
            allow_unknown_genes: self.allow_unknown_genes,
            n_genes: self.genes_per_step.unwrap_or(own.n_genes),
            n_cells: self.cells_per_step.unwrap_or(own.n_cells),
            ..own
        }
    }
}

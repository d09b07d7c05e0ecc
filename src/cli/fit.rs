//! The flags of `scflow fit`.

use std::path::PathBuf;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use crate::models::calmflow::{DecoderKind, PromptUse};
use crate::models::guide::Centre;
use crate::stages::fit::{Every, FitParams, Watcher, fit, seconds};
use crate::training::Progress;

/// The flags of `scflow fit`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The prepared screen.
    #[arg(value_name = "PREPARED.h5ad")]
    input: PathBuf,
    /// Folder for the model.
    #[arg(long, short, value_name = "MODEL")]
    output: PathBuf,
    /// How the language model's output becomes the next state.
    #[arg(long, value_enum, default_value_t = Decoder::Mixture)]
    decoder: Decoder,
    /// Training steps; the same steps, seed and threads give the same model.
    #[arg(long, value_name = "N", conflicts_with = "budget")]
    steps: Option<usize>,
    /// Time to train, such as 120s or 5m; turned into steps by a measurement at the start [default: 120s].
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    budget: Option<f64>,
    /// Seed of everything drawn.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Go on from the checkpoint beside the output.
    #[arg(long)]
    resume: bool,
    /// How often a checkpoint is written: a number of steps, or a time such as 60s or 5m.
    #[arg(long, value_name = "N|TIME", default_value = "60s")]
    checkpoint_every: Every,
    #[command(flatten)]
    choices: Choices,
}

/// The choices of the model.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Model")]
struct Choices {
    /// Prompt with {perturbation} and covariates in braces, such as "Generate a {cell_type} cell with {perturbation}".
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// How the prompt is used [default: sum with the mixture decoder, prefix with the variational one].
    #[arg(long, value_enum)]
    prompt_use: Option<PromptAs>,
    /// What cells are measured from; an estimate is also told to the network.
    #[arg(long, value_enum, default_value_t = CentreOn::Additive)]
    centre: CentreOn,
    /// Numbers per token of the language model.
    #[arg(long, value_name = "N", default_value_t = 64)]
    width: usize,
    /// Blocks of the language model.
    #[arg(long, value_name = "N", default_value_t = 2)]
    layers: usize,
    /// Attention heads.
    #[arg(long, value_name = "N", default_value_t = 4)]
    heads: usize,
    /// Steps of flow time [default: 4 with the mixture decoder, 15 with the variational one].
    #[arg(long, value_name = "N")]
    time_steps: Option<usize>,
    /// Spatial tokens per state (K).
    #[arg(long, value_name = "K", default_value_t = 1)]
    spatial_tokens: usize,
    /// Flows that share a sequence (M).
    #[arg(long, value_name = "M", default_value_t = 1)]
    trajectories: usize,
    /// Gaussians of the mixture decoder.
    #[arg(long, value_name = "N", default_value_t = 4)]
    mixture_components: usize,
    /// Noise of the bridge between source and cell; 0 is the straight path [default: 0.5 with the mixture decoder, 0
    /// with the variational one].
    #[arg(long, value_name = "SIGMA")]
    sigma: Option<f32>,
    /// Weight of the divergence of the variational decoder.
    #[arg(long, value_name = "BETA", default_value_t = 0.3)]
    beta: f64,
    /// Cells per training step.
    #[arg(long, value_name = "N", default_value_t = 128)]
    cells_per_step: usize,
    /// Conditions per training step.
    #[arg(long, value_name = "N", default_value_t = 32)]
    prompts_per_step: usize,
    /// Peak learning rate.
    #[arg(long, value_name = "RATE", default_value_t = 2e-3)]
    learning_rate: f64,
    /// Weight decay.
    #[arg(long, value_name = "DECAY", default_value_t = 1.0)]
    weight_decay: f64,
}

/// `--decoder`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Decoder {
    /// A mixture of Gaussians over the end of the path.
    Mixture,
    /// A Gaussian latent per token, as published.
    Variational,
}

/// `--prompt-use`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum PromptAs {
    /// Tokens before the flow's tokens, as published.
    Prefix,
    /// The sum of its words' embeddings, added in every block.
    Sum,
    /// Both.
    Both,
}

/// `--centre`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum CentreOn {
    /// The additive estimate of the condition.
    Additive,
    /// The estimate with interactions, effects shrunk over covariates.
    Interaction,
    /// The mean of all training cells.
    None,
}

impl Arguments {
    /// Runs the stage.
    pub fn run(self, shared: &super::shared::Shared) -> anyhow::Result<()> {
        let choices = self.choices;
        let params = FitParams {
            input: self.input,
            output: self.output,
            decoder: match self.decoder {
                Decoder::Mixture => DecoderKind::Mixture,
                Decoder::Variational => DecoderKind::Variational,
            },
            steps: self.steps,
            budget_seconds: self.budget,
            seed: self.seed,
            prompt: choices.prompt,
            prompt_use: choices.prompt_use.map(|prompt_use| match prompt_use {
                PromptAs::Prefix => PromptUse::Prefix,
                PromptAs::Sum => PromptUse::Sum,
                PromptAs::Both => PromptUse::Both,
            }),
            centre: match choices.centre {
                CentreOn::Interaction => Centre::Interaction,
                CentreOn::Additive => Centre::Additive,
                CentreOn::None => Centre::None,
            },
            width: choices.width,
            layers: choices.layers,
            heads: choices.heads,
            time_steps: choices.time_steps,
            spatial_tokens: choices.spatial_tokens,
            trajectories: choices.trajectories,
            mixture_components: choices.mixture_components,
            sigma: choices.sigma,
            beta: choices.beta,
            cells_per_step: choices.cells_per_step,
            prompts_per_step: choices.prompts_per_step,
            learning_rate: choices.learning_rate,
            weight_decay: choices.weight_decay,
            checkpoint_every: self.checkpoint_every,
            resume: self.resume,
            force: shared.force,
        };
        let terminal = Terminal::new(shared)?;
        fit(&params, &terminal)?;
        terminal.bar.finish_and_clear();
        shared.say(format!("wrote {}; next: scflow predict {0} --holdout -o predicted.h5ad", params.output.display()));
        Ok(())
    }
}

/// Shows the progress of a fit on standard error.
pub(super) struct Terminal<'a> {
    shared: &'a super::shared::Shared,
    interrupt: super::interrupt::Interrupt,
    pub(super) bar: ProgressBar,
}

impl<'a> Terminal<'a> {
    pub(super) fn new(shared: &'a super::shared::Shared) -> std::io::Result<Self> {
        let bar = if shared.quiet { ProgressBar::hidden() } else { ProgressBar::no_length() };
        let style = "{bar:30} step {pos}/{len}  loss {msg}  {per_sec}  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Ok(Self { shared, interrupt: super::interrupt::Interrupt::watch()?, bar })
    }
}

impl Watcher for Terminal<'_> {
    fn say(&self, message: &str) {
        self.bar.suspend(|| self.shared.say(message));
    }

    fn signal(&self) -> Option<u8> {
        self.interrupt.noted()
    }

    fn progress(&self, progress: Progress) {
        match progress.step == progress.n_steps {
            true => self.interrupt.release(),
            false if self.interrupt.noted().is_none() => self.interrupt.hold(),
            false => {}
        }
        if self.bar.length() != Some(progress.n_steps as u64) {
            self.bar.set_length(progress.n_steps as u64);
            // Steps done before a resumed fit say nothing of its speed.
            self.bar.set_position(progress.step as u64 - 1);
            self.bar.reset_eta();
        }
        self.bar.set_position(progress.step as u64);
        if progress.step % 20 == 1 || progress.step == progress.n_steps {
            self.bar.set_message(format!("{:.4}", progress.loss));
        }
    }
}

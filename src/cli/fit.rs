//! The flags of `scflow fit`.

use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};

use super::fit_names::{
    CentreOn, CoordinatesAre, CountsBy, CouplingBy, Decoder, DeviceName, MethodName, PoolingBy, PromptAs, SourceOf,
    TuneBy, WeightsIn,
};
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
    /// The method.
    #[arg(long, value_enum, default_value_t = MethodName::Calmflow)]
    method: MethodName,
    /// Training steps; the same steps, seed and threads give the same model [default: 600, or ten passes over the cells].
    #[arg(long, value_name = "N", conflicts_with = "budget")]
    steps: Option<usize>,
    /// Time to train, such as 120s or 5m; turned into steps by a measurement at the start.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    budget: Option<f64>,
    /// Seed of everything drawn.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Where the network is computed.
    #[arg(long, value_enum, default_value_t = DeviceName::Auto)]
    device: DeviceName,
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
    /// Prompt with {perturbation} and covariates in braces, such as "Generate a {cell_type} cell with {perturbation}"; repeated,
    /// each step draws one, and predictions are asked for in the first.
    #[arg(long = "prompt", value_name = "TEXT")]
    prompts: Vec<String>,
    /// Table with the columns name and text that says what components are: in prompts it follows their names, or stands at
    /// {descriptions}; of components that were never seen it tells the effect (predict --allow-unseen).
    #[arg(long, value_name = "FILE.csv")]
    descriptions: Option<PathBuf>,
    /// Let components of the screen have no description.
    #[arg(long, requires = "descriptions")]
    descriptions_partial: bool,
    /// Let this network read descriptions, in the place of counting their words, where they tell effects: a Hugging Face folder with
    /// config.json, *.safetensors and tokenizer.json of a bert, distilbert, roberta, xlm-roberta or modernbert, or of a causal
    /// language model (gpt_neox, llama, gpt2, qwen2).
    #[arg(long, value_name = "FOLDER", requires = "descriptions")]
    text_encoder: Option<PathBuf>,
    /// How its last hidden states become the vector of a text [default: as its folder says (modules.json), or mean].
    #[arg(long, value_enum, requires = "text_encoder")]
    text_pooling: Option<PoolingBy>,
    /// What cells are measured from; an estimate is also told to the network.
    #[arg(long, value_enum, default_value_t = CentreOn::Interaction)]
    centre: CentreOn,
    /// The coordinates that the flow works in [default: whitened for calmflow's mixture, scaled otherwise].
    #[arg(long, value_enum)]
    coordinates: Option<CoordinatesAre>,
    /// Do not tell the network that estimate in numbers.
    #[arg(long)]
    no_inputs: bool,
    /// What cells are made from: where flows start, or which latents scvi decodes.
    #[arg(long, value_enum, default_value_t = SourceOf::Noise)]
    source: SourceOf,
    /// How source points are paired with the cells of their condition in a minibatch [default: independent; exact is
    /// cfm-ot's own, entropic cfm-sb's].
    #[arg(long, value_enum)]
    coupling: Option<CouplingBy>,
    /// Numbers per token of the language model, or per hidden layer [default: 64; 256 with cfm, 128 with
    /// scvi and cpa].
    #[arg(long, value_name = "N")]
    width: Option<usize>,
    /// Blocks of the network [default: 2; 3 with cfm].
    #[arg(long, value_name = "N")]
    layers: Option<usize>,
    /// Noise of the path between source and cell; 0 is the straight path [default: 0.5 with calmflow's mixture decoder and
    /// with cfm-sb, else 0].
    #[arg(long, value_name = "SIGMA")]
    sigma: Option<f32>,
    /// Learn the score beside the velocity, for predict --solver sde:100 (cfm-sb).
    #[arg(long)]
    score: bool,
    /// Probability with which a condition is hidden in training; `predict --guidance` needs it, 0.1 is usual.
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    condition_dropout: f64,
    /// Networks that are fitted side by side, each with cells of its own in every step; a condition's mean is the mean of
    /// theirs [default: 3 for calmflow with the mixture decoder, otherwise 1].
    #[arg(long, value_name = "N")]
    members: Option<usize>,
    /// Cells per training step [default: 128; 256 with cfm, 16 with scgpt].
    #[arg(long, value_name = "N")]
    cells_per_step: Option<usize>,
    /// Minibatches whose gradients are averaged for one step: as if a step had so many times the cells, in the memory of one.
    #[arg(long, value_name = "N", default_value_t = 1)]
    accumulate: usize,
    /// Conditions per training step [default: 32; 8 where cells are paired by transport].
    #[arg(long, value_name = "N")]
    prompts_per_step: Option<usize>,
    /// Peak learning rate [default: 2e-3; 1e-3 with cfm].
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f64>,
    /// Weight decay.
    #[arg(long, value_name = "DECAY", default_value_t = 1.0)]
    weight_decay: f64,
    /// Decay of the running mean of the weights, which makes the model; 0 takes the last weights.
    #[arg(long, value_name = "DECAY", default_value_t = 0.0)]
    average: f64,
    /// Training combinations (or strata of covariates, where there are none) that are kept from the fit: it stops when it
    /// tells them no better, by energy distance and MMD.
    #[arg(long, value_name = "N", default_value_t = 0)]
    validation_conditions: usize,
    /// Stop the fit by the cells that obs["split"] marks `val`.
    #[arg(long, conflicts_with = "validation_conditions")]
    validation_split: bool,
    #[command(flatten)]
    calmflow: CalmFlowChoices,
    #[command(flatten)]
    language: LanguageChoices,
    #[command(flatten)]
    counts: CountChoices,
    #[command(flatten)]
    scgpt: ScgptChoices,
}

/// The choices that only an scGPT has.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Of --method scgpt")]
struct ScgptChoices {
    /// Genes of a cell that are read together, at random in training [default: 256].
    #[arg(long, value_name = "N")]
    genes_per_step: Option<usize>,
    /// Start from the weights of a published scGPT: a folder with args.json, vocab.json and best_model.pt (or
    /// model.safetensors).
    #[arg(long, value_name = "FOLDER")]
    pretrained: Option<PathBuf>,
    /// The column of var that holds gene symbols [default: the names of the genes].
    #[arg(long, value_name = "COLUMN")]
    gene_symbols: Option<String>,
    /// Let genes that the pretrained vocabulary does not know start new, as long as it knows half of all.
    #[arg(long)]
    allow_unknown_genes: bool,
}

/// The choices that only methods on counts have.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Of --method scvi and cpa")]
struct CountChoices {
    /// The law of a count [default: nb].
    #[arg(long, value_enum)]
    likelihood: Option<CountsBy>,
    /// Numbers of a latent [default: 10 with scvi, 32 with cpa].
    #[arg(long, value_name = "N")]
    latent: Option<usize>,
    /// How much cpa's encoder minds what the adversaries know of perturbation and covariates [default: 1].
    #[arg(long, value_name = "WEIGHT")]
    adversary: Option<f64>,
    /// Weight of the penalty on the slopes of cpa's adversaries [default: 3].
    #[arg(long, value_name = "WEIGHT")]
    penalty: Option<f64>,
}

/// The choices of a CaLMFlow on a language model from outside.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Of --method calmflow on a language model")]
struct LanguageChoices {
    /// Stand on this causal language model: a Hugging Face folder with config.json, *.safetensors and tokenizer.json. Its
    /// tokenizer and embeddings read the prompts.
    #[arg(long, value_name = "FOLDER")]
    language_model: Option<PathBuf>,
    /// Take only its architecture and its tokenizer; weights are drawn from the seed.
    #[arg(long, requires = "language_model")]
    language_model_random: bool,
    /// What of it is trained [default: full].
    #[arg(long, value_enum, requires = "language_model")]
    tune: Option<TuneBy>,
    /// Rank of the matrices of --tune lora [default: 8].
    #[arg(long, value_name = "N")]
    lora_rank: Option<usize>,
    /// Numbers within the perceptrons of --tune adapters [default: 32].
    #[arg(long, value_name = "N")]
    adapter_width: Option<usize>,
    /// Make the numbers within its blocks again in the backward pass: less memory, more time, the same model.
    #[arg(long, requires = "language_model")]
    checkpoint_activations: bool,
    /// How its matrices are held and multiplied: bf16 takes half the memory, and needs a GPU [default: f32].
    #[arg(long, value_enum, requires = "language_model")]
    language_weights: Option<WeightsIn>,
}

/// The choices that only a CaLMFlow has.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Of --method calmflow")]
struct CalmFlowChoices {
    /// How the language model's output becomes the next state [default: mixture].
    #[arg(long, value_enum)]
    decoder: Option<Decoder>,
    /// How the prompt is used [default: sum with the mixture decoder, both on a --language-model, prefix with the variational
    /// one].
    #[arg(long, value_enum)]
    prompt_use: Option<PromptAs>,
    /// Attention heads, also of scgpt [default: 4].
    #[arg(long, value_name = "N")]
    heads: Option<usize>,
    /// Steps of flow time [default: 2 with the mixture decoder, 15 with the variational one].
    #[arg(long, value_name = "N")]
    time_steps: Option<usize>,
    /// Spatial tokens per state, K [default: 1].
    #[arg(long, value_name = "K")]
    spatial_tokens: Option<usize>,
    /// Flows that share a sequence, M [default: 1].
    #[arg(long, value_name = "M")]
    trajectories: Option<usize>,
    /// Gaussians of the mixture decoder [default: 4].
    #[arg(long, value_name = "N")]
    mixture_components: Option<usize>,
    /// Points in time that a token sees, its own among them [default: all].
    #[arg(long, value_name = "W")]
    window: Option<usize>,
    /// Noise on the states that the network reads while it is fitted [default: 0].
    #[arg(long, value_name = "SIGMA")]
    history_noise: Option<f32>,
    /// Tell the network means and standard deviations of the control and of each component, as tokens.
    #[arg(long)]
    evidence: bool,
    /// Weight of the divergence of the variational decoder [default: 0.3].
    #[arg(long, value_name = "BETA")]
    beta: Option<f64>,
}

impl Arguments {
    /// Runs the stage.
    pub fn run(self, shared: &super::shared::Shared) -> anyhow::Result<()> {
        let choices = self.choices;
        let (calmflow, language, counts) = (choices.calmflow, choices.language, choices.counts);
        let params = FitParams {
            input: self.input,
            output: self.output,
            method: self.method.into(),
            decoder: calmflow.decoder.map(Into::into),
            steps: self.steps,
            budget_seconds: self.budget,
            seed: self.seed,
            prompts: choices.prompts,
            descriptions: choices.descriptions,
            descriptions_partial: choices.descriptions_partial,
            text_encoder: choices.text_encoder,
            text_pooling: choices.text_pooling.map(Into::into),
            prompt_use: calmflow.prompt_use.map(Into::into),
            centre: choices.centre.into(),
            coordinates: choices.coordinates.map(Into::into),
            inputs: !choices.no_inputs,
            source: choices.source.into(),
            coupling: choices.coupling.map(Into::into),
            members: choices.members,
            width: choices.width,
            layers: choices.layers,
            heads: calmflow.heads,
            time_steps: calmflow.time_steps,
            spatial_tokens: calmflow.spatial_tokens,
            trajectories: calmflow.trajectories,
            mixture_components: calmflow.mixture_components,
            sigma: choices.sigma,
            score: choices.score,
            window: calmflow.window,
            history_noise: calmflow.history_noise,
            evidence: calmflow.evidence,
            condition_dropout: choices.condition_dropout,
            beta: calmflow.beta,
            likelihood: counts.likelihood.map(Into::into),
            latent: counts.latent,
            adversary: counts.adversary,
            penalty: counts.penalty,
            genes_per_step: choices.scgpt.genes_per_step,
            pretrained: choices.scgpt.pretrained,
            gene_symbols: choices.scgpt.gene_symbols,
            allow_unknown_genes: choices.scgpt.allow_unknown_genes,
            language_model: language.language_model,
            language_model_random: language.language_model_random,
            tune: language.tune.map(Into::into),
            lora_rank: language.lora_rank,
            adapter_width: language.adapter_width,
            checkpoint_activations: language.checkpoint_activations,
            language_weights: language.language_weights.map(Into::into),
            accumulate: choices.accumulate,
            cells_per_step: choices.cells_per_step,
            prompts_per_step: choices.prompts_per_step,
            learning_rate: choices.learning_rate,
            weight_decay: choices.weight_decay,
            average: choices.average,
            validation_conditions: choices.validation_conditions,
            validation_split: choices.validation_split,
            device: self.device.into(),
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

//! Fits a model to the training cells of a prepared screen.

mod every;
mod params;
mod choices;
mod language;
mod wording;
mod screen;
mod checkpoint;
mod train;
mod validation;

use std::collections::BTreeMap;

use serde_json::json;

pub use every::{Every, seconds};
pub use language::Tune;
pub use params::FitParams;

use self::checkpoint::Checkpoint;
use self::screen::Screen;
use self::validation::Validation;
use crate::Result;
use crate::io::{atomic, digest, model_folder};
use crate::models::fitted::FittedModel;
use crate::models::gene_decoder::GeneDecoderParams;
use crate::models::method::{Begun, FittedMethod, Fitting, Makes};
use crate::models::reference::{Choice, Tried};
use crate::training::{Progress, State, TrainingParams};

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
/// Those of reading and writing, of [`FitParams::check`], of the model, and [`crate::Error::NonFiniteLoss`].
pub fn fit(params: &FitParams, watcher: &dyn Watcher) -> Result<()> {
    params.check()?;
    atomic::check(&params.output, params.force)?;
    Checkpoint::check(params)?;
    let (device, device_name) = params.open_device()?;
    watcher.say(&format!("device: {device_name}"));
    let mut screen = Screen::read(params)?;
    let (wording, reads) = params.wording(&screen.settings.covariates, &screen.known, watcher)?;
    watcher.say(&format!("fitting to {} training cells; {} held out", screen.conditions.len(), screen.n_held_out));

    let (choices, given, given_sha256) = params.given(watcher)?;
    // First, so that counts that cannot be used are told before hours of training.
    let gene_decoder = match choices.makes() {
        Makes::Counts => None,
        Makes::Components => {
            let target_sum = screen.settings.target_sum;
            let own = GeneDecoderParams { target_sum, seed: params.seed, ..GeneDecoderParams::default() };
            let fitted = screen.fit_gene_decoder(&own)?;
            watcher.say(&format!("fitted the gene decoder to {} cells", fitted.1));
            Some(fitted)
        }
    };
    let (gene_decoder, n_decoder_cells) = gene_decoder.unzip();

    let n_cells = screen.conditions.len();
    let begun = choices.begin(&screen.training_data(), wording, given, params.seed, &device)?;
    // The method has cells of its own.
    (screen.embedding, screen.conditions) = Default::default();
    let input_sha256 = digest::sha256(&params.input)?;
    let descriptions_sha256 = params.descriptions.as_deref().map(digest::sha256).transpose()?;
    let fitted = match begun {
        Begun::Fitted(method) => {
            tell(method.choice(), watcher);
            method.strength().iter().for_each(|strength| watcher.say(&strength.to_string()));
            watcher.say(&format!("`{}` is a closed form: fitted", method.name()));
            Trained::closed_form(method)
        }
        Begun::Training(fitting) => {
            tell(fitting.choice(), watcher);
            fitting.strength().iter().for_each(|strength| watcher.say(&strength.to_string()));
            fitting.origin().iter().for_each(|origin| watcher.say(origin));
            let checkpoint =
                Checkpoint::new(params, &device, &(&input_sha256, &given_sha256, &descriptions_sha256, &reads))?;
            train_to_the_end(params, &*fitting, n_cells, screen.validation.take(), &checkpoint, watcher)?
        }
    };
    let model = FittedModel {
        gene_decoder,
        pca: screen.pca,
        genes: screen.genes,
        known: screen.known,
        settings: screen.settings,
        history: fitted.history,
        provenance: json!({
            "input_sha256": input_sha256,
            "pretrained_sha256": given_sha256,
            "descriptions_sha256": descriptions_sha256,
            "text_encoder": reads,
            "seed": params.seed,
            "training": fitted.training,
            "best_step": fitted.best_step,
            "n_weights": fitted.n_weights,
            "gene_decoder_cells": n_decoder_cells,
            "interaction": fitted.method.choice(),
            "described": fitted.method.strength(),
        }),
        method: fitted.method,
    };
    atomic::folder(&params.output, |folder| model_folder::write(folder, &model))?;
    crate::io::checkpoint::remove(&params.output)
}

/// A fitted method, and how it came about.
struct Trained {
    method: Box<dyn FittedMethod>,
    history: BTreeMap<String, Vec<f64>>,
    training: Option<TrainingParams>,
    best_step: Option<usize>,
    n_weights: usize,
}

impl Trained {
    fn closed_form(method: Box<dyn FittedMethod>) -> Self {
        Self { method, history: BTreeMap::new(), training: None, best_step: None, n_weights: 0 }
    }
}

/// Trains a method until all steps are done.
fn train_to_the_end(
    params: &FitParams,
    fitting: &dyn Fitting,
    n_cells: usize,
    mut validation: Option<Validation>,
    checkpoint: &Checkpoint,
    watcher: &dyn Watcher,
) -> Result<Trained> {
    if let Some(validation) = &validation {
        let names: Vec<String> = validation.conditions().map(ToString::to_string).collect();
        watcher.say(&format!("{} conditions judge the model as it learns: {}", names.len(), names.join(", ")));
    }
    let mut state = State::with_average(fitting.slots(), params.average)?;
    let training = train::train(params, fitting, n_cells, &mut state, validation.as_mut(), checkpoint, watcher)?;
    let best_step = match &validation {
        Some(validation) => validation.restore_best(&mut state)?,
        None => {
            state.exchange_average()?;
            None
        }
    };
    if let Some(step) = best_step {
        watcher.say(&format!("the weights after step {step} told them best"));
    }
    let mut history = BTreeMap::from([
        ("step".to_owned(), (1..=state.step).map(|step| step as f64).collect()),
        ("loss".to_owned(), state.losses.clone()),
    ]);
    history.extend(validation.iter().flat_map(|validation| validation.history(state.step)));
    let n_weights = state.n_weights();
    Ok(Trained { method: fitting.model()?, history, training: Some(training), best_step, n_weights })
}

/// Tells the rule of combination, where there is one.
fn tell(choice: Option<&Choice>, watcher: &dyn Watcher) {
    if let Some(choice) = choice {
        watcher.say(&describe(choice));
    }
}

/// The rule of combination in words, with the errors of all that were tried.
fn describe(choice: &Choice) -> String {
    if choice.n_combinations == 0 {
        return "no combination can be estimated from others: combinations are the sums of their parts".into();
    }
    let of = |tried: &Tried| format!("{} {:.4}", tried.rule, tried.error);
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

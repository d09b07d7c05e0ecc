//! Fits a model to the training cells of a prepared screen.

mod params;
mod checkpoint;
mod train;

use std::collections::BTreeMap;

use ndarray::Axis;
use serde_json::json;

pub use params::FitParams;

use self::checkpoint::Checkpoint;
use crate::conditions::Condition;
use crate::conditions::prompt::Template;
use crate::io::{atomic, digest, h5ad, model_folder};
use crate::models::fitted::{FittedModel, Known};
use crate::models::gene_decoder::{GeneDecoder, GeneDecoderParams};
use crate::models::reference::{Choice, Tried};
use crate::prepared::Prepared;
use crate::training::{Progress, State};
use crate::{Error, Result};

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
    Checkpoint::check(params)?;
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

    let fitting = params.choices()?.begin(embedding.view(), &conditions, template, params.seed)?;
    let choice = fitting.reader().guide.choice().cloned();
    if let Some(choice) = &choice {
        watcher.say(&describe(choice));
    }
    let mut state = State::new(fitting.slots());
    let input_sha256 = digest::sha256(&params.input)?;
    let checkpoint = Checkpoint::new(params, &input_sha256)?;
    let training = train::train(params, &*fitting, &mut state, &checkpoint, watcher)?;

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
        method: fitting.finish()?,
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
            "n_weights": state.n_weights(),
            "interaction": choice,
        }),
    };
    atomic::folder(&params.output, |folder| model_folder::write(folder, &model))?;
    checkpoint.remove()
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

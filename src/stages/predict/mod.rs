//! Generates cells of any combination of known perturbations.

mod cells;
mod emit;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::json;

use self::cells::Wanted;
use self::emit::Emission;
pub use self::emit::EmitAs;
use crate::conditions::{Condition, Perturbation};
use crate::error::{nearest, refuse};
use crate::flow::Solver;
use crate::io::{atomic, description_table, digest, h5ad, model_folder};
use crate::language::device::DeviceChoice;
use crate::models::fitted::FittedModel;
use crate::models::method::Draws;
use crate::{Error, Result};

/// What to predict, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PredictParams {
    /// The model folder.
    pub model: PathBuf,
    /// The generated cells.
    pub output: PathBuf,
    /// Perturbations such as `drug A + drug B`, with or without covariates: `drug A | cell_type=B cell`.
    pub perturbations: Vec<String>,
    /// Covariate values such as `cell_type=B cell`; all that the model knows if absent.
    pub covariates: Vec<String>,
    /// Predict all held-out conditions.
    pub held_out: bool,
    /// Make cells of components that no training cell had, if they have a description.
    pub allow_unseen: bool,
    /// A table with the columns `name` and `text`: descriptions beside those that the model has.
    pub descriptions: Option<PathBuf>,
    /// Cells per condition.
    pub cells: usize,
    /// Make fewer cells of a condition where there are fewer to compare them with: [`crate::models::known::Known::n_comparable`].
    pub at_most_comparable: bool,
    /// Scales the spread of every draw; 1 is the fitted law.
    pub temperature: f32,
    /// How far from the law of all conditions to that of the condition; 1 is the condition's.
    pub guidance: f32,
    /// How far mean and spread of the cells are drawn towards their estimates; the method's own choice if absent.
    pub anchor: Option<f32>,
    /// How the velocity of a cfm is followed; adaptively if absent.
    pub solver: Option<Solver>,
    /// Where the network is computed.
    pub device: DeviceChoice,
    /// Seed of everything drawn.
    pub seed: u64,
    /// Another form than that of [`crate::stages::evaluate`].
    pub emit_as: Option<EmitAs>,
    /// The prepared screen, where the other form needs real cells.
    pub truth: Option<PathBuf>,
    /// Replace the output if it exists.
    pub force: bool,
}

impl Default for PredictParams {
    fn default() -> Self {
        Self {
            model: "model".into(),
            output: "predicted.h5ad".into(),
            perturbations: Vec::new(),
            covariates: Vec::new(),
            held_out: false,
            allow_unseen: false,
            descriptions: None,
            cells: 500,
            at_most_comparable: false,
            temperature: 1.0,
            guidance: 1.0,
            anchor: None,
            solver: None,
            device: DeviceChoice::default(),
            seed: 0,
            emit_as: None,
            truth: None,
            force: false,
        }
    }
}

impl PredictParams {
    /// # Errors
    /// [`Error::InvalidParameter`] for a choice that cannot work.
    pub fn check(&self) -> Result<()> {
        if self.perturbations.is_empty() && !self.held_out {
            return refuse("perturbation", "none", "give --perturbation \"A + B\", or --holdout");
        }
        if self.cells == 0 {
            return refuse("cells", "0", "at least one cell is needed");
        }
        match (self.emit_as, &self.truth) {
            (Some(program), None) => {
                return refuse("emit-as", program, "give the real cells as --truth PREPARED.h5ad");
            }
            (None, Some(truth)) => {
                return refuse("truth", truth.display(), "real cells are only needed for --emit-as");
            }
            _ => {}
        }
        self.draws().check()
    }

    /// How cells are drawn.
    pub fn draws(&self) -> Draws {
        Draws { temperature: self.temperature, guidance: self.guidance, anchor: self.anchor, solver: self.solver }
    }
}

/// Writes the generated cells; returns the conditions with their statuses and numbers of cells.
///
/// # Errors
/// Those of reading and writing; [`Error::UnknownName`] if something asked for is not in the model.
pub fn predict(params: &PredictParams, say: &dyn Fn(&str)) -> Result<Vec<(Condition, String, usize)>> {
    params.check()?;
    atomic::check(&params.output, params.force)?;
    let (device, device_name) = params.device.open_for(model_folder::was_pretrained(&params.model)?)?;
    say(&format!("device: {device_name}"));
    let mut model = model_folder::read(&params.model, &device)?;
    if let Some(path) = &params.descriptions {
        model.method.describe(&description_table::read(path)?)?;
    }
    let conditions = conditions(params, &model)?;
    check_unseen(params, &model, &conditions)?;
    let emission = match (params.emit_as, &params.truth) {
        (Some(program), Some(truth)) => Some(Emission::new(program, h5ad::read(truth)?, &model, &conditions)?),
        _ => None,
    };
    emission.iter().filter_map(Emission::remark).for_each(|remark| say(&remark));
    let n_cells = n_cells(params, &model, &conditions);
    tell_repeats(&model, &conditions, &n_cells, say);
    tell_doses(&model, &conditions, say);
    let provenance = provenance(params, &model, &conditions)?;
    let wanted = Wanted::new(&model, conditions, n_cells);
    let generate = |condition: &Condition, n_cells, seed| model.generate(condition, n_cells, params.draws(), seed);
    let blocks = wanted.blocks(&model, params.seed, generate, say);
    match emission {
        Some(emission) => {
            emission.write(&params.output, &wanted, &provenance, blocks)?;
            say(&format!("next: {}", emission.next(&params.output, &model)));
        }
        None => {
            let outline = wanted.outline(&model, &provenance)?;
            atomic::file(&params.output, |path| h5ad::write_blocks(path, &outline, wanted.n_cells(), blocks))?;
        }
    }
    Ok(wanted.into_conditions())
}

/// The conditions asked for, each once.
fn conditions(params: &PredictParams, model: &FittedModel) -> Result<Vec<Condition>> {
    let mut asked = BTreeMap::new();
    for text in &params.covariates {
        let (column, value) = text.split_once('=').ok_or_else(|| Error::InvalidParameter {
            name: "covariate".into(),
            value: text.clone(),
            reason: "write it as COLUMN=VALUE".into(),
        })?;
        if asked.insert(column.trim().to_owned(), value.trim().to_owned()).is_some() {
            return Err(Error::InvalidParameter {
                name: "covariate".into(),
                value: text.clone(),
                reason: format!("`{}` is given twice; predict into one file for each value", column.trim()),
            });
        }
    }
    let doses = model.known.doses();
    let mut conditions: Vec<Condition> = Vec::new();
    for text in &params.perturbations {
        let pattern = Condition::parse(text, Perturbation::CONTROL)?;
        let perturbation = doses.in_units(&pattern.perturbation)?;
        doses.check_range(&perturbation)?;
        let mut values = asked.clone();
        values.extend(pattern.covariates.clone());
        conditions.extend(model.known.expand(&perturbation, &values)?);
    }
    if params.held_out {
        let fits = |held: &Condition| asked.iter().all(|(column, value)| held.covariates.get(column) == Some(value));
        let held: Vec<Condition> = model.known.held_out.iter().map(|(held, _)| held.clone()).filter(fits).collect();
        if held.is_empty() {
            return Err(Error::TooFew {
                what: "held-out conditions of the model".into(),
                needed: 1,
                got: 0,
                hint: "hold something out in `scflow preprocess`, or give --perturbation".into(),
            });
        }
        held.iter().try_for_each(|held| doses.check_range(&held.perturbation))?;
        conditions.extend(held);
    }
    conditions.sort();
    conditions.dedup();
    Ok(conditions)
}

/// Fails for components that no training cell had, unless they are described and allowed.
fn check_unseen(params: &PredictParams, model: &FittedModel, conditions: &[Condition]) -> Result<()> {
    let unseen = model.known.unseen(conditions);
    let Some(first) = unseen.first() else { return Ok(()) };
    let described = model.method.descriptions();
    let is_described = |component: &String| described.is_some_and(|all| all.get(component).is_some());
    let unknown: Vec<&&String> = unseen.iter().filter(|component| !is_described(component)).collect();
    if params.allow_unseen {
        model.method.check_unseen()?;
    }
    match unknown.first() {
        None if params.allow_unseen => Ok(()),
        None => {
            let reason =
                format!("{}; it is described: say --allow-unseen to estimate it from its text", never(&unseen));
            refuse("perturbation", first, &reason)
        }
        Some(component) if params.allow_unseen => {
            let unknown: BTreeSet<&String> = unknown.iter().map(|component| **component).collect();
            let reason = format!(
                "{}, and has no description; give --descriptions FILE.csv with its name and text",
                never(&unknown)
            );
            refuse("perturbation", component, &reason)
        }
        Some(component) => Err(Error::UnknownName {
            what: "perturbation".into(),
            name: name_of(component),
            place: "the model".into(),
            nearest: nearest(&name_of(component), model.known.doses().names()),
        }),
    }
}

/// The name of the component with this label, without dose and time.
fn name_of(label: &str) -> String {
    Perturbation::single(label).parts().map(|part| part.name).collect()
}

/// That a component was never seen, and how many others were not.
fn never(unseen: &BTreeSet<&String>) -> String {
    match unseen.len() {
        1 => "no training cell had it".into(),
        n => {
            let names: Vec<String> = unseen.iter().take(3).map(|name| format!("`{name}`")).collect();
            format!("no training cell had it, nor others: {n} components, such as {}", names.join(", "))
        }
    }
}

/// How many cells are made of each condition.
fn n_cells(params: &PredictParams, model: &FittedModel, conditions: &[Condition]) -> Vec<usize> {
    let of = |condition: &Condition| match params.at_most_comparable {
        // Blocks take control cells anew, so that a second one would repeat them.
        true => params.cells.min(model.known.n_comparable(condition)).min(model.most_per_block()),
        false => params.cells,
    };
    conditions.iter().map(of).collect()
}

/// Tells where control cells are taken again, as there are fewer of them than cells.
fn tell_repeats(model: &FittedModel, conditions: &[Condition], n_cells: &[usize], say: &dyn Fn(&str)) {
    let repeats: Vec<(&Condition, usize, usize)> = conditions
        .iter()
        .zip(n_cells)
        .filter_map(|(condition, &n)| Some((condition, n, model.method.n_sources(condition)?)))
        .filter(|(_, n, n_sources)| n > n_sources)
        .collect();
    if let Some((condition, n, n_sources)) = repeats.first() {
        say(&format!(
            "`{}` starts from control cells, and takes them again for {} of {} conditions, such as {condition}: {n} cells from \
             {n_sources}; cells that come again make distances between populations look too great, so compare at most as many, \
             or say --at-most-comparable",
            model.method.name(),
            repeats.len(),
            conditions.len()
        ));
    }
}

/// Tells between which doses those lie that were not measured.
fn tell_doses(model: &FittedModel, conditions: &[Condition], say: &dyn Fn(&str)) {
    let doses = model.known.doses();
    let perturbations: BTreeSet<&Perturbation> = conditions.iter().map(|condition| &condition.perturbation).collect();
    let unseen = perturbations.into_iter().filter_map(|perturbation| doses.describe(perturbation));
    unseen.for_each(|remark| say(&format!("unseen dose: {remark}")));
}

/// What made the file; the places of files do not go into it, their content does.
fn provenance(params: &PredictParams, model: &FittedModel, conditions: &[Condition]) -> Result<serde_json::Value> {
    let mut told = Vec::new();
    for condition in conditions {
        if let Some((prompt, tokens)) = model.method.told(condition)? {
            told.push(json!({ "condition": condition.to_string(), "prompt": prompt, "tokens": tokens }));
        }
    }
    let mut files = BTreeMap::new();
    for name in model_folder::read_story(&params.model)?.files {
        files.insert(name.clone(), digest::sha256(&params.model.join(name))?);
    }
    Ok(json!({
        "method": model.method.name(),
        "version": env!("CARGO_PKG_VERSION"),
        "model": model.method.params()?,
        "prompt": model.method.prompt(),
        "told": told,
        "fit": model.provenance,
        "files_sha256": files,
        "perturbations": params.perturbations,
        "held_out": params.held_out,
        "covariates": params.covariates,
        "allow_unseen": params.allow_unseen,
        "descriptions_sha256": params.descriptions.as_deref().map(digest::sha256).transpose()?,
        "cells": params.cells,
        "at_most_comparable": params.at_most_comparable,
        "temperature": params.temperature,
        "guidance": params.guidance,
        "anchor": params.anchor,
        "solver": params.solver,
        "seed": params.seed,
    }))
}

//! Writes a table that says which conditions of a screen are held out, for `preprocess --split`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cells::{Cells, Value};
use crate::conditions::Condition;
use crate::conditions::status::{Measured, Status};
use crate::error::refuse;
use crate::io::h5ad::Partial;
use crate::io::{atomic, split_table};
use crate::prepared::{self, Settings};
use crate::preprocess::folds::Folds;
use crate::preprocess::labels;
use crate::preprocess::schemes::{HeldOut, Scheme};
use crate::preprocess::split_table::SplitTable;
use crate::{Error, Result};

/// The schemes by their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SchemeName {
    /// [`Scheme::LeaveCombinationOut`].
    #[default]
    LeaveCombinationOut,
    /// [`Scheme::Simulation`].
    Simulation,
    /// [`Scheme::UnseenSingle`].
    UnseenSingle,
    /// [`Scheme::LeaveCovariateOut`].
    LeaveCovariateOut,
    /// [`Folds`]: a folder with a table for each.
    Folds,
    /// [`Scheme::Named`].
    Named,
}

/// What to hold out of which screen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SplitParams {
    /// The screen, raw or prepared.
    pub input: PathBuf,
    /// The table; a folder of tables for folds.
    pub output: PathBuf,
    /// The column of `obs` that names what was done to each cell; a prepared screen knows its own.
    pub perturbation_column: Option<String>,
    /// What the control is called there; likewise.
    pub control: Option<String>,
    /// Columns of `obs` that are part of the condition; likewise.
    pub covariates: Vec<String>,
    /// By which rule conditions are held out.
    pub scheme: SchemeName,
    /// The share of combinations or of components that is held out.
    pub fraction: Option<f64>,
    /// The share of the combinations of seen components that a simulation holds out.
    pub combination_fraction: Option<f64>,
    /// Values such as `cell_type=B cell` that are left out.
    pub values: Vec<String>,
    /// A table with a column `perturbation`, and perhaps covariates, that names what is held out.
    pub conditions: Option<PathBuf>,
    /// Number of folds.
    pub folds: Option<usize>,
    /// Seed of everything drawn.
    pub seed: u64,
    /// Replace the output if it exists.
    pub force: bool,
}

impl Default for SplitParams {
    fn default() -> Self {
        Self {
            input: "screen.h5ad".into(),
            output: "split.csv".into(),
            perturbation_column: None,
            control: None,
            covariates: Vec::new(),
            scheme: SchemeName::default(),
            fraction: None,
            combination_fraction: None,
            values: Vec::new(),
            conditions: None,
            folds: None,
            seed: 0,
            force: false,
        }
    }
}

impl SplitParams {
    /// # Errors
    /// [`Error::InvalidParameter`] for a choice that the scheme does not have, or lacks.
    pub fn check(&self) -> Result<()> {
        use SchemeName::{Folds, LeaveCombinationOut, LeaveCovariateOut, Named, Simulation, UnseenSingle};
        let made: [(&str, bool, &[SchemeName]); 5] = [
            ("fraction", self.fraction.is_some(), &[LeaveCombinationOut, Simulation, UnseenSingle]),
            ("combination-fraction", self.combination_fraction.is_some(), &[Simulation]),
            ("value", !self.values.is_empty(), &[LeaveCovariateOut]),
            ("conditions", self.conditions.is_some(), &[Named]),
            ("folds", self.folds.is_some(), &[Folds]),
        ];
        for (name, given, schemes) in made {
            let has = schemes.contains(&self.scheme);
            if given && !has {
                return refuse(name, "given", "the scheme has none; leave it away, or choose another --scheme");
            }
            // The shares have defaults.
            if has && !given && !name.ends_with("fraction") {
                return refuse(name, "none", "the scheme needs it; see `scflow split --help`");
            }
        }
        Ok(())
    }

    /// The scheme with its shares; nothing for folds.
    ///
    /// # Errors
    /// Those of reading the table of conditions; [`Error::InvalidParameter`] for a value without a column.
    fn scheme(&self, control: &str) -> Result<Option<Scheme>> {
        let share = |own: f64| self.fraction.unwrap_or(own);
        Ok(Some(match self.scheme {
            SchemeName::LeaveCombinationOut => Scheme::LeaveCombinationOut { share: share(0.3) },
            SchemeName::UnseenSingle => Scheme::UnseenSingle { share: share(0.25) },
            SchemeName::Simulation => {
                Scheme::Simulation { unseen: share(0.25), combinations: self.combination_fraction.unwrap_or(0.25) }
            }
            SchemeName::LeaveCovariateOut => {
                let pair = |text: &String| match text.split_once('=') {
                    Some((column, value)) => Ok((column.trim().to_owned(), value.trim().to_owned())),
                    None => refuse("value", text, "write it as COLUMN=VALUE"),
                };
                Scheme::LeaveCovariateOut { values: self.values.iter().map(pair).collect::<Result<_>>()? }
            }
            SchemeName::Named => {
                let table = self.conditions.as_deref().map(split_table::read).transpose()?.unwrap_or_default();
                if table.columns.iter().any(|column| column == "split") {
                    let reason = "the table has a column `split`, so that it is a split already: give it to preprocess \
                                  --split, or keep only the rows to hold out and remove the column";
                    return refuse("conditions", "a split", reason);
                }
                Scheme::Named { patterns: table.patterns(control)? }
            }
            SchemeName::Folds => return Ok(None),
        }))
    }
}

/// Stratum → number of conditions and of cells that are held out.
pub type Strata = BTreeMap<String, (usize, usize)>;

/// Writes the table, and returns what it holds out: of folds, all of them together. `say` tells of conditions that stay in
/// training.
///
/// # Errors
/// Those of [`SplitParams::check`], of reading and writing, of [`labels::conditions`], [`Scheme::hold_out`] and
/// [`Folds::divide`].
pub fn split(params: &SplitParams, say: &dyn Fn(&str)) -> Result<Strata> {
    params.check()?;
    atomic::check(&params.output, params.force)?;
    let (conditions, control) = read(params)?;
    let keep = |kept: &std::collections::BTreeSet<Condition>| {
        if let Some(example) = kept.first() {
            let n = kept.len();
            say(&format!("{n} conditions stay in training, as nothing else would tell of them: for example {example}"));
        }
    };
    let mut strata = Strata::new();
    match params.scheme(&control)? {
        Some(scheme) => {
            let HeldOut { held_out, kept } = scheme.hold_out(&conditions, params.seed)?;
            keep(&kept);
            let table = SplitTable::holding_out(&conditions, &held_out, &control)?;
            count(&conditions, &held_out, &mut strata);
            atomic::file(&params.output, |beside| split_table::write(beside, &table))?;
        }
        None => {
            let folds = Folds::divide(&conditions, params.folds.unwrap_or(0), params.seed)?;
            keep(&folds.kept);
            let tables = folds.tables(&conditions, &control)?;
            folds.held_out.iter().for_each(|held_out| count(&conditions, held_out, &mut strata));
            atomic::folder(&params.output, |folder| {
                let mut tables = tables.iter().enumerate();
                tables.try_for_each(|(i, table)| split_table::write(&folder.join(format!("fold-{}.csv", i + 1)), table))
            })?;
        }
    }
    Ok(strata)
}

/// The condition of each cell, and what the control is called in the raw screen.
fn read(params: &SplitParams) -> Result<(Vec<Condition>, String)> {
    let (_, cells) = Partial::open(&params.input, &[])?;
    let own = [
        ("perturbation-column", params.perturbation_column.is_some()),
        ("control", params.control.is_some()),
        ("covariate", !params.covariates.is_empty()),
    ];
    if let Some(settings) = settings(&cells)? {
        if let Some((name, _)) = own.iter().find(|(_, given)| *given) {
            return refuse(name, "given", "the screen is prepared and knows its columns; leave it away");
        }
        return Ok((prepared::conditions(&cells.obs, &settings.covariates)?, settings.control));
    }
    match (&params.perturbation_column, &params.control) {
        (Some(column), Some(control)) => {
            Ok((labels::conditions(&cells, column, control, &params.covariates)?, control.clone()))
        }
        (column, _) => {
            let name = if column.is_some() { "control" } else { "perturbation-column" };
            refuse(name, "none", "the screen is not prepared: give --perturbation-column and --control")
        }
    }
}

/// How the screen was prepared, if it was.
fn settings(cells: &Cells) -> Result<Option<Settings>> {
    let text = cells.uns.get("scflow").and_then(|scflow| scflow.get("preprocess")).and_then(Value::as_text);
    let parse = |text: &str| serde_json::from_str(text);
    text.map(parse).transpose().map_err(|source| Error::backend("reading uns[\"scflow\"]", source))
}

/// Adds the held-out conditions and their cells to the strata.
fn count(conditions: &[Condition], held_out: &std::collections::BTreeSet<Condition>, strata: &mut Strata) {
    let measured: Measured = conditions.iter().filter(|condition| !held_out.contains(*condition)).collect();
    for condition in held_out {
        let entry = strata.entry(Status::stratum(measured.status(condition))).or_default();
        entry.0 += 1;
        entry.1 += conditions.iter().filter(|other| *other == condition).count();
    }
}

/// The strata in words: `combo_seen2: 4 conditions, 310 cells; …`.
pub fn describe(strata: &Strata) -> String {
    let told = strata.iter().map(|(stratum, (n, n_cells))| format!("{stratum}: {n} conditions, {n_cells} cells"));
    told.collect::<Vec<_>>().join("; ")
}

//! The flags of `scflow split`.

use std::path::PathBuf;

use crate::stages::split::{self, SchemeName, SplitParams, describe};

/// The flags of `scflow split`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The screen, raw or prepared.
    #[arg(value_name = "SCREEN.h5ad")]
    input: PathBuf,
    /// The table, for `preprocess --split`; a folder of tables with --scheme folds.
    #[arg(long, short, value_name = "SPLIT.csv")]
    output: PathBuf,
    /// By which rule conditions are held out.
    #[arg(long, value_enum)]
    scheme: Name,
    /// Share that is held out: of combinations with leave-combination-out [default: 0.3], of components with simulation and
    /// unseen-single [default: 0.25].
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    fraction: Option<f64>,
    /// Share of the combinations of seen components that a simulation holds out too [default: 0.25].
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    combination_fraction: Option<f64>,
    /// Covariate value that is left out, such as cell_type="B cell"; may be repeated.
    #[arg(long = "value", value_name = "COLUMN=VALUE")]
    values: Vec<String>,
    /// Table that names what is held out: a column perturbation, and perhaps covariates.
    #[arg(long, value_name = "FILE.csv")]
    conditions: Option<PathBuf>,
    /// Number of folds.
    #[arg(long, value_name = "N")]
    folds: Option<usize>,
    /// Column of obs that names what was done to each cell; a prepared screen knows its own.
    #[arg(long, value_name = "COLUMN")]
    perturbation_column: Option<String>,
    /// What the control is called in that column.
    #[arg(long, value_name = "NAME")]
    control: Option<String>,
    /// Column of obs that is part of the condition, such as cell_type; may be repeated.
    #[arg(long = "covariate", value_name = "COLUMN")]
    covariates: Vec<String>,
    /// Seed of everything drawn.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// The schemes.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Name {
    /// A share of the combinations whose components were measured alone.
    LeaveCombinationOut,
    /// As GEARS does: a share of the components with all that contains them, and of the combinations of the others.
    Simulation,
    /// A share of the components measured alone, with every condition that contains them.
    UnseenSingle,
    /// All perturbed cells with the values of --value, such as a cell type; their controls train.
    LeaveCovariateOut,
    /// Every combination in one of --folds.
    Folds,
    /// What the table of --conditions names.
    Named,
}

impl From<Name> for SchemeName {
    fn from(name: Name) -> Self {
        match name {
            Name::LeaveCombinationOut => Self::LeaveCombinationOut,
            Name::Simulation => Self::Simulation,
            Name::UnseenSingle => Self::UnseenSingle,
            Name::LeaveCovariateOut => Self::LeaveCovariateOut,
            Name::Folds => Self::Folds,
            Name::Named => Self::Named,
        }
    }
}

impl Arguments {
    /// Runs the stage.
    pub fn run(self, shared: &super::shared::Shared) -> anyhow::Result<()> {
        let params = SplitParams {
            input: self.input,
            output: self.output,
            perturbation_column: self.perturbation_column,
            control: self.control,
            covariates: self.covariates,
            scheme: self.scheme.into(),
            fraction: self.fraction,
            combination_fraction: self.combination_fraction,
            values: self.values,
            conditions: self.conditions,
            folds: self.folds,
            seed: self.seed,
            force: shared.force,
        };
        let strata = split::split(&params, &|message| shared.say(message))?;
        shared.say(format!("held out: {}", describe(&strata)));
        let output = params.output.display();
        let table = if params.folds.is_some() { format!("{output}/fold-1.csv") } else { output.to_string() };
        shared.say(format!("wrote {output}; next: scflow preprocess … --split {table}"));
        Ok(())
    }
}

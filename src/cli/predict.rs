//! The flags of `scflow predict`.

use std::path::PathBuf;

use super::fit_names::DeviceName;
use crate::flow::Solver;
use crate::stages::predict::{EmitAs, PredictParams, predict};

/// The flags of `scflow predict`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder of a model, as written by `scflow fit`.
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// The generated cells; a folder for --emit-as cell-eval and perturbench.
    #[arg(long, short, value_name = "PREDICTED.h5ad")]
    output: PathBuf,
    /// Perturbation such as "drug A + drug B", in any order; may be repeated.
    #[arg(long = "perturbation", short, value_name = "PERTURBATION")]
    perturbations: Vec<String>,
    /// Predict all held-out conditions of the model.
    #[arg(long = "holdout")]
    held_out: bool,
    /// Covariate such as cell_type="B cell"; without it, every value that the model knows.
    #[arg(long = "covariate", value_name = "COLUMN=VALUE")]
    covariates: Vec<String>,
    /// Make cells of components that no training cell had, from their descriptions.
    #[arg(long)]
    allow_unseen: bool,
    /// Table with the columns name and text: descriptions beside those that the model was fitted with.
    #[arg(long, value_name = "FILE.csv")]
    descriptions: Option<PathBuf>,
    /// Cells per condition.
    #[arg(long, value_name = "N", default_value_t = 500)]
    cells: usize,
    /// Make no more cells of a condition than there are control cells to make them from, and held-out cells to compare them with.
    #[arg(long)]
    at_most_comparable: bool,
    /// Scales the spread of every draw; 1 is the fitted law.
    #[arg(long, value_name = "T", default_value_t = 1.0)]
    temperature: f32,
    /// How far from the law of all conditions to that of the condition; above 1 exaggerates what is its own.
    #[arg(long, value_name = "G", default_value_t = 1.0, allow_negative_numbers = true)]
    guidance: f32,
    /// How far mean and spread of the cells are drawn from the model's own (0) towards the closed-form estimate and the spread
    /// of controls (1) [default: 0.5 for calmflow's mixture, 0 otherwise].
    #[arg(long, value_name = "SHARE")]
    anchor: Option<f32>,
    /// How the velocity of a cfm is followed: dopri5, heun:N or euler:N with N steps, or, fitted with --score,
    /// sde:N along the stochastic equation [default: dopri5].
    #[arg(long, value_name = "SOLVER", value_parser = solver)]
    solver: Option<Solver>,
    /// Where the network is computed.
    #[arg(long, value_enum, default_value_t = DeviceName::Auto)]
    device: DeviceName,
    /// Seed of everything drawn.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Write what another program reads instead: generated cells and the real ones that belong to them.
    #[arg(long, value_enum, value_name = "PROGRAM", requires = "truth")]
    emit_as: Option<Program>,
    /// Real cells, as written by `scflow preprocess`, for --emit-as.
    #[arg(long, value_name = "PREPARED.h5ad", requires = "emit_as")]
    truth: Option<PathBuf>,
}

/// The programs.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Program {
    /// A folder for `cell-eval run` of Arc's cell-eval, version 0.8: prediction.h5ad and truth.h5ad.
    CellEval,
    /// A folder for PerturBench's `Evaluation`: prediction.h5ad and reference.h5ad.
    Perturbench,
    /// One file for pertpy's `Distance`: obs["group"] and obsm["X_pca"] of real and generated cells side by side.
    Pertpy,
}

impl From<Program> for EmitAs {
    fn from(program: Program) -> Self {
        match program {
            Program::CellEval => Self::CellEval,
            Program::Perturbench => Self::Perturbench,
            Program::Pertpy => Self::Pertpy,
        }
    }
}

impl Arguments {
    /// Runs the stage.
    pub fn run(self, shared: &super::shared::Shared) -> anyhow::Result<()> {
        let params = PredictParams {
            model: self.model,
            output: self.output,
            perturbations: self.perturbations,
            covariates: self.covariates,
            held_out: self.held_out,
            allow_unseen: self.allow_unseen,
            descriptions: self.descriptions,
            cells: self.cells,
            at_most_comparable: self.at_most_comparable,
            temperature: self.temperature,
            guidance: self.guidance,
            anchor: self.anchor,
            solver: self.solver,
            device: self.device.into(),
            seed: self.seed,
            emit_as: self.emit_as.map(Into::into),
            truth: self.truth,
            force: shared.force,
        };
        let conditions = predict(&params, &|message| shared.say(message))?;
        let n_cells: usize = conditions.iter().map(|(.., n)| n).sum();
        shared.say(format!("wrote {n_cells} cells of {} conditions to {}", conditions.len(), params.output.display()));
        Ok(())
    }
}

/// `dopri5`, `dopri5:TOLERANCE`, `heun:STEPS`, `euler:STEPS` or `sde:STEPS`.
fn solver(text: &str) -> Result<Solver, String> {
    let (name, number) = text.split_once(':').map_or((text, None), |(name, number)| (name, Some(number)));
    let steps = || match number.and_then(|number| number.parse::<usize>().ok()) {
        Some(n_steps) if n_steps > 0 => Ok(n_steps),
        _ => Err(format!("write `{name}:N` with a number of steps N above zero")),
    };
    match (name, number.map(str::parse::<f32>)) {
        ("dopri5", None) => Ok(Solver::default()),
        ("dopri5", Some(Ok(tolerance))) if tolerance > 0.0 && tolerance.is_finite() => Ok(Solver::Dopri5 { tolerance }),
        ("dopri5", _) => Err("write `dopri5` or `dopri5:TOLERANCE` with a tolerance above zero".into()),
        ("heun", _) => Ok(Solver::Heun { n_steps: steps()? }),
        ("euler", _) => Ok(Solver::Euler { n_steps: steps()? }),
        ("sde", _) => Ok(Solver::EulerMaruyama { n_steps: steps()? }),
        _ => Err(format!("`{name}` is no solver; use dopri5, heun:N, euler:N or sde:N")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solvers_have_steps_or_a_tolerance() {
        assert_eq!(solver("dopri5"), Ok(Solver::Dopri5 { tolerance: 1e-3 }));
        assert_eq!(solver("dopri5:1e-5"), Ok(Solver::Dopri5 { tolerance: 1e-5 }));
        assert_eq!(solver("heun:20"), Ok(Solver::Heun { n_steps: 20 }));
        assert_eq!(solver("euler:7"), Ok(Solver::Euler { n_steps: 7 }));
        for wrong in ["heun", "heun:0", "euler:x", "dopri5:-1", "rk4"] {
            assert!(solver(wrong).is_err(), "{wrong}");
        }
    }
}

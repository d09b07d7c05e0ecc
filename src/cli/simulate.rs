//! The flags of `scflow simulate`.

use std::path::PathBuf;

use crate::stages::simulate::{SimulateParams, simulate};
use crate::synthetic;

/// The flags of `scflow simulate`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// File for the simulated cells: raw counts, obs columns perturbation, cell_type and batch.
    #[arg(long, short, value_name = "SCREEN.h5ad")]
    output: PathBuf,
    /// Number of cells; about 12 % of them are controls.
    #[arg(long, value_name = "N", default_value_t = 8000)]
    cells: usize,
    /// Number of genes, among them 13 mitochondrial ones.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    genes: usize,
    /// Number of perturbations, each also applied alone.
    #[arg(long, value_name = "N", default_value_t = 8)]
    singles: usize,
    /// Number of pairs of perturbations; all pairs if absent.
    #[arg(long, value_name = "N")]
    pairs: Option<usize>,
    /// Number of pathways that perturbations target [default: half of --singles, up to 6].
    #[arg(long, value_name = "N")]
    pathways: Option<usize>,
    /// Table for what the perturbations are in words: class, pathways, strength; for fit --descriptions.
    #[arg(long, value_name = "OUT.csv")]
    descriptions: Option<PathBuf>,
    /// Number of cell types.
    #[arg(long, value_name = "N", default_value_t = 5)]
    cell_types: usize,
    /// Number of experimental batches.
    #[arg(long, value_name = "N", default_value_t = 3)]
    batches: usize,
    /// How pairs depart from the sum of their parts.
    #[arg(long, value_enum, default_value_t = Interactions::Readable)]
    interactions: Interactions,
    /// Seed of everything drawn; the same seed gives the same file.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// The words of `--interactions`.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Interactions {
    /// By the pathways of the two parts, so that other pairs teach them.
    Readable,
    /// Of the same sizes, but dealt out to pairs at random.
    Hidden,
    /// Not at all: additive on the logarithm of expression.
    None,
}

impl Arguments {
    /// Runs the stage.
    pub fn run(self, shared: &super::shared::Shared) -> anyhow::Result<()> {
        let params = SimulateParams {
            output: self.output,
            cells: self.cells,
            genes: self.genes,
            singles: self.singles,
            pairs: self.pairs,
            pathways: self.pathways,
            descriptions: self.descriptions,
            cell_types: self.cell_types,
            batches: self.batches,
            interactions: match self.interactions {
                Interactions::Readable => synthetic::Interactions::Readable,
                Interactions::Hidden => synthetic::Interactions::Hidden,
                Interactions::None => synthetic::Interactions::None,
            },
            seed: self.seed,
            force: shared.force,
        };
        simulate(&params, &|message| shared.say(message))?;
        let output = params.output.display();
        shared.say(format!("wrote {output}\nnext: scflow inspect {output}"));
        Ok(())
    }
}

//! Writes a simulated screen.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::io::{atomic, description_table, h5ad};
use crate::synthetic::{self, Interactions, ScreenDesign, Truth};

/// What to simulate, and where to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimulateParams {
    /// The file of cells.
    pub output: PathBuf,
    /// Number of cells.
    pub cells: usize,
    /// Number of genes, among them 13 mitochondrial ones.
    pub genes: usize,
    /// Number of perturbations that are also applied alone.
    pub singles: usize,
    /// Number of pairs of them; all pairs if absent.
    pub pairs: Option<usize>,
    /// Number of pathways that perturbations target; half as many as singles, up to six, if absent.
    pub pathways: Option<usize>,
    /// A table that says in words what the perturbations are; none if absent.
    pub descriptions: Option<PathBuf>,
    /// Number of cell types.
    pub cell_types: usize,
    /// Number of experimental batches.
    pub batches: usize,
    /// How pairs depart from the sum of their parts.
    pub interactions: Interactions,
    /// Seed of everything drawn.
    pub seed: u64,
    /// Replace the output if it exists.
    pub force: bool,
}

impl Default for SimulateParams {
    fn default() -> Self {
        let design = ScreenDesign::default();
        Self {
            output: "screen.h5ad".into(),
            cells: design.cells,
            genes: design.genes,
            singles: design.singles,
            pairs: None,
            pathways: None,
            descriptions: None,
            cell_types: design.cell_types,
            batches: design.batches,
            interactions: design.interactions,
            seed: design.seed,
            force: false,
        }
    }
}

impl SimulateParams {
    /// The screen that these parameters ask for.
    pub fn design(&self) -> ScreenDesign {
        ScreenDesign {
            cells: self.cells,
            genes: self.genes,
            singles: self.singles,
            pairs: self.pairs.unwrap_or_else(|| ScreenDesign::n_possible_pairs(self.singles)),
            pathways: self.pathways,
            cell_types: self.cell_types,
            batches: self.batches,
            interactions: self.interactions,
            seed: self.seed,
        }
    }

    /// Checks that such a screen can be made.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`](crate::Error::InvalidParameter) that names the flag.
    pub fn check(&self) -> Result<()> {
        self.design().check()
    }
}

/// Writes the simulated cells and returns what they are made of; `say` tells of progress.
///
/// # Errors
/// Those of [`SimulateParams::check`] and of writing.
pub fn simulate(params: &SimulateParams, say: &dyn Fn(&str)) -> Result<Truth> {
    params.check()?;
    atomic::check(&params.output, params.force)?;
    params.descriptions.as_deref().map_or(Ok(()), |path| atomic::check(path, params.force))?;
    let design = params.design();
    say(&format!(
        "simulating {} cells × {} genes: control, {} singles, {} pairs",
        design.cells, design.genes, design.singles, design.pairs
    ));
    let screen = synthetic::simulate(&design)?;
    h5ad::write(&params.output, &screen.cells)?;
    if let Some(path) = &params.descriptions {
        let descriptions = synthetic::describe(&screen.truth)?;
        atomic::file(path, |beside| description_table::write(beside, &descriptions))?;
    }
    Ok(screen.truth)
}

//! What a fit of counts begins with.

use std::sync::Arc;

use candle_core::Var;

use super::cells::CountCells;
use super::encoded::EncodedControls;
use super::start::{Depth, Start};
use super::told::Told;
use crate::Result;
use crate::language::parameters::Parameters;
use crate::models::guide::Centre;
use crate::models::training_data::TrainingData;
use crate::training::optimizer::Slot;

/// Dispersions start from moments over all cells, too large for cells whose conditions are known, and have far to go.
const DISPERSION_RATE: f64 = 5.0;

/// What the data decide of a network.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Number of genes.
    pub n_genes: usize,
    /// How library sizes are read.
    pub depth: Depth,
    /// What is told of conditions.
    pub told: Told,
}

/// Training cells with all that is taken from them before the first step.
pub struct CountData {
    /// The cells.
    pub cells: CountCells,
    /// Those from which others are decoded.
    pub controls: EncodedControls,
    /// Where the last layer starts.
    pub start: Start,
    /// The sizes of the network.
    pub shape: Shape,
}

impl CountData {
    /// Reads the counts of all training cells, in sparse rows; networks are told an estimate of conditions' means by `centre`.
    ///
    /// # Errors
    /// Those of reading, of [`Told::fit`] and of [`CountCells::new`].
    pub fn read(data: &TrainingData, centre: Centre, seed: u64) -> Result<Self> {
        let sizes = data.counts.library_sizes();
        let counts = data.counts.rows(&(0..data.conditions.len()).collect::<Vec<_>>())?;
        let told = Told::fit(data.embedding, data.conditions, centre, seed)?;
        let cells = CountCells::new(Arc::new(counts), sizes, data.conditions, &told)?;
        let start = Start::fit(cells.counts(), sizes);
        let shape = Shape { n_genes: cells.n_genes(), depth: start.depth, told };
        Ok(Self { cells, controls: EncodedControls::choose(data.conditions, seed), start, shape })
    }
}

/// Adversaries must keep up with what they are to be misled by; the published ones take two steps for each of the encoder.
const ADVERSARY_RATE: f64 = 3.0;

/// The two numbers of a dose curve have far to go in a fit of a few hundred steps.
const DOSE_RATE: f64 = 5.0;

/// The tensors of a network before its first step. What is not multiplied with anything does not decay: its start is a closed
/// form or a one, not zero.
pub fn slots(parameters: &Parameters) -> Vec<Slot> {
    let slot = |(name, variable): &(String, Var)| match name.as_str() {
        name if name.starts_with("adversary.") => Slot::new(name, variable, ADVERSARY_RATE, 0.0),
        name if name.starts_with("dose.") => Slot::new(name, variable, DOSE_RATE, 0.0),
        "log_inverse_dispersion" => Slot::new(name, variable, DISPERSION_RATE, 0.0),
        name if name.ends_with(".bias") || name.ends_with(".gain") => Slot::new(name, variable, 1.0, 0.0),
        _ => Slot::new(name, variable, 1.0, 1.0),
    };
    parameters.variables.iter().map(slot).collect()
}

//! A fitted scGPT: cells of any condition.

use candle_core::Device;
use ndarray::{Array2, ArrayView2, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::kept::Kept;
use super::network::{Network, Tokens};
use super::pairs::flags;
use super::params::ScgptParams;
use crate::Result;
use crate::conditions::Condition;
use crate::language::kernels::{alone, values};
use crate::language::parameters::{Parameters, device_of};
use crate::models::counts::check_draws_without_noise;
use crate::models::method::{Asked, FittedMethod, Made, written};
use crate::models::record::Record;
use crate::models::reference::Choice;

/// Cells that are read together.
const CELLS: usize = 8;

/// A fitted scGPT.
pub struct Scgpt {
    params: ScgptParams,
    kept: Kept,
    network: Network,
    device: Device,
}

impl Scgpt {
    /// Puts a model together from its parts.
    ///
    /// # Errors
    /// [`crate::Error::MissingKey`], [`crate::Error::ShapeMismatch`] or [`crate::Error::BadValues`] if the weights do
    /// not belong to the choices.
    pub(super) fn new(params: ScgptParams, kept: Kept) -> Result<Self> {
        let device = device_of(&kept.tensors);
        let mut parameters = Parameters::take(kept.tensors.clone(), &device);
        let network = Network::new(&mut parameters, &params, &kept.panel, kept.told.n_numbers(), Vec::new())?;
        Ok(Self { params, kept, network, device })
    }

    /// Takes a model out of a record.
    ///
    /// # Errors
    /// Those of reading the record; [`crate::Error::MissingKey`], [`crate::Error::ShapeMismatch`] or
    /// [`crate::Error::BadValues`] if the weights do not belong to the choices.
    pub fn take(params: ScgptParams, record: &mut Record, device: &Device) -> Result<Self> {
        Self::new(params, Kept::take(record, device)?)
    }

    /// Log-normalised expression of some control cells once they are perturbed: (n_cells, n_genes) → the same.
    fn perturb(&self, controls: ArrayView2<f32>, told: &[f32], perturbed: &[u32]) -> Result<Array2<f32>> {
        let n_cells = controls.nrows();
        let mut made = Array2::zeros(controls.dim());
        for genes in self.kept.panel.groups(self.params.n_genes) {
            let columns: Vec<usize> = genes.iter().map(|&gene| gene as usize).collect();
            let tokens = Tokens {
                genes: &genes,
                expression: controls.select(Axis(1), &columns).iter().copied().collect(),
                perturbed: flags(&genes, perturbed).repeat(n_cells),
                told: told.repeat(n_cells),
            };
            let expression = values(&self.network.forward(&tokens, &self.device)?)?;
            for (mut made, row) in made.rows_mut().into_iter().zip(expression.chunks_exact(genes.len())) {
                columns.iter().zip(row).for_each(|(&gene, &value)| made[gene] = value);
            }
        }
        Ok(made)
    }
}

impl FittedMethod for Scgpt {
    fn name(&self) -> &'static str {
        "scgpt"
    }

    fn params(&self) -> Result<serde_json::Value> {
        written(&self.params)
    }

    fn record(&self) -> Result<Record> {
        self.kept.record()
    }

    fn choice(&self) -> Option<&Choice> {
        self.kept.told.choice()
    }

    fn n_sources(&self, condition: &Condition) -> Option<usize> {
        Some(self.kept.controls.n_cells(condition))
    }

    /// Every control cell is perturbed once; where more cells are asked for than there are controls, they come again.
    fn make(&self, asked: &Asked) -> Result<Made> {
        check_draws_without_noise(self.name(), &asked.draws)?;
        let told = self.kept.told.numbers(asked.condition)?;
        let perturbed = self.kept.panel.perturbed(asked.condition);
        let mut rng = ChaCha8Rng::seed_from_u64(asked.seed);
        let n_controls = asked.n_cells.min(self.kept.controls.n_cells(asked.condition));
        // Without any, the draw of one says so.
        let controls = self.kept.controls.draw(asked.condition, n_controls.max(1), &mut rng)?;
        let blocks: Vec<ArrayView2<f32>> = controls.axis_chunks_iter(Axis(0), CELLS).collect();
        let projection = &self.kept.projection;
        let block = |block: ArrayView2<f32>| -> Result<Array2<f32>> {
            let made = alone(|| self.perturb(block, &told, &perturbed))?;
            Ok(made.dot(&projection.loadings) - &projection.offset)
        };
        let blocks: Vec<Array2<f32>> = blocks.into_par_iter().map(block).collect::<Result<_>>()?;
        let rows: Vec<_> = blocks.iter().flat_map(|block| block.rows()).collect();
        let mut cells = Array2::zeros((asked.n_cells, projection.offset.len()));
        cells.rows_mut().into_iter().zip(rows.iter().cycle()).for_each(|(mut cell, row)| cell.assign(row));
        Ok(Made::Components(cells))
    }
}

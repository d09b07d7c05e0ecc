//! A fitted CPA: cells of any condition.

use candle_core::Tensor;
use ndarray::Array2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::network::Network;
use super::params::CpaParams;
use crate::Result;
use crate::conditions::Condition;
use crate::language::kernels::values;
use crate::language::parameters::{Parameters, device_of};
use crate::models::counts::{Kept, check_draws_without_noise};
use crate::models::method::{Asked, FittedMethod, Made, Makes, written};
use crate::models::record::Record;
use crate::models::reference::Choice;

/// The stream of random numbers that control cells are drawn from; genes take the first ones.
const STREAM_OF_CONTROLS: u64 = u64::MAX - 1;

/// A fitted CPA.
pub struct Cpa {
    params: CpaParams,
    kept: Kept,
    network: Network,
}

impl Cpa {
    /// Puts a model together from its parts.
    ///
    /// # Errors
    /// [`crate::Error::MissingKey`], [`crate::Error::ShapeMismatch`] or [`crate::Error::BadValues`] if the weights do
    /// not belong to the choices, or control cells are absent.
    pub fn new(params: CpaParams, kept: Kept) -> Result<Self> {
        kept.controls()?;
        let mut parameters = Parameters::take(kept.tensors.clone(), &device_of(&kept.tensors));
        let network = Network::new(&mut parameters, &params, &kept.shape, None)?;
        Ok(Self { params, kept, network })
    }

    /// Numbers of an encoded control cell: its basal state.
    pub fn n_numbers(params: &CpaParams) -> usize {
        params.n_latent
    }

    /// What is added to a basal state: (n_latent).
    pub(super) fn shift(&self, condition: &Condition) -> Result<Vec<f32>> {
        let told = self.kept.shape.told.numbers(condition)?;
        let told = Tensor::from_vec(told.clone(), (1, told.len()), self.network.embeddings.device())?;
        Ok(values(&self.network.shift(&told)?)?)
    }
}

impl FittedMethod for Cpa {
    fn name(&self) -> &'static str {
        "cpa"
    }

    fn params(&self) -> Result<serde_json::Value> {
        written(&self.params)
    }

    fn record(&self) -> Result<Record> {
        self.kept.record()
    }

    fn makes(&self) -> Makes {
        Makes::Counts
    }

    fn choice(&self) -> Option<&Choice> {
        self.kept.shape.told.choice()
    }

    fn n_sources(&self, condition: &Condition) -> Option<usize> {
        self.kept.controls.as_ref().map(|controls| controls.n_cells(condition))
    }

    /// Basal states are those of control cells and draw no noise that a temperature could scale.
    fn make(&self, asked: &Asked) -> Result<Made> {
        check_draws_without_noise(self.name(), &asked.draws)?;
        let mut rng = ChaCha8Rng::seed_from_u64(asked.seed);
        rng.set_stream(STREAM_OF_CONTROLS);
        let mut latents: Array2<f32> = self.kept.controls()?.draw(asked.condition, asked.n_cells, &mut rng)?;
        let shift = self.shift(asked.condition)?;
        latents.rows_mut().into_iter().for_each(|row| row.into_iter().zip(&shift).for_each(|(x, by)| *x += by));
        let counts = self.network.decoder.generate(latents.view(), None, asked.library_sizes, asked.seed)?;
        Ok(Made::Counts { counts, library_sizes: asked.library_sizes.to_vec() })
    }
}

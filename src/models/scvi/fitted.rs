//! A fitted scVI: cells of any condition.

use ndarray::{Array2, s};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::network::Network;
use super::params::ScviParams;
use crate::Result;
use crate::conditions::Condition;
use crate::language::parameters::{Parameters, device_of};
use crate::models::counts::{Kept, check_draws};
use crate::models::method::{Asked, FittedMethod, Made, Makes, written};
use crate::models::record::Record;
use crate::models::reference::Choice;
use crate::models::source::Source;
use crate::numbers::normal;

/// The stream of random numbers that latents are drawn from; genes take the first ones.
const STREAM_OF_LATENTS: u64 = u64::MAX - 1;

/// A fitted scVI.
pub struct Scvi {
    params: ScviParams,
    kept: Kept,
    network: Network,
}

impl Scvi {
    /// Puts a model together from its parts.
    ///
    /// # Errors
    /// [`crate::Error::MissingKey`], [`crate::Error::ShapeMismatch`] or [`crate::Error::BadValues`] if the weights do
    /// not belong to the choices, or control cells are needed and absent.
    pub fn new(params: ScviParams, kept: Kept) -> Result<Self> {
        if params.source == Source::Control {
            kept.controls()?;
        }
        let mut parameters = Parameters::take(kept.tensors.clone(), &device_of(&kept.tensors));
        let network = Network::new(&mut parameters, &params, &kept.shape, None)?;
        Ok(Self { params, kept, network })
    }

    /// Numbers of an encoded control cell: means and deviations of its latent.
    pub fn n_numbers(params: &ScviParams) -> usize {
        2 * params.n_latent
    }

    /// Latents of cells: (n_cells, n_latent).
    fn latents(&self, asked: &Asked) -> Result<Array2<f32>> {
        let mut rng = ChaCha8Rng::seed_from_u64(asked.seed);
        rng.set_stream(STREAM_OF_LATENTS);
        let n_latent = self.params.n_latent;
        let noise = |rng: &mut ChaCha8Rng| normal(asked.n_cells, n_latent, rng) * asked.draws.temperature;
        Ok(match self.params.source {
            Source::Noise => noise(&mut rng),
            Source::Control => {
                let controls = self.kept.controls()?.draw(asked.condition, asked.n_cells, &mut rng)?;
                let deviations = controls.slice(s![.., n_latent..]);
                &controls.slice(s![.., ..n_latent]) + &(noise(&mut rng) * deviations)
            }
        })
    }
}

impl FittedMethod for Scvi {
    fn name(&self) -> &'static str {
        "scvi"
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

    /// The temperature scales the noise of latents; counts are drawn from their law always.
    fn make(&self, asked: &Asked) -> Result<Made> {
        check_draws(self.name(), &asked.draws)?;
        let told = self.kept.shape.told.numbers(asked.condition)?;
        let latents = self.latents(asked)?;
        let sizes = asked.library_sizes;
        let counts = self.network.decoder().generate(latents.view(), Some(&told), sizes, asked.seed)?;
        Ok(Made::Counts { counts, library_sizes: sizes.to_vec() })
    }
}

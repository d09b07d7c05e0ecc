//! Fitting: the loss of a random minibatch.

use candle_core::{Device, Tensor};
use rand_chacha::ChaCha8Rng;

use super::fitted::Scvi;
use super::network::Network;
use super::params::ScviParams;
use crate::Result;
use crate::language::parameters::Parameters;
use crate::models::counts::{self, Batch, CountData, Dropout, Kept, negative_log_likelihood};
use crate::models::method::{FittedMethod, Fitting};
use crate::models::reference::Choice;
use crate::models::source::Source;
use crate::models::training_data::TrainingData;
use crate::numbers::normal;
use crate::training::optimizer::Slot;
use crate::training::{Objective, Part, sum_of};

/// A minibatch is split into parts of about this many cells, each on a thread of its own.
const CELLS_PER_PART: usize = 32;

/// An scVI that is being fitted.
pub struct ScviObjective {
    params: ScviParams,
    data: CountData,
    network: Network,
    parameters: Parameters,
    device: Device,
}

impl ScviObjective {
    /// Prepares the fit: the counts of all training cells are read, in sparse rows; the network is drawn on the device.
    ///
    /// # Errors
    /// Those of [`ScviParams::check`] and [`CountData::read`].
    pub fn new(data: &TrainingData, params: ScviParams, seed: u64, device: &Device) -> Result<Self> {
        params.check()?;
        let data = CountData::read(data, params.centre, seed)?;
        let mut parameters = Parameters::draw(seed, 0, device);
        let network = Network::new(&mut parameters, &params, &data.shape, Some(&data.start))?;
        Ok(Self { params, data, network, parameters, device: device.clone() })
    }

    /// The model as it is now, for generation.
    ///
    /// # Errors
    /// [`crate::Error::BadValues`] if a weight is not finite.
    pub fn to_model(&self) -> Result<Scvi> {
        let encode = |batch: &Batch<'_>| {
            let latents = self.network.encode(&batch.log_counts(&self.device)?, &batch.told(&self.device)?, None)?;
            Ok(Tensor::cat(&[latents.mean, latents.variance.sqrt()?], 1)?)
        };
        let controls = match self.params.source {
            Source::Noise => None,
            Source::Control => Some(self.data.controls.encode(&self.data.cells, encode)?),
        };
        Scvi::new(self.params, Kept { shape: self.data.shape.clone(), controls, tensors: self.parameters.copies()? })
    }

    /// (−ln p(x | z, s) + w KL) / number of genes, the mean over cells.
    fn loss_of(&self, batch: &Batch<'_>, weight: f64, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let told = batch.told(&self.device)?;
        let noise = normal(batch.n_cells(), self.params.n_latent, rng);
        let shape = noise.dim();
        let noise = Tensor::from_vec(noise.into_raw_vec_and_offset().0, shape, &self.device)?;
        let dropout = (self.params.dropout > 0.0).then_some(Dropout { probability: self.params.dropout, rng });
        let latents = self.network.encode(&batch.log_counts(&self.device)?, &told, dropout)?;
        let outputs = self.network.decode(&latents.at(&noise)?, &told)?;
        let loss = negative_log_likelihood(&outputs, batch, self.data.shape.depth.factor)?;
        Ok((loss + (latents.divergence()? * (weight / batch.n_genes() as f64))?)?)
    }
}

impl Objective for ScviObjective {
    fn loss(&self, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        sum_of(self.parts(rng)?)
    }

    fn parts(&self, rng: &mut ChaCha8Rng) -> Result<Vec<Part<'_>>> {
        self.parts_at(1.0, rng)
    }

    fn parts_at(&self, done: f64, rng: &mut ChaCha8Rng) -> Result<Vec<Part<'_>>> {
        let weight = self.params.divergence_weight(done);
        let batch = self.data.cells.draw(self.params.n_cells, rng);
        Ok(batch.parts(CELLS_PER_PART, rng, move |batch, rng| self.loss_of(batch, weight, rng)))
    }
}

impl Fitting for ScviObjective {
    fn slots(&self) -> Vec<Slot> {
        counts::slots(&self.parameters)
    }

    fn choice(&self) -> Option<&Choice> {
        self.data.shape.told.choice()
    }

    fn model(&self) -> Result<Box<dyn FittedMethod>> {
        Ok(Box::new(self.to_model()?))
    }
}

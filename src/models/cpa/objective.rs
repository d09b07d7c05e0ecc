//! Fitting: the loss of a random minibatch.

use candle_core::{Device, Tensor};
use rand_chacha::ChaCha8Rng;

use super::adversary::Adversaries;
use super::fitted::Cpa;
use super::network::Network;
use super::params::CpaParams;
use crate::Result;
use crate::language::parameters::Parameters;
use crate::models::counts::{self, Batch, CountData, Kept, negative_log_likelihood};
use crate::models::method::{FittedMethod, Fitting};
use crate::models::reference::Choice;
use crate::models::training_data::TrainingData;
use crate::training::optimizer::Slot;
use crate::training::{Objective, Part, sum_of};

/// A minibatch is split into parts of about this many cells, each on a thread of its own.
const CELLS_PER_PART: usize = 32;

/// A CPA that is being fitted.
pub struct CpaObjective {
    pub(super) params: CpaParams,
    pub(super) data: CountData,
    pub(super) network: Network,
    pub(super) adversaries: Adversaries,
    parameters: Parameters,
    device: Device,
}

impl CpaObjective {
    /// Prepares the fit: the counts of all training cells are read, in sparse rows; the network is drawn on the device.
    ///
    /// # Errors
    /// Those of [`CpaParams::check`] and [`CountData::read`].
    pub fn new(data: &TrainingData, params: CpaParams, seed: u64, device: &Device) -> Result<Self> {
        params.check()?;
        let data = CountData::read(data, params.centre, seed)?;
        let mut parameters = Parameters::draw(seed, 0, device);
        let network = Network::new(&mut parameters, &params, &data.shape, Some(&data.start))?;
        let adversaries = Network::adversaries(&mut parameters, &params, &data.shape)?;
        Ok(Self { params, data, network, adversaries, parameters, device: device.clone() })
    }

    /// The model as it is now, for generation.
    ///
    /// # Errors
    /// [`crate::Error::BadValues`] if a weight is not finite.
    pub fn to_model(&self) -> Result<Cpa> {
        let encode = |batch: &Batch<'_>| self.network.encode(&batch.log_counts(&self.device)?);
        let controls = Some(self.data.controls.encode(&self.data.cells, encode)?);
        Cpa::new(self.params, Kept { shape: self.data.shape.clone(), controls, tensors: self.parameters.copies()? })
    }

    /// −ln p(x | latent) / number of genes, plus what the adversaries add: the mean over cells.
    fn loss_of(&self, batch: &Batch<'_>) -> Result<Tensor> {
        let codes = batch.codes(&self.device)?;
        let basal = self.network.encode(&batch.log_counts(&self.device)?)?;
        let outputs = self.network.decode(&self.network.compose(&basal, &batch.told(&self.device)?)?)?;
        let loss = negative_log_likelihood(&outputs, batch, self.data.shape.depth.factor)?;
        match self.adversaries.loss(&basal, &codes, self.params.adversary, self.params.penalty)? {
            Some(adversarial) => Ok((loss + adversarial)?),
            None => Ok(loss),
        }
    }
}

impl Objective for CpaObjective {
    fn loss(&self, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        sum_of(self.parts(rng)?)
    }

    fn parts(&self, rng: &mut ChaCha8Rng) -> Result<Vec<Part<'_>>> {
        let batch = self.data.cells.draw(self.params.n_cells, rng);
        Ok(batch.parts(CELLS_PER_PART, rng, move |batch, _| self.loss_of(batch)))
    }
}

impl Fitting for CpaObjective {
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

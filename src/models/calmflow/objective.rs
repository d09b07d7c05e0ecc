//! Fitting: the loss of a random minibatch.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use ndarray::ArrayView2;
use rand_chacha::ChaCha8Rng;

use super::generate::CalmFlow;
use super::network::{Decoder, Network};
use super::params::CalmFlowParams;
use super::trajectories::Trajectories;
use crate::Result;
use crate::conditions::Condition;
use crate::conditions::prompt::Template;
use crate::language::parameters::Parameters;
use crate::models::method::{FittedMethod, Fitting};
use crate::models::minibatch::TrainingCells;
use crate::models::prompts::Prompts;
use crate::models::reader::Reader;
use crate::training::Objective;
use crate::training::optimizer::Slot;

/// The gates of the mixture learn this much faster, and do not decay: their start is a closed form, not zero.
const GATE_RATE: f64 = 10.0;

/// A CaLMFlow that is being fitted.
pub struct CalmFlowObjective {
    params: CalmFlowParams,
    reader: Reader,
    network: Network,
    parameters: Parameters,
    cells: TrainingCells,
}

impl CalmFlowObjective {
    /// Prepares the fit: the guide and the tokenizer are fitted here, the network is drawn.
    ///
    /// **Shapes** `embedding`: (n_cells, n_dims), training cells only; one condition per cell.
    ///
    /// # Errors
    /// Those of [`CalmFlowParams::check`] and [`Reader::fit`].
    pub fn new(
        embedding: ArrayView2<f32>,
        conditions: &[Condition],
        template: Template,
        params: CalmFlowParams,
        seed: u64,
    ) -> Result<Self> {
        Self::on(&Device::Cpu, embedding, conditions, template, params, seed)
    }

    /// As [`Self::new`], with the network on another device.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn on(
        device: &Device,
        embedding: ArrayView2<f32>,
        conditions: &[Condition],
        template: Template,
        params: CalmFlowParams,
        seed: u64,
    ) -> Result<Self> {
        params.check()?;
        let reader = Reader::fit(embedding, conditions, template, (params.centre, params.source), seed)?;
        let cells = TrainingCells::new(embedding, conditions, &reader)?;
        let mut parameters = Parameters::draw(seed, device);
        let network = Network::new(&mut parameters, params, reader.sizes())?;
        Ok(Self { params, reader, network, parameters, cells })
    }

    #[cfg(test)]
    pub(super) fn network(&self) -> &Network {
        &self.network
    }

    pub(super) fn draw_minibatch(&self, rng: &mut ChaCha8Rng) -> Result<(Prompts, Trajectories)> {
        let params = &self.params;
        let minibatch = self.cells.draw(&self.reader, params.minibatch(), rng)?;
        let points = params.path.draw(minibatch.x0.view(), minibatch.x1.view(), params.n_steps, rng);
        let prompts = minibatch.prompts(self.reader.tokenizer.n_tokens(), params.n_trajectories)?;
        Ok((prompts, Trajectories::pack(points.view(), params.order())))
    }

    /// The model as it is now, for generation.
    ///
    /// # Errors
    /// [`crate::Error::BadValues`] if a weight is not finite.
    pub fn into_model(self) -> Result<CalmFlow> {
        let tensors: HashMap<String, Tensor> = self.parameters.tensors();
        CalmFlow::new(self.reader, self.params, tensors)
    }
}

impl Objective for CalmFlowObjective {
    fn loss(&self, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let (prompts, trajectories) = self.draw_minibatch(rng)?;
        let conditioning = self.network.read_prompts(&prompts)?;
        let hidden = self.network.hidden(&trajectories.present()?, &prompts, &conditioning)?;
        match &self.network.decoder {
            Decoder::Mixture(mixture) => {
                let centre = conditioning.centre.as_ref();
                mixture.loss(&hidden, centre, &prompts.of_sequence, Arc::new(trajectories))
            }
            Decoder::Variational(variational) => variational.loss(&hidden, &trajectories, rng),
        }
    }
}

impl Fitting for CalmFlowObjective {
    fn slots(&self) -> Vec<Slot> {
        let slot = |(name, variable): &(String, candle_core::Var)| match name.as_str() {
            "mixture.gates" => Slot::new(name, variable, GATE_RATE, 0.0),
            _ => Slot::new(name, variable, 1.0, 1.0),
        };
        self.parameters.variables.iter().map(slot).collect()
    }

    fn reader(&self) -> &Reader {
        &self.reader
    }

    fn finish(self: Box<Self>) -> Result<Box<dyn FittedMethod>> {
        Ok(Box::new(self.into_model()?))
    }
}

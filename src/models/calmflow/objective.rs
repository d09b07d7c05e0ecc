//! Fitting: the loss of a random minibatch.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use ndarray::ArrayView2;
use rand_chacha::ChaCha8Rng;

use super::generate::CalmFlow;
use super::language::LanguageStart;
use super::network::{Decoder, Network};
use super::params::CalmFlowParams;
use super::trajectories::Trajectories;
use crate::Result;
use crate::conditions::Condition;
use crate::error::refuse;
use crate::language::parameters::Parameters;
use crate::models::described::{Strength, Wording};
use crate::models::members::Members;
use crate::models::method::{FittedMethod, Fitting};
use crate::models::minibatch::{Minibatch, TrainingCells};
use crate::models::prompts::Prompts;
use crate::models::reader::Reader;
use crate::models::reference::Choice;
use crate::numbers::fill_normal;
use crate::training::optimizer::Slot;
use crate::training::{Objective, Part, sum_of};

/// A minibatch is split into parts of about this many tokens, whose numbers stay in the cache of one core.
const TOKENS_PER_PART: usize = 256;

/// A CaLMFlow that is being fitted.
pub struct CalmFlowObjective {
    params: CalmFlowParams,
    reader: Reader,
    members: Members<Network>,
    cells: TrainingCells,
}

impl CalmFlowObjective {
    /// Prepares the fit: the guide and, unless a language model brings one, the tokenizer are fitted here, the network is drawn
    /// on the device around what is given of it.
    ///
    /// **Shapes** `embedding`: (n_cells, n_dims), training cells only; one condition per cell.
    ///
    /// # Errors
    /// Those of [`CalmFlowParams::check`] and [`Reader::fit`].
    pub fn new(
        embedding: ArrayView2<f32>,
        conditions: &[Condition],
        wording: Wording,
        params: CalmFlowParams,
        language: Option<LanguageStart>,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        params.check()?;
        let (given, tokenizer) = match language {
            Some(language) => (language.tensors, language.tokenizer),
            None => (HashMap::new(), wording.phrasing.fit_tokenizer(conditions)?),
        };
        let mut reader = Reader::fit(embedding, conditions, wording, tokenizer, params.reader(), seed)?;
        if let Some(language) = &params.language {
            let (context, n_own) = (language.network.context, params.order().n_tokens());
            let Some(room) = context.checked_sub(n_own).filter(|room| *room > 0) else {
                let reason =
                    format!("the language model reads at most {context} tokens, and the flow alone has {n_own}");
                return refuse("time-steps", params.n_steps, &reason);
            };
            reader = reader.within(room, conditions, params.reader().reads_order)?;
        }
        let cells = TrainingCells::new(embedding, conditions, &reader, params.reader().reads_order)?;
        let network = |parameters: &mut Parameters| Network::new(parameters, params, reader.sizes());
        let members = Members::draw(params.n_members, seed, device, given, network)?;
        Ok(Self { params, reader, members, cells })
    }

    #[cfg(test)]
    pub(super) fn network(&self) -> &Network {
        &self.members.networks[0]
    }

    pub(super) fn draw_minibatch(&self, rng: &mut ChaCha8Rng) -> Result<Minibatch<'_>> {
        self.cells.draw(&self.reader, self.params.minibatch(), rng)
    }

    /// Draws the paths between the ends of a minibatch.
    pub(super) fn pack(&self, minibatch: &Minibatch<'_>, rng: &mut ChaCha8Rng) -> Result<(Prompts, Trajectories)> {
        let params = &self.params;
        let points = params.path.draw(minibatch.x0.view(), minibatch.x1.view(), params.n_steps, rng);
        let prompts = minibatch.prompts(self.reader.tokenizer.n_tokens(), params.n_trajectories)?;
        Ok((prompts, Trajectories::pack(points.view(), params.order())))
    }

    /// The mean loss of a network over the states of a minibatch: a scalar.
    fn loss_of(&self, network: &Network, minibatch: &Minibatch<'_>, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let (prompts, trajectories) = self.pack(minibatch, rng)?;
        let conditioning = network.read_prompts(&prompts)?;
        let mut states = trajectories.present()?;
        if self.params.history_noise > 0.0 {
            let mut noise = vec![0.0; states.elem_count()];
            fill_normal(rng, &mut noise);
            let noise = Tensor::from_vec(noise, states.shape(), &Device::Cpu)?;
            states = (states + (noise * f64::from(self.params.history_noise))?)?;
        }
        let hidden = network.hidden(&states, &prompts, &conditioning)?;
        match &network.decoder {
            Decoder::Mixture(mixture) => {
                let centre = conditioning.centre.as_ref();
                mixture.loss(&hidden, centre, &prompts.of_sequence, Arc::new(trajectories))
            }
            Decoder::Variational(variational) => variational.loss(&hidden, &trajectories, rng),
        }
    }

    /// The model as it is now, for generation.
    ///
    /// # Errors
    /// [`crate::Error::BadValues`] if a weight is not finite.
    pub fn to_model(&self) -> Result<CalmFlow> {
        CalmFlow::new(self.reader.clone(), self.params, self.members.copies()?)
    }
}

impl Objective for CalmFlowObjective {
    fn loss(&self, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        sum_of(self.parts(rng)?)
    }

    fn parts(&self, rng: &mut ChaCha8Rng) -> Result<Vec<Part<'_>>> {
        let (mut parts, share) = (Vec::new(), 1.0 / self.members.networks.len() as f64);
        for network in &self.members.networks {
            let minibatch = self.draw_minibatch(rng)?;
            let n_cells = minibatch.x0.nrows();
            let n_tokens = n_cells / self.params.n_trajectories * self.params.order().n_tokens();
            // A large model has gradients too large to hold them several times; its products fill all threads by themselves.
            let n_parts = if self.params.language.is_some() { 1 } else { (n_tokens / TOKENS_PER_PART).max(1) };
            let multiple = self.params.n_trajectories;
            let loss_of = move |minibatch: &Minibatch<'_>, rng: &mut ChaCha8Rng| self.loss_of(network, minibatch, rng);
            parts.extend(minibatch.parts(n_parts, multiple, share, rng, loss_of));
        }
        Ok(parts)
    }
}

impl Fitting for CalmFlowObjective {
    fn slots(&self) -> Vec<Slot> {
        let mut slots = self.members.slots("mixture.gates");
        if let Some(language) = &self.params.language {
            language.set_rates(&mut slots);
        }
        slots
    }

    fn choice(&self) -> Option<&Choice> {
        self.reader.guide.choice()
    }

    fn strength(&self) -> Option<&Strength> {
        self.reader.guide.strength()
    }

    fn model(&self) -> Result<Box<dyn FittedMethod>> {
        Ok(Box::new(self.to_model()?))
    }
}

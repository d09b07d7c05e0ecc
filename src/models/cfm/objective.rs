//! Fitting: the loss of a random minibatch.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use ndarray::{Array2, ArrayView2};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::generate::Cfm;
use super::network::{Fields, Network};
use super::params::CfmParams;
use crate::Result;
use crate::conditions::Condition;
use crate::flow::Points;
use crate::language::parameters::Parameters;
use crate::models::described::{Strength, Wording};
use crate::models::members::Members;
use crate::models::method::{FittedMethod, Fitting};
use crate::models::minibatch::{Minibatch, TrainingCells};
use crate::models::reader::Reader;
use crate::models::reference::Choice;
use crate::training::optimizer::Slot;
use crate::training::{Objective, Part, sum_of};

/// A minibatch is split into parts of about this many cells, whose numbers stay in the cache of one core.
const CELLS_PER_PART: usize = 64;

/// A velocity field that is being fitted.
pub struct CfmObjective {
    params: CfmParams,
    reader: Reader,
    members: Members<Network>,
    cells: TrainingCells,
}

impl CfmObjective {
    /// Prepares the fit: the guide and the tokenizer are fitted here, the network is drawn on the device.
    ///
    /// **Shapes** `embedding`: (n_cells, n_dims), training cells only; one condition per cell.
    ///
    /// # Errors
    /// Those of [`CfmParams::check`] and [`Reader::fit`].
    pub fn new(
        embedding: ArrayView2<f32>,
        conditions: &[Condition],
        wording: Wording,
        params: CfmParams,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        params.check()?;
        let tokenizer = wording.phrasing.fit_tokenizer(conditions)?;
        let reader = Reader::fit(embedding, conditions, wording, tokenizer, params.reader(), seed)?;
        let cells = TrainingCells::new(embedding, conditions, &reader, params.reader().reads_order)?;
        let network = |parameters: &mut Parameters| Network::new(parameters, &params, reader.sizes());
        let members = Members::draw(params.n_members, seed, device, HashMap::new(), network)?;
        Ok(Self { params, reader, members, cells })
    }

    /// The model as it is now, for generation.
    ///
    /// # Errors
    /// [`crate::Error::BadValues`] if a weight is not finite.
    pub fn to_model(&self) -> Result<Cfm> {
        Cfm::new(self.reader.clone(), self.params, self.members.copies()?)
    }
}

impl Objective for CfmObjective {
    fn loss(&self, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        sum_of(self.parts(rng)?)
    }

    fn parts(&self, rng: &mut ChaCha8Rng) -> Result<Vec<Part<'_>>> {
        let (mut parts, share) = (Vec::new(), 1.0 / self.members.networks.len() as f64);
        for network in &self.members.networks {
            let minibatch = self.cells.draw(&self.reader, self.params.minibatch(), rng)?;
            let n_parts = (minibatch.x1.nrows() / CELLS_PER_PART).max(1);
            let loss_of = move |minibatch: &Minibatch<'_>, rng: &mut ChaCha8Rng| self.loss_of(network, minibatch, rng);
            parts.extend(minibatch.parts(n_parts, 1, share, rng, loss_of));
        }
        Ok(parts)
    }
}

impl CfmObjective {
    /// The mean of (v_θ(x_t, t) − u_t)² over cells and dimensions, t ~ U(0, 1) for each cell; where the score is learned, plus
    /// that of (λ_t s_θ(x_t, t) + ε)² ([`crate::flow::Spread::weight_of_score`]).
    fn loss_of(&self, network: &Network, minibatch: &Minibatch<'_>, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let prompts = minibatch.prompts(self.reader.tokenizer.n_tokens(), minibatch.n_cells_each)?;
        let (n_cells, n_dims) = minibatch.x1.dim();
        let times: Vec<f32> = (0..n_cells).map(|_| rng.random()).collect();
        let spread = self.params.spread();
        let Points { xt, ut, noise } = spread.draw(minibatch.x0.view(), minibatch.x1.view(), &times, rng);
        let Fields { velocity, score } = network.fields(xt.view(), &times, &network.read(&prompts)?)?;
        let device = velocity.device();
        let target =
            |values: Array2<f32>| Tensor::from_vec(values.into_raw_vec_and_offset().0, (n_cells, n_dims), device);
        let of_velocity = (&velocity - target(ut)?)?.sqr()?.mean_all()?;
        let Some(score) = score else { return Ok(of_velocity) };
        let weights: Vec<f32> = times.iter().map(|&t| spread.weight_of_score(t)).collect();
        let weights = Tensor::from_vec(weights, (n_cells, 1), device)?;
        Ok((of_velocity + (score.broadcast_mul(&weights)? + target(noise)?)?.sqr()?.mean_all()?)?)
    }
}

impl Fitting for CfmObjective {
    fn slots(&self) -> Vec<Slot> {
        self.members.slots("gates")
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

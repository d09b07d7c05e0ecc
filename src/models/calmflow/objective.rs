//! Fitting: random minibatches of conditions and cells, and their loss.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use candle_core::{Device, Tensor};
use ndarray::{Array2, ArrayView2, Axis};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::generate::{CalmFlow, Reader};
use super::network::{Decoder, Network};
use super::params::CalmFlowParams;
use super::prompts::{Prompts, Told};
use super::trajectories::Trajectories;
use crate::conditions::Condition;
use crate::conditions::prompt::Template;
use crate::conditions::tokenizer::Tokenizer;
use crate::language::parameters::Parameters;
use crate::models::guide::{Guide, View};
use crate::training::Objective;
use crate::training::optimizer::Slot;
use crate::{Error, Result};

/// The gates of the mixture learn this much faster, and do not decay: their start is a closed form, not zero.
const GATE_RATE: f64 = 10.0;

/// Cells of a training condition in flow coordinates, with what the network is told of it: (n_cells, n_dims).
type Group = (Told, Array2<f32>);

/// A CaLMFlow that is being fitted.
pub struct CalmFlowObjective {
    reader: Reader,
    network: Network,
    parameters: Parameters,
    /// The training conditions, each in all the ways in which it is met.
    groups: Vec<Vec<Group>>,
}

impl CalmFlowObjective {
    /// Prepares the fit: the guide and the tokenizer are fitted here, the network is drawn.
    ///
    /// **Shapes** `embedding`: (n_cells, n_dims), training cells only; one condition per cell.
    ///
    /// # Errors
    /// Those of [`CalmFlowParams::check`], [`Guide::fit`] and the tokenizer.
    pub fn new(
        embedding: ArrayView2<f32>,
        conditions: &[Condition],
        template: Template,
        params: CalmFlowParams,
        seed: u64,
    ) -> Result<Self> {
        params.check()?;
        let guide = Guide::fit(embedding, conditions, params.centre, seed)?;
        let mut rows = BTreeMap::<&Condition, Vec<usize>>::new();
        for (row, condition) in conditions.iter().enumerate() {
            rows.entry(condition).or_default().push(row);
        }
        let prompts: Vec<String> = rows.keys().map(|condition| template.fill(condition)).collect();
        let tokenizer = Tokenizer::fit(&prompts)?;
        let longest = prompts.iter().map(|prompt| Ok(tokenizer.encode(prompt)?.len())).collect::<Result<Vec<_>>>()?;
        let n_prompt_tokens = longest.into_iter().max().unwrap_or(0) + Reader::ROOM_FOR_LONGER_PROMPTS;
        let reader = Reader { params, guide, tokenizer, template, n_prompt_tokens };
        let mut groups = Vec::with_capacity(rows.len());
        for (condition, rows) in rows {
            let cells = embedding.select(Axis(0), &rows);
            let group = |view: &View| -> Result<Group> {
                Ok((reader.told(condition, view)?, reader.guide.standardise(cells.view(), &view.centre)))
            };
            groups.push(reader.guide.training_views(condition)?.iter().map(group).collect::<Result<_>>()?);
        }
        let mut parameters = Parameters::draw(seed, &Device::Cpu);
        let network = Network::new(&mut parameters, params, reader.sizes())?;
        Ok(Self { reader, network, parameters, groups })
    }

    /// The trainable tensors.
    pub fn slots(&self) -> Vec<Slot> {
        let slot = |(name, variable): &(String, candle_core::Var)| match name.as_str() {
            "mixture.gates" => Slot::new(name, variable, GATE_RATE, 0.0),
            _ => Slot::new(name, variable, 1.0, 1.0),
        };
        self.parameters.variables.iter().map(slot).collect()
    }

    /// What conditions are measured from.
    pub fn guide(&self) -> &Guide {
        &self.reader.guide
    }

    #[cfg(test)]
    pub(super) fn network(&self) -> &Network {
        &self.network
    }

    /// The model as it is now, for generation.
    ///
    /// # Errors
    /// [`Error::BadValues`] if a weight is not finite.
    pub fn finish(self) -> Result<CalmFlow> {
        let tensors: HashMap<String, Tensor> = self.parameters.tensors();
        CalmFlow::new(self.reader, tensors)
    }

    pub(super) fn draw_minibatch(&self, rng: &mut ChaCha8Rng) -> Result<(Prompts, Trajectories)> {
        let params = &self.reader.params;
        let per_prompt = (params.n_cells / params.n_prompts / params.n_trajectories).max(1);
        let n_dims = self.reader.guide.n_dims();
        let n_cells = params.n_prompts * per_prompt * params.n_trajectories;
        let (mut told, mut of_sequence, mut ends) = (Vec::new(), Vec::new(), Vec::with_capacity(n_cells * n_dims));
        for prompt in 0..params.n_prompts {
            let views = &self.groups[rng.random_range(0..self.groups.len())];
            // A single view costs no draw, so that the other centres give the models that they always gave.
            let view = if views.len() > 1 { rng.random_range(0..views.len()) } else { 0 };
            let (of_group, cells) = &views[view];
            told.push(of_group);
            of_sequence.extend(std::iter::repeat_n(prompt as u32, per_prompt));
            for _ in 0..per_prompt * params.n_trajectories {
                ends.extend(cells.row(rng.random_range(0..cells.nrows())));
            }
        }
        let shape = |source| Error::backend("packing a minibatch", source);
        let x1 = Array2::from_shape_vec((n_cells, n_dims), ends).map_err(shape)?;
        let x0 = Array2::from_shape_simple_fn((n_cells, n_dims), || StandardNormal.sample(rng));
        let points = params.path.draw(x0.view(), x1.view(), params.n_steps, rng);
        let prompts = Prompts::new(&told, self.reader.tokenizer.n_tokens(), of_sequence)?;
        Ok((prompts, Trajectories::pack(points.view(), params.order())))
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

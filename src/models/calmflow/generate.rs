//! A fitted CaLMFlow: cells of any condition.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use ndarray::{Array2, ArrayView2, Axis};
use rand_chacha::ChaCha8Rng;

use super::mixture::Present;
use super::network::{Conditioning, Decoder, Network};
use super::params::CalmFlowParams;
use crate::conditions::Condition;
use crate::error::refuse;
use crate::language::kernels::past::LANES;
use crate::language::kernels::values;
use crate::language::kv_cache::Cache;
use crate::language::parameters::Parameters;
use crate::models::fitted_flow::FittedFlow;
use crate::models::generation::{Anchors, Generation};
use crate::models::members;
use crate::models::method::{Draws, written};
use crate::models::prompts::Prompts;
use crate::models::reader::{Reader, Told};
use crate::{Error, Result};

/// Numbers of keys and values that generation holds at most: 256 MiB.
const MOST_NUMBERS: usize = 1 << 26;

/// A fitted CaLMFlow.
pub struct CalmFlow {
    reader: Reader,
    params: CalmFlowParams,
    tensors: HashMap<String, Tensor>,
    networks: Vec<Network>,
    anchors: Anchors,
}

impl CalmFlow {
    /// Puts a model together from its parts.
    ///
    /// # Errors
    /// [`Error::MissingKey`], [`Error::ShapeMismatch`] or [`Error::BadValues`] if the weights do not belong to the choices.
    pub fn new(reader: Reader, params: CalmFlowParams, tensors: HashMap<String, Tensor>) -> Result<Self> {
        reader.check_source(params.source)?;
        reader.check_evidence(params.evidence)?;
        let network = |parameters: &mut Parameters| Network::new(parameters, params, reader.sizes());
        let networks = members::take(params.n_members, &tensors, network)?;
        Ok(Self { reader, params, tensors, networks, anchors: Anchors::default() })
    }

    /// Everything that a network needs, to generate, of what is told of a condition.
    fn side(&self, network: &Network, told: &Told, n_sequences: usize) -> Result<Side> {
        let prompts = Prompts::new(&[told], self.reader.tokenizer.n_tokens(), vec![0; n_sequences])?;
        let conditioning = network.read_prompts(&prompts)?;
        let cache = network.cache(&prompts, &conditioning)?;
        let centre = conditioning.centre.as_ref().map(values).transpose()?.unwrap_or_default();
        Ok(Side { conditioning, cache, centre })
    }

    /// As [`Self::solve`], so many sequences at a time that the past of a large language model stays within bounds.
    fn solve_in_blocks(
        &self,
        network: &Network,
        told: &Told,
        x0: ArrayView2<f32>,
        draws: Draws,
        rng: &mut ChaCha8Rng,
    ) -> Result<Vec<f32>> {
        let per_sequence = self.params.order().n_tokens() * network.n_numbers_per_token();
        let n_sequences = match self.params.language {
            Some(_) => (MOST_NUMBERS / per_sequence).max(1).next_multiple_of(LANES),
            None => usize::MAX / self.params.n_trajectories,
        };
        let mut cells = Vec::with_capacity(x0.len());
        for block in x0.axis_chunks_iter(Axis(0), n_sequences * self.params.n_trajectories) {
            cells.extend(self.solve(network, told, block, draws, rng)?);
        }
        Ok(cells)
    }

    /// Source points → cells in flow coordinates: (n_cells, n_dims) → the same, row by row.
    ///
    /// With guidance G every step is made of what the network says of the condition and of none: the mean of the component
    /// drawn (mixture), or the decoded state (variational), is m_none + G (m_condition − m_none) (Ho & Salimans 2022, arXiv
    /// 2207.12598, in the form where 1 is no guidance).
    fn solve(
        &self,
        network: &Network,
        told: &Told,
        x0: ArrayView2<f32>,
        draws: Draws,
        rng: &mut ChaCha8Rng,
    ) -> Result<Vec<f32>> {
        let (n_states, n_dims) = x0.dim();
        let n_sequences = n_states / self.params.n_trajectories;
        let mut side = self.side(network, told, n_sequences)?;
        let mut none = match draws.guidance == 1.0 {
            true => None,
            false => Some(self.side(network, &self.reader.nothing(), n_sequences)?),
        };
        let source: Vec<f32> = x0.iter().copied().collect();
        let towards = |none: f32, own: f32| none + draws.guidance * (own - none);
        let centre: Vec<f32> = match &none {
            Some(none) => none.centre.iter().zip(&side.centre).map(|(none, own)| towards(*none, *own)).collect(),
            None => side.centre.clone(),
        };
        let mut now = source.clone();
        for step in 0..self.params.n_steps {
            let states = Tensor::from_slice(&now, (n_states, n_dims), &Device::Cpu)?;
            let mut run = |side: &mut Side| network.extend(&states, step, &mut side.cache, &side.conditioning);
            let hidden = run(&mut side)?;
            let of_none = none.as_mut().map(&mut run).transpose()?;
            now = match &network.decoder {
                Decoder::Mixture(mixture) => {
                    // Means are affine in the hidden numbers, so to move these is to move the means.
                    let guided = of_none
                        .map(|none| Ok::<_, Error>((&none + ((&hidden - &none)? * f64::from(draws.guidance))?)?));
                    let guided = guided.transpose()?;
                    let present = Present { now: &now, source: &source, centre: &centre, guided: guided.as_ref() };
                    mixture.step(&hidden, step, &present, draws.temperature, rng)?
                }
                Decoder::Variational(variational) => {
                    let mut same = rng.clone();
                    let mut next = values(&variational.step(&hidden, draws.temperature, rng)?)?;
                    if let Some(of_none) = of_none {
                        let none = values(&variational.step(&of_none, draws.temperature, &mut same)?)?;
                        next.iter_mut().zip(none).for_each(|(own, none)| *own = towards(none, *own));
                    }
                    next
                }
            };
        }
        Ok(now)
    }
}

/// The network's view of a condition, or of none, with its past.
struct Side {
    conditioning: Conditioning,
    cache: Cache,
    centre: Vec<f32>,
}

impl FittedFlow for CalmFlow {
    fn name(&self) -> &'static str {
        "calmflow"
    }

    fn params(&self) -> Result<serde_json::Value> {
        written(&self.params)
    }

    fn reader(&self) -> &Reader {
        &self.reader
    }

    fn reader_mut(&mut self) -> &mut Reader {
        &mut self.reader
    }

    fn tensors(&self) -> &HashMap<String, Tensor> {
        &self.tensors
    }

    fn generate(&self, condition: &Condition, n_cells: usize, draws: Draws, seed: u64) -> Result<Array2<f32>> {
        draws.check()?;
        draws.check_guidance(self.name(), self.params.condition_dropout)?;
        draws.check_anchor(self.name(), &self.reader.guide)?;
        if draws.solver.is_some() {
            let reason = "`calmflow` follows no velocity; leave it away, or fit with --method cfm";
            return refuse("solver", "given", reason);
        }
        let solve = |network: &Network, told: &Told, x0: ArrayView2<f32>, draws: Draws, rng: &mut ChaCha8Rng| {
            if self.params.prompt_use.has_prefix() {
                self.reader.check_length(condition, told)?;
            }
            self.solve_in_blocks(network, told, x0, draws, rng)
        };
        let draws = Draws { anchor: draws.anchor.or(Some(self.params.anchor())), ..draws };
        let (reader, anchors, multiple) = (&self.reader, &self.anchors, self.params.n_trajectories);
        Generation { reader, networks: &self.networks, condition, multiple, draws, anchors }.cells(n_cells, seed, solve)
    }
}

//! A fitted CaLMFlow: cells of any condition.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use ndarray::{Array2, ArrayView2};
use rand_chacha::ChaCha8Rng;

use super::mixture::Present;
use super::network::{Decoder, Network};
use super::params::CalmFlowParams;
use crate::conditions::Condition;
use crate::language::kernels::values;
use crate::language::parameters::{Parameters, device_of};
use crate::models::method::{Draws, FittedMethod, generate_in_blocks};
use crate::models::prompts::Prompts;
use crate::models::reader::{Reader, Told};
use crate::{Error, Result};

/// A fitted CaLMFlow.
pub struct CalmFlow {
    reader: Reader,
    params: CalmFlowParams,
    tensors: HashMap<String, Tensor>,
    network: Network,
}

impl CalmFlow {
    /// Puts a model together from its parts.
    ///
    /// # Errors
    /// [`Error::MissingKey`], [`Error::ShapeMismatch`] or [`Error::BadValues`] if the weights do not belong to the choices.
    pub fn new(reader: Reader, params: CalmFlowParams, tensors: HashMap<String, Tensor>) -> Result<Self> {
        reader.check_source(params.source)?;
        let mut parameters = Parameters::take(tensors.clone(), &device_of(&tensors));
        let network = Network::new(&mut parameters, params, reader.sizes())?;
        Ok(Self { reader, params, tensors, network })
    }

    /// Source points → cells in flow coordinates: (n_cells, n_dims) → the same, row by row.
    fn solve(&self, told: &Told, x0: ArrayView2<f32>, temperature: f32, rng: &mut ChaCha8Rng) -> Result<Vec<f32>> {
        let (n_states, n_dims) = x0.dim();
        let of_sequence = vec![0; n_states / self.params.n_trajectories];
        let prompts = Prompts::new(&[told], self.reader.tokenizer.n_tokens(), of_sequence)?;
        let conditioning = self.network.read_prompts(&prompts)?;
        let mut cache = self.network.cache(&prompts, &conditioning)?;
        let source: Vec<f32> = x0.iter().copied().collect();
        let centre = conditioning.centre.as_ref().map(values).transpose()?.unwrap_or_default();
        let mut now = source.clone();
        for step in 0..self.params.n_steps {
            let states = Tensor::from_slice(&now, (n_states, n_dims), &Device::Cpu)?;
            let hidden = self.network.extend(&states, step, &mut cache, &conditioning)?;
            now = match &self.network.decoder {
                Decoder::Mixture(mixture) => {
                    let present = Present { now: &now, source: &source, centre: &centre };
                    mixture.step(&hidden, step, &present, temperature, rng)?
                }
                Decoder::Variational(variational) => values(&variational.step(&hidden, temperature, rng)?)?,
            };
        }
        Ok(now)
    }
}

impl FittedMethod for CalmFlow {
    fn name(&self) -> &'static str {
        "calmflow"
    }

    fn params(&self) -> Result<serde_json::Value> {
        serde_json::to_value(self.params).map_err(|source| Error::backend("writing the choices of a model", source))
    }

    fn reader(&self) -> &Reader {
        &self.reader
    }

    fn tensors(&self) -> &HashMap<String, Tensor> {
        &self.tensors
    }

    fn generate(&self, condition: &Condition, n_cells: usize, draws: Draws, seed: u64) -> Result<Array2<f32>> {
        draws.check()?;
        if draws.solver.is_some() {
            return Err(Error::InvalidParameter {
                name: "solver".into(),
                value: "given".into(),
                reason: "`calmflow` follows no velocity; leave it away, or fit with --method cfm".into(),
            });
        }
        let solve = |told: &Told, x0: ArrayView2<f32>, rng: &mut ChaCha8Rng| {
            if self.params.prompt_use.has_prefix() {
                self.reader.check_length(condition, told)?;
            }
            self.solve(told, x0, draws.temperature, rng)
        };
        generate_in_blocks(&self.reader, condition, n_cells, self.params.n_trajectories, seed, &solve)
    }
}

//! A fitted CaLMFlow: cells of any condition.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use ndarray::Array2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::mixture::Present;
use super::network::{Decoder, Network, Sizes};
use super::params::CalmFlowParams;
use super::prompts::{Prompts, Told};
use crate::conditions::Condition;
use crate::conditions::prompt::Template;
use crate::conditions::tokenizer::Tokenizer;
use crate::language::kernels::values;
use crate::language::parameters::Parameters;
use crate::models::guide::{Guide, View};
use crate::{Error, Result};

/// Sequences that are generated together.
const SEQUENCES: usize = 512;

/// Turns a condition into what the network is told of it.
#[derive(Debug, Clone)]
pub struct Reader {
    /// The choices of the model.
    pub params: CalmFlowParams,
    /// Where conditions lie.
    pub guide: Guide,
    /// The words.
    pub tokenizer: Tokenizer,
    /// The sentence.
    pub template: Template,
    /// Tokens of the longest prompt that can be read as a prefix.
    pub n_prompt_tokens: usize,
}

impl Reader {
    /// A new combination may have more components than any training condition.
    pub(super) const ROOM_FOR_LONGER_PROMPTS: usize = 32;

    pub(super) fn sizes(&self) -> Sizes {
        Sizes {
            n_dims: self.guide.n_dims(),
            n_words: self.tokenizer.n_tokens(),
            n_inputs: self.guide.n_inputs(),
            n_prompt_tokens: self.n_prompt_tokens,
        }
    }

    pub(super) fn told(&self, condition: &Condition, view: &View) -> Result<Told> {
        let prompt = self.template.fill(condition);
        let tokens = self.tokenizer.encode(&prompt)?;
        if self.params.prompt_use.has_prefix() && tokens.len() > self.n_prompt_tokens {
            return Err(Error::InvalidParameter {
                name: "prompt".into(),
                value: prompt,
                reason: format!("it has {} tokens, the model reads at most {}", tokens.len(), self.n_prompt_tokens),
            });
        }
        Ok(Told { tokens, inputs: view.inputs.clone() })
    }
}

/// A fitted CaLMFlow.
pub struct CalmFlow {
    reader: Reader,
    tensors: HashMap<String, Tensor>,
    network: Network,
}

impl CalmFlow {
    /// Puts a model together from its parts.
    ///
    /// # Errors
    /// [`Error::MissingKey`], [`Error::ShapeMismatch`] or [`Error::BadValues`] if the weights do not belong to the choices.
    pub fn new(reader: Reader, tensors: HashMap<String, Tensor>) -> Result<Self> {
        let mut parameters = Parameters::take(tensors.clone(), &Device::Cpu);
        let network = Network::new(&mut parameters, reader.params, reader.sizes())?;
        Ok(Self { reader, tensors, network })
    }

    /// The choices, the guide, the words.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The weights.
    pub fn tensors(&self) -> &HashMap<String, Tensor> {
        &self.tensors
    }

    /// Generates cells of one condition as principal components: (n_cells, n_dims).
    ///
    /// `temperature` scales the spread of every draw; 1 is the fitted law.
    ///
    /// # Errors
    /// [`Error::UnknownName`] if a component or the covariates never occurred in training; [`Error::InvalidParameter`]
    /// for a temperature below zero.
    pub fn generate(&self, condition: &Condition, n_cells: usize, temperature: f32, seed: u64) -> Result<Array2<f32>> {
        if !(temperature >= 0.0 && temperature.is_finite()) {
            return Err(Error::InvalidParameter {
                name: "temperature".into(),
                value: temperature.to_string(),
                reason: "it must be zero or above".into(),
            });
        }
        let view = self.reader.guide.view(condition)?;
        let told = self.reader.told(condition, &view)?;
        let (n_dims, n_trajectories) = (self.reader.guide.n_dims(), self.reader.params.n_trajectories);
        let n_sequences = n_cells.div_ceil(n_trajectories);
        let mut points = Vec::with_capacity(n_sequences * n_trajectories * n_dims);
        for (block, start) in (0..n_sequences).step_by(SEQUENCES).enumerate() {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(block as u64);
            let n = SEQUENCES.min(n_sequences - start);
            points.extend(self.generate_block(&told, n, temperature, &mut rng)?);
        }
        points.truncate(n_cells * n_dims);
        let shape = |source| Error::backend("collecting generated cells", source);
        let points = Array2::from_shape_vec((n_cells, n_dims), points).map_err(shape)?;
        Ok(self.reader.guide.restore(points.view(), &view.centre))
    }

    fn generate_block(
        &self,
        told: &Told,
        n_sequences: usize,
        temperature: f32,
        rng: &mut ChaCha8Rng,
    ) -> Result<Vec<f32>> {
        let prompts = Prompts::new(&[told], self.reader.tokenizer.n_tokens(), vec![0; n_sequences])?;
        let conditioning = self.network.read_prompts(&prompts)?;
        let mut cache = self.network.cache(&prompts, &conditioning)?;
        let (n_dims, params) = (self.reader.guide.n_dims(), &self.reader.params);
        let n_states = n_sequences * params.n_trajectories;
        let source: Vec<f32> = (0..n_states * n_dims).map(|_| StandardNormal.sample(rng)).collect();
        let centre = conditioning.centre.as_ref().map(values).transpose()?.unwrap_or_default();
        let mut now = source.clone();
        for step in 0..params.n_steps {
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

//! From states and prompts to the hidden numbers that a decoder reads.

use std::sync::Arc;

use candle_core::Tensor;

use super::backbone::Backbone;
use super::mixture::Mixture;
use super::params::{CalmFlowParams, DecoderKind};
use super::pooled::sum_tokens;
use super::variational::Variational;
use crate::Result;
use crate::language::kernels::attention::Arrangement;
use crate::language::kernels::bias::add_bias;
use crate::language::kv_cache::{Cache, Prefixes};
use crate::language::mask::Mask;
use crate::language::parameters::{Parameters, Start};
use crate::language::transformer::{Linear, Norm, Shift};
use crate::models::condition_reader::ConditionReader;
use crate::models::prompts::Prompts;
use crate::models::reader::Sizes;

/// Embeds a state as K tokens.
enum Encoder {
    /// One affine map; the decoder's skips carry the state itself.
    Affine(Linear),
    /// Two layers, as in the paper.
    Perceptron(Linear, Norm, Linear),
}

/// The decoder.
pub(super) enum Decoder {
    Mixture(Mixture),
    Variational(Variational),
}

/// The network.
pub(super) struct Network {
    pub(super) params: CalmFlowParams,
    sizes: Sizes,
    encoder: Encoder,
    time: Tensor,
    space: Tensor,
    words: Option<Tensor>,
    word_positions: Option<Tensor>,
    conditions: ConditionReader,
    /// Embeds a row of evidence as a token before the flow's tokens.
    evidence: Option<Linear>,
    to_shift: Option<Linear>,
    backbone: Backbone,
    /// What multiplies embedded states and evidence, where a language model from outside reads them.
    state_size: Option<f64>,
    pub(super) decoder: Decoder,
    mask: Arc<Mask>,
}

/// A minibatch's conditions after the parts of the network that read them.
pub(super) struct Conditioning {
    pub(super) prefixes: Option<Vec<Tensor>>,
    pub(super) shift: Option<Shift>,
    /// Moves the mixture's means: (n_prompts, n_dims).
    pub(super) centre: Option<Tensor>,
}

impl Network {
    pub(super) fn new(parameters: &mut Parameters, params: CalmFlowParams, sizes: Sizes) -> Result<Self> {
        let width = params.transformer.width;
        // A language model from outside has embeddings and positions of its own.
        let (is_own, has_sum) = (params.language.is_none(), params.prompt_use.has_sum());
        let (prefix, sum) = (is_own && params.prompt_use.has_prefix(), is_own && has_sum);
        let encoder_deviation = 0.7 / (sizes.n_dims as f32).sqrt();
        let encoder = match params.decoder {
            DecoderKind::Mixture => Encoder::Affine(Linear::new(
                parameters,
                "encoder",
                sizes.n_dims,
                params.n_spatial * width,
                encoder_deviation,
            )?),
            DecoderKind::Variational => Encoder::Perceptron(
                Linear::new(parameters, "encoder.first", sizes.n_dims, width, encoder_deviation)?,
                Norm::new(parameters, "encoder.norm", width)?,
                Linear::new(
                    parameters,
                    "encoder.second",
                    width,
                    params.n_spatial * width,
                    0.7 / (width as f32).sqrt(),
                )?,
            ),
        };
        let mut optional = |wanted: bool, name: &str, shape: &[usize], deviation: f32| {
            wanted.then(|| parameters.tensor(name, shape, Start::Normal(deviation))).transpose()
        };
        let words = optional(prefix, "words", &[sizes.n_words, width], 0.3)?;
        let word_positions = optional(prefix, "word_positions", &[sizes.n_prompt_tokens, width], 0.02)?;
        let summed = sum.then(|| ConditionReader::words(parameters, sizes.n_words, width)).transpose()?;
        let time = parameters.tensor("time", &[params.n_steps, 1, 1, width], Start::Normal(0.02))?;
        let space = parameters.tensor("space", &[params.n_spatial, width], Start::Normal(0.02))?;
        let conditions = ConditionReader::new(summed, ConditionReader::inputs(parameters, sizes.n_inputs, width)?);
        let evidence = sizes
            .n_evidence
            .map(|n| Linear::new(parameters, "evidence", n, width, 0.7 / (n as f32).sqrt()))
            .transpose()?;
        let to_shift = (has_sum || conditions.reads())
            .then(|| Linear::new(parameters, "to_shift", width, width, 0.7 / (width as f32).sqrt()))
            .transpose()?;
        let backbone = Backbone::new(parameters, &params)?;
        // Among rows much larger than the tokens it knows, what its blocks add would be lost.
        let state_size = backbone.token_size()?.map(|size| parameters.constant("state_size", size)).transpose()?;
        let decoder = match params.decoder {
            DecoderKind::Mixture => {
                Decoder::Mixture(Mixture::new(parameters, &params, sizes.n_dims, to_shift.is_some())?)
            }
            DecoderKind::Variational => Decoder::Variational(Variational::new(parameters, &params, sizes.n_dims)?),
        };
        let mask = Arc::new(Mask::windowed(params.order(), params.window.unwrap_or(params.n_steps)));
        Ok(Self {
            params,
            sizes,
            encoder,
            time,
            space,
            words,
            word_positions,
            conditions,
            evidence,
            to_shift,
            backbone,
            state_size,
            decoder,
            mask,
        })
    }

    /// Tokens of the words of a prompt that can be read as a prefix.
    fn n_words(&self, length: usize) -> usize {
        if self.words.is_some() || self.backbone.has_words() { length.min(self.sizes.n_prompt_tokens) } else { 0 }
    }

    /// The number of tokens before the flow's tokens, for each condition.
    fn prefix_lengths(&self, prompts: &Prompts) -> Vec<usize> {
        let lengths = prompts.lengths.iter().zip(&prompts.n_evidence);
        lengths.map(|(&length, n_evidence)| self.n_words(length) + n_evidence).collect()
    }

    /// The embedded tokens before the flow's tokens, evidence first, padded at the end: (n_prompts · n_tokens, width).
    fn prefix_tokens(&self, prompts: &Prompts) -> Result<Option<Tensor>> {
        let n_words = self.n_words(prompts.n_tokens);
        let own = if n_words > 0 { self.backbone.embed(&prompts.tokens)? } else { None };
        let words = match (&self.words, &self.word_positions) {
            (Some(words), Some(positions)) if n_words > 0 => {
                let embedded = words.index_select(&prompts.tokens.to_device(words.device())?, 0)?;
                let positions = positions.narrow(0, 0, n_words)?.flatten_all()?;
                let rows = embedded.reshape((prompts.n_prompts, prompts.n_tokens, self.params.transformer.width))?;
                let rows = rows.narrow(1, 0, n_words)?.flatten_from(1)?;
                Some(add_bias(&rows, &positions)?.reshape((prompts.n_prompts * n_words, ()))?)
            }
            _ => own,
        };
        let evidence = match (&self.evidence, &prompts.evidence) {
            (Some(map), Some(rows)) => self.sized(map.forward(&rows.to_device(map.weight.device())?)?)?,
            _ => return Ok(words),
        };
        let n_evidence = evidence.dim(0)?;
        let lengths = self.prefix_lengths(prompts);
        let n_tokens = lengths.iter().copied().max().unwrap_or(0);
        let (mut order, mut first) = (Vec::with_capacity(prompts.n_prompts * n_tokens), 0);
        for (prompt, &n_own) in prompts.n_evidence.iter().enumerate() {
            let start = order.len();
            order.extend((first..first + n_own).map(|row| row as u32));
            let word = n_evidence + prompt * n_words;
            order.extend((word..word + self.n_words(prompts.lengths[prompt])).map(|row| row as u32));
            // Nothing that counts looks at padding, so any row will do.
            order.resize(start + n_tokens, 0);
            first += n_own;
        }
        let rows = match words {
            Some(words) => Tensor::cat(&[&evidence, &words], 0)?,
            None => evidence,
        };
        let order = Tensor::from_vec(order, prompts.n_prompts * n_tokens, rows.device())?;
        Ok(Some(rows.index_select(&order, 0)?))
    }

    /// As large as the tokens that the backbone knows.
    fn sized(&self, rows: Tensor) -> Result<Tensor> {
        Ok(match self.state_size {
            Some(size) => (rows * size)?,
            None => rows,
        })
    }

    pub(super) fn read_prompts(&self, prompts: &Prompts) -> Result<Conditioning> {
        let pools = self.backbone.has_words() && self.params.prompt_use.has_sum();
        let (prefixes, hidden) = match self.prefix_tokens(prompts)? {
            Some(rows) => {
                let n_tokens = rows.dim(0)? / prompts.n_prompts;
                let (prefixes, hidden) = self.backbone.read_prompts(&rows, n_tokens, pools)?;
                (Some(prefixes), hidden)
            }
            None => (None, None),
        };
        let pooled = match hidden {
            Some(hidden) => {
                let n_words = prompts.lengths.iter().map(|&length| self.n_words(length));
                let spans: Vec<_> = prompts.n_evidence.iter().copied().zip(n_words).collect();
                Some(sum_tokens(&hidden, &spans)?)
            }
            // No prompt has a token: all are hidden from the network.
            None if pools => {
                let shape = (prompts.n_prompts, self.params.transformer.width);
                Some(Tensor::zeros(shape, candle_core::DType::F32, self.time.device())?)
            }
            None => None,
        };
        let meaning = match (pooled, self.conditions.read(prompts)?) {
            (Some(pooled), Some(told)) => Some((pooled + told)?),
            (pooled, told) => pooled.or(told),
        };
        let (mut shift, mut centre) = (None, None);
        if let (Some(map), Some(meaning)) = (&self.to_shift, &meaning) {
            shift = Some(Shift { vectors: map.forward(meaning)?, of_sequence: prompts.of_sequence.clone() });
            if let Decoder::Mixture(mixture) = &self.decoder {
                centre = mixture.centre(meaning)?;
            }
        }
        Ok(Conditioning { prefixes, shift, centre })
    }

    fn arrangement(&self, prompts: &Prompts) -> Arrangement {
        Arrangement {
            n_heads: self.backbone.size().n_heads,
            mask: self.mask.clone(),
            prefix_of_sequence: prompts.of_sequence.clone(),
            prefix_lengths: Arc::new(self.prefix_lengths(prompts)),
        }
    }

    /// States → tokens, with their places in time and space added.
    ///
    /// **Shapes** `states`: (n_sequences · n_steps · n_trajectories, n_dims) → (n_sequences · n_tokens, width).
    fn embed(&self, states: &Tensor, first_step: usize, n_steps: usize) -> Result<Tensor> {
        let states = &states.to_device(self.time.device())?;
        let embedded = match &self.encoder {
            Encoder::Affine(map) => map.forward(states)?,
            Encoder::Perceptron(first, norm, second) => {
                second.forward(&norm.forward(&first.forward(states)?)?.relu()?)?
            }
        };
        let (width, params) = (self.params.transformer.width, &self.params);
        let per_sequence = n_steps * params.n_trajectories * params.n_spatial;
        let places = self.time.narrow(0, first_step, n_steps)?.broadcast_add(&self.space)?;
        let places = places.broadcast_as((n_steps, params.n_trajectories, params.n_spatial, width))?;
        let rows = embedded.reshape(((), per_sequence * width))?;
        self.sized(add_bias(&rows, &places.flatten_all()?.contiguous()?)?.reshape(((), width))?)
    }

    /// Runs whole sequences: (n_states, n_dims) → (n_states, n_spatial · width).
    pub(super) fn hidden(&self, states: &Tensor, prompts: &Prompts, conditioning: &Conditioning) -> Result<Tensor> {
        let x = self.embed(states, 0, self.params.n_steps)?;
        let arrangement = self.arrangement(prompts);
        let prefixes = conditioning.prefixes.as_deref();
        let hidden = self.backbone.forward(&x, prefixes, &arrangement, conditioning.shift.as_ref())?;
        Ok(hidden.reshape(((), self.params.n_spatial * self.params.transformer.width))?)
    }

    /// Numbers that the past holds of each token.
    pub(super) fn n_numbers_per_token(&self) -> usize {
        let size = self.backbone.size();
        2 * size.width * size.n_layers
    }

    /// An empty past for generation.
    pub(super) fn cache(&self, prompts: &Prompts, conditioning: &Conditioning) -> Result<Cache> {
        let lengths = self.arrangement(prompts).prefix_lengths;
        let prefixes = match &conditioning.prefixes {
            Some(prefixes) => Prefixes::new(prefixes, &lengths)?,
            None => Prefixes::default(),
        };
        let of_sequence = prompts.of_sequence.as_ref().clone();
        Ok(Cache::new(self.backbone.size(), self.mask.clone(), of_sequence.len(), prefixes, of_sequence))
    }

    /// Runs the states of one more step on top of the past: (n_states, n_dims) → (n_states, n_spatial · width).
    pub(super) fn extend(
        &self,
        states: &Tensor,
        step: usize,
        cache: &mut Cache,
        conditioning: &Conditioning,
    ) -> Result<Tensor> {
        let x = self.embed(states, step, 1)?;
        let hidden = self.backbone.extend(&x, cache, conditioning.shift.as_ref())?;
        Ok(hidden.reshape(((), self.params.n_spatial * self.params.transformer.width))?)
    }
}

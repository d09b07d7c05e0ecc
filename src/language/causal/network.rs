//! The whole model.

use std::sync::Arc;

use candle_core::{DType, Tensor};

use super::block::Block;
use super::norm::Norm;
use super::params::CausalParams;
use super::segments;
use super::tuning::Tuning;
use crate::error::refuse;
use crate::language::kernels::attention::Arrangement;
use crate::language::kernels::rotary::Turn;
use crate::language::kernels::{multiplied, on_cpu, with_values};
use crate::language::kv_cache::Cache;
use crate::language::mask::Mask;
use crate::language::parameters::{Parameters, Start};
use crate::language::transformer::{Shift, TransformerParams};
use crate::{Error, Result};

/// A causal language model.
#[derive(Debug, Clone)]
pub struct Causal {
    /// Its configuration.
    pub params: CausalParams,
    /// (n_words, width).
    embedding: Tensor,
    /// Learned positions: (context, width).
    positions: Option<Tensor>,
    blocks: Vec<Block>,
    last: Norm,
    /// (n_words, width), where logits are not read with the embedding and are wanted.
    head: Option<Tensor>,
    recomputes: bool,
}

impl Causal {
    /// Makes the network; without `has_head`, weights that only logits need are left away.
    ///
    /// # Errors
    /// Those of [`CausalParams::check`], [`Tuning::check`] and [`Parameters::tensor`].
    pub fn new(
        parameters: &mut Parameters,
        name: &str,
        params: CausalParams,
        tuning: Tuning,
        has_head: bool,
    ) -> Result<Self> {
        params.check()?;
        tuning.check()?;
        let table = |parameters: &mut Parameters, part: &str, n_rows: usize| {
            parameters.fix(tuning != Tuning::Full);
            let start = Start::Normal(params.start_deviation);
            let table = parameters.matrix(&format!("{name}.{part}"), &[n_rows, params.width], start);
            parameters.fix(false);
            table
        };
        let embedding = table(parameters, "embedding", params.n_words)?;
        let positions = match params.rotary {
            None => Some(table(parameters, "positions", params.context)?),
            Some(_) => None,
        };
        let block = |number: usize| Block::new(parameters, &format!("{name}.blocks.{number}"), &params, tuning);
        let blocks = (0..params.n_layers).map(block).collect::<Result<Vec<_>>>()?;
        let last = Norm::new(parameters, &format!("{name}.last"), &params, tuning)?;
        let head = match has_head && !params.tied {
            true => Some(table(parameters, "head", params.n_words)?),
            false => None,
        };
        Ok(Self { params, embedding, positions, blocks, last, head, recomputes: false })
    }

    /// Whether the numbers within blocks are made again in the backward pass in the place of being kept: slower by a forward pass,
    /// in the memory of one block. The gradients are the same to the bit.
    #[must_use]
    pub fn recomputing(self, recomputes: bool) -> Self {
        Self { recomputes, ..self }
    }

    /// Whether blocks are differentiated one by one: on the CPU this also spares the tensor library's sums.
    fn in_segments(&self, x: &Tensor) -> bool {
        self.recomputes || x.device().is_cpu()
    }

    /// What a cache needs to know: the width of the keys once every head has its own, blocks and heads.
    pub fn size(&self) -> TransformerParams {
        let CausalParams { n_layers, n_heads, .. } = self.params;
        TransformerParams { width: self.params.heads().width(), n_layers, n_heads }
    }

    /// Embeds tokens: (n_rows) → (n_rows, width).
    ///
    /// # Errors
    /// [`Error::BadValues`] for numbers that are not in the vocabulary.
    pub fn embed(&self, ids: &[u32]) -> Result<Tensor> {
        let unknown: Vec<&u32> = ids.iter().filter(|id| **id as usize >= self.params.n_words).collect();
        if !unknown.is_empty() {
            return Err(Error::BadValues {
                place: "token ids".into(),
                problem: "outside the vocabulary".into(),
                n_bad: unknown.len(),
                n_total: ids.len(),
                examples: unknown.iter().take(3).map(ToString::to_string).collect(),
                hint: format!("the model knows the ids 0 to {}", self.params.n_words - 1),
            });
        }
        rows_of(&self.embedding, ids)
    }

    /// The root mean square of its tokens' embeddings: how large the rows are that it was made to read.
    ///
    /// # Errors
    /// [`Error::Backend`] if they cannot be read.
    pub fn embedding_size(&self) -> Result<f32> {
        Ok(self.embedding.to_dtype(DType::F32)?.sqr()?.mean_all()?.sqrt()?.to_scalar()?)
    }

    /// How sequences of `n_tokens` that begin at these positions are turned, and the rows with learned positions added.
    fn place(&self, x: &Tensor, starts: &[usize], n_tokens: usize) -> Result<(Tensor, Turn)> {
        let end = starts.iter().max().map_or(0, |start| start + n_tokens);
        if end > self.params.context {
            let reason = format!("the model reads at most {}", self.params.context);
            return refuse("tokens of a sequence", end, &reason);
        }
        let positions: Vec<u32> =
            starts.iter().flat_map(|start| (*start..start + n_tokens).map(|position| position as u32)).collect();
        let x = match &self.positions {
            Some(table) => (x + rows_of(table, &positions)?)?,
            None => x.clone(),
        };
        let angles = self.params.rotary.map(|rotary| Arc::new(rotary.angles(end)));
        Ok((x, Turn { heads: self.params.heads(), angles, positions: Arc::new(positions) }))
    }

    /// Runs whole sequences; `prefixes` holds the keys and values of every block as [`Self::encode_prefixes`] makes them, and
    /// positions go on behind the prefix of a sequence.
    ///
    /// **Shapes** `x`: (n_sequences · n_tokens, width) → the same.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] if a sequence is longer than the context; [`Error::Backend`] if the shapes do not fit.
    pub fn forward(
        &self,
        x: &Tensor,
        prefixes: Option<&[Tensor]>,
        arrangement: &Arrangement,
        shift: Option<&Shift>,
    ) -> Result<Tensor> {
        let n_tokens = arrangement.mask.n_tokens;
        let starts = match prefixes {
            Some(_) => {
                let length = |prefix: &u32| arrangement.prefix_lengths[*prefix as usize];
                arrangement.prefix_of_sequence.iter().map(length).collect()
            }
            None => vec![0; x.dim(0)? / n_tokens],
        };
        let (mut x, turn) = self.place(x, &starts, n_tokens)?;
        for (number, block) in self.blocks.iter().enumerate() {
            let prefix = prefixes.map(|all| &all[number]);
            x = match self.in_segments(&x) {
                true => segments::run(block, &x, prefix, &turn, arrangement, shift, self.recomputes)?,
                false => block.run(&x, prefix, &turn, arrangement, shift)?,
            };
        }
        self.last.forward(&x)
    }

    /// The keys and values of embedded prompts in every block: one (n_prompts, n_tokens, 2 · n_heads · head_width) per block.
    ///
    /// Shorter prompts are padded at the end; nothing that counts looks there.
    ///
    /// **Shapes** `x`: (n_prompts · n_tokens, width).
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn encode_prefixes(&self, x: &Tensor, n_tokens: usize) -> Result<Vec<Tensor>> {
        Ok(self.run_prompts(x, n_tokens, false)?.0)
    }

    /// The same, and the hidden states of the prompts' tokens: (n_prompts · n_tokens, width).
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn read_prompts(&self, x: &Tensor, n_tokens: usize) -> Result<(Vec<Tensor>, Tensor)> {
        let (prefixes, x) = self.run_prompts(x, n_tokens, true)?;
        Ok((prefixes, self.last.forward(&x)?))
    }

    /// Keys and values, and what comes out of the last block, or of the one before where nobody asks for it.
    fn run_prompts(&self, x: &Tensor, n_tokens: usize, to_the_end: bool) -> Result<(Vec<Tensor>, Tensor)> {
        let n_prompts = x.dim(0)? / n_tokens;
        let (mut x, turn) = self.place(x, &vec![0; n_prompts], n_tokens)?;
        let (arrangement, n_kept) = (self.causal(n_tokens), 2 * self.params.heads().width());
        let mut prefixes = Vec::with_capacity(self.blocks.len());
        for (number, block) in self.blocks.iter().enumerate() {
            // Where only the keys and values of the last block are looked at, its own output is not needed.
            let is_last = !to_the_end && number + 1 == self.blocks.len();
            let packed = match self.in_segments(&x) {
                true => segments::run_prefix(block, &x, &turn, &arrangement, is_last, self.recomputes)?,
                false => block.run_prefix(&x, &turn, &arrangement, is_last)?,
            };
            let n_left = packed.dim(1)? - n_kept;
            prefixes.push(packed.narrow(1, n_left, n_kept)?.reshape((n_prompts, n_tokens, n_kept))?);
            if !is_last {
                x = packed.narrow(1, 0, n_left)?.contiguous()?;
            }
        }
        Ok((prefixes, x))
    }

    /// Runs the next tokens of every sequence on top of the past.
    ///
    /// **Shapes** `x`: (n_sequences · n_new, width) → the same.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn extend(&self, x: &Tensor, cache: &mut Cache, shift: Option<&Shift>) -> Result<Tensor> {
        let starts = cache.starts();
        let n_new = x.dim(0)? / starts.len();
        let (mut x, turn) = self.place(x, &starts, n_new)?;
        for (number, block) in self.blocks.iter().enumerate() {
            let qkv = on_cpu(&block.looks(&x, &turn)?)?;
            let attended = with_values([&qkv], |[qkv]| Ok(cache.attend(number, qkv, self.size())))?;
            let attended = Tensor::from_vec(attended, (x.dim(0)?, self.size().width), x.device())?;
            x = block.finish(&x, &attended, shift)?;
        }
        cache.grow(n_new);
        self.last.forward(&x)
    }

    /// Plain sequences of `n_tokens`, each token seeing itself and all before it.
    pub fn causal(&self, n_tokens: usize) -> Arrangement {
        Arrangement {
            n_heads: self.params.n_heads,
            mask: Arc::new(Mask::causal(n_tokens)),
            prefix_of_sequence: Arc::default(),
            prefix_lengths: Arc::default(),
        }
    }

    /// The logits of the next token: (n_rows, width) → (n_rows, n_words).
    ///
    /// # Errors
    /// [`Error::MissingKey`] if the model was made without what they need.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let head = match (&self.head, self.params.tied) {
            (Some(head), _) => head,
            (None, true) => &self.embedding,
            (None, false) => {
                return Err(Error::MissingKey {
                    place: "the language model".into(),
                    key: "head".into(),
                    hint: "it was made to give hidden states only".into(),
                });
            }
        };
        Ok(multiplied(hidden, &head.t()?)?)
    }
}

/// Rows of a table, of 32 bits.
fn rows_of(table: &Tensor, numbers: &[u32]) -> Result<Tensor> {
    let select = |table: &Tensor, numbers: &[u32]| table.index_select(&Tensor::new(numbers, table.device())?, 0);
    if table.dtype() == DType::F32 {
        return Ok(select(table, numbers)?);
    }
    // Each row once, then as often as it is asked for, so that gradients of many tokens are summed in 32 bits.
    let mut once = numbers.to_vec();
    once.sort_unstable();
    once.dedup();
    let places: Vec<u32> = numbers.iter().map(|number| once.partition_point(|one| one < number) as u32).collect();
    Ok(select(&select(table, &once)?.to_dtype(DType::F32)?, &places)?)
}

//! A causal language model from outside in the place of the own transformer.

use std::collections::HashMap;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::conditions::tokenizer::Tokenizer;
use crate::language::causal::tuning::Tuning;
use crate::language::causal::{CausalParams, NAME};
use crate::language::precision::Precision;
use crate::training::optimizer::Slot;

/// The width of the own transformer, which learns at the full rate. Of maps that read wider rows every step moves the outputs
/// further, in proportion to the width (Yang et al. 2021, arXiv 2203.03466), so that their rate falls with it.
const WIDTH: f64 = 64.0;
/// How much slower pretrained weights learn beyond that, and do not decay: they hold what was learned before.
const PRETRAINED_RATE: f64 = 0.25;
/// The rates of what is trained beside fixed weights; it starts as nothing, and a few hundred steps must be enough.
const LORA_RATE: f64 = 4.0;
const ADAPTER_RATE: f64 = 1.0;
/// What else reads rows of the model's width.
const READERS: [&str; 5] = ["to_shift", "mixture.output", "mixture.to_centre", "variational", "encoder.second"];

/// Which one, and how it is used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LanguageParams {
    /// Its configuration.
    pub network: CausalParams,
    /// What of it is trained.
    pub tuning: Tuning,
    /// Whether its weights are drawn at random.
    pub is_random: bool,
    /// Whether numbers within its blocks are made again in the backward pass.
    pub recomputes: bool,
    /// How its matrices are held.
    #[serde(default)]
    pub precision: Precision,
}

/// What a fit is given of it.
pub struct LanguageStart {
    /// Its weights under our names, which begin with [`NAME`]; none if they are drawn.
    pub tensors: HashMap<String, Tensor>,
    /// Its tokenizer, which reads the prompts.
    pub tokenizer: Tokenizer,
}

impl LanguageParams {
    /// # Errors
    /// Those of [`CausalParams::check`] and [`Tuning::check`].
    pub fn check(&self) -> Result<()> {
        self.network.check()?;
        self.tuning.check()
    }

    /// Sets how fast its tensors learn, and those that read what it makes; names begin with the number of the member.
    pub(super) fn set_rates(&self, slots: &mut [Slot]) {
        let by_width = (WIDTH / self.network.width as f64).min(1.0);
        for slot in slots {
            let Some((_, name)) = slot.name.split_once('.') else { continue };
            if name.starts_with(NAME) {
                slot.rate = match self.tuning {
                    Tuning::Full if self.is_random => by_width,
                    Tuning::Full => PRETRAINED_RATE * by_width,
                    // Of both, one part reads rows of the model's width, and the other the few numbers that come out of it.
                    Tuning::Lora { .. } if name.ends_with(".lora.first") => LORA_RATE * by_width,
                    Tuning::Lora { .. } => LORA_RATE,
                    Tuning::Adapters { .. } if name.ends_with(".adapter.down.weight") => ADAPTER_RATE * by_width,
                    Tuning::Adapters { .. } => ADAPTER_RATE,
                };
                if self.tuning == Tuning::Full && !self.is_random {
                    slot.decay = 0.0;
                }
            } else if name.ends_with(".weight") && READERS.iter().any(|reader| name.starts_with(reader)) {
                slot.rate *= by_width;
            }
        }
    }
}

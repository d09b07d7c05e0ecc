//! A causal language model from outside in the place of the own transformer.

use std::collections::HashMap;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::conditions::tokenizer::Tokenizer;
use crate::language::causal::tuning::Tuning;
use crate::language::causal::{CausalParams, NAME};
use crate::training::optimizer::Slot;

/// How much slower than all else its own weights learn, and do not decay: they hold what was learned before.
const PRETRAINED_RATE: f64 = 0.05;
/// The same where they are drawn at random, and for what is trained beside fixed weights: 5e-4 at the usual learning rate.
const RATE: f64 = 0.25;

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

    /// Sets how fast its tensors learn; names begin with the number of the member.
    pub(super) fn set_rates(&self, slots: &mut [Slot]) {
        let own = |slot: &&mut Slot| slot.name.split_once('.').is_some_and(|(_, name)| name.starts_with(NAME));
        for slot in slots.iter_mut().filter(own) {
            let is_kept = self.tuning == Tuning::Full && !self.is_random;
            slot.rate = if is_kept { PRETRAINED_RATE } else { RATE };
            slot.decay = if is_kept { 0.0 } else { slot.decay };
        }
    }
}

//! Texts as hidden states of a pretrained network.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use candle_core::{Device, Tensor};
use ndarray::{Array1, Axis};
use serde::{Deserialize, Serialize};

use super::pooling::Pooling;
use crate::conditions::descriptions::Descriptions;
use crate::conditions::tokenizer::Tokenizer;
use crate::error::refuse;
use crate::language::bert::{Bert, BertParams};
use crate::language::causal::tuning::Tuning;
use crate::language::causal::{Causal, CausalParams, NAME};
use crate::language::parameters::Parameters;
use crate::models::record::{Record, to_array};
use crate::{Error, Result};

/// The configuration and the pooling.
const PARAMS: &str = "text_encoder.json";
/// The weights.
const WEIGHTS: &str = "text_encoder.safetensors";
/// The words.
const TOKENIZER: &str = "text_encoder_tokenizer.json";

/// Which network reads descriptions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkParams {
    /// An encoder that sees a whole text at once.
    Bert(BertParams),
    /// A causal language model.
    Causal(CausalParams),
}

impl NetworkParams {
    /// The name of the architecture.
    pub fn family(&self) -> &'static str {
        match self {
            Self::Bert(params) => params.family.name(),
            Self::Causal(params) => params.family.name(),
        }
    }

    /// Blocks, and numbers of each token.
    pub fn size(&self) -> [usize; 2] {
        match self {
            Self::Bert(params) => [params.n_layers, params.width],
            Self::Causal(params) => [params.n_layers, params.width],
        }
    }

    /// Most tokens of a text.
    fn context(&self) -> usize {
        match self {
            Self::Bert(params) => params.context,
            Self::Causal(params) => params.context,
        }
    }

    /// The token that may not stand within a text.
    fn padding(&self) -> Option<u32> {
        match self {
            Self::Bert(params) => params.padding,
            Self::Causal(_) => None,
        }
    }
}

enum Network {
    Bert(Bert),
    Causal(Causal),
}

/// A pretrained network that gives a text one vector: its last hidden state, pooled over the tokens.
pub struct TextNetwork {
    params: NetworkParams,
    pooling: Pooling,
    tokenizer: Tokenizer,
    /// The weights under our names, which the network shares.
    tensors: HashMap<String, Tensor>,
    network: Network,
    /// What was read already: the same text is asked for when a regression is fitted and again when it tells effects.
    read: Mutex<BTreeMap<String, Array1<f32>>>,
}

/// What of it is a document.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    network: NetworkParams,
    pooling: Pooling,
}

impl TextNetwork {
    /// Puts a network together from its weights, named as those of [`Bert`] or [`Causal`].
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] for a pooling that the architecture, or its tokenizer, has no token for; those of [`Bert::new`] and
    /// [`Causal::new`].
    pub fn new(
        params: NetworkParams,
        pooling: Pooling,
        tokenizer: Tokenizer,
        tensors: HashMap<String, Tensor>,
    ) -> Result<Self> {
        match (params, pooling) {
            (NetworkParams::Causal(causal), Pooling::Cls) => {
                let name = causal.family.name();
                let reason =
                    format!("the first token of a `{name}` sees nothing of the text behind it; use mean or last");
                return refuse("text-pooling", "cls", &reason);
            }
            (NetworkParams::Bert(bert), Pooling::Last) => {
                let reason =
                    format!("a `{}` sees the whole text from every token; use mean or cls", bert.family.name());
                return refuse("text-pooling", "last", &reason);
            }
            _ => {}
        }
        if pooling == Pooling::Cls && tokenizer.encode_framed("a")?.first() == tokenizer.encode("a")?.first() {
            let reason = "the tokenizer sets no token before a text; use mean";
            return refuse("text-pooling", "cls", reason);
        }
        let network = match params {
            NetworkParams::Bert(bert) => Network::Bert(Bert::new(bert, &tensors)?),
            NetworkParams::Causal(causal) => {
                let mut parameters = Parameters::take(tensors.clone(), &Device::Cpu);
                Network::Causal(Causal::new(&mut parameters, NAME, causal, Tuning::Full, false)?)
            }
        };
        Ok(Self { params, pooling, tokenizer, tensors, network, read: Mutex::default() })
    }

    /// Its configuration.
    pub fn params(&self) -> NetworkParams {
        self.params
    }

    /// How the hidden states of tokens become one.
    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// Fails if descriptions have no tokens, more than the network reads, or a padding token where this cannot be.
    ///
    /// # Errors
    /// [`Error::BadValues`] with their components and how many tokens they have.
    pub fn check(&self, descriptions: &Descriptions) -> Result<()> {
        let context = self.params.context();
        let mut bad = Vec::new();
        for (component, text) in descriptions.iter() {
            let ids = self.tokenizer.encode_framed(text)?;
            if ids.is_empty() || ids.len() > context {
                bad.push(format!("{component}: {} tokens", ids.len()));
            } else if self.params.padding().is_some_and(|padding| ids.contains(&padding)) {
                bad.push(format!("{component}: a padding token"));
            }
        }
        if bad.is_empty() {
            return Ok(());
        }
        Err(Error::BadValues {
            place: "descriptions".into(),
            problem: format!("not what the text encoder reads (1 to {context} tokens, none of them padding)"),
            n_bad: bad.len(),
            n_total: descriptions.len(),
            examples: bad,
            hint: "shorten these texts: nothing is cut off".into(),
        })
    }

    /// The last hidden state of a text: (n_tokens, width).
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] for a text without tokens or one that is longer than the context; those of the network.
    pub fn hidden(&self, text: &str) -> Result<Tensor> {
        let ids = self.tokenizer.encode_framed(text)?;
        if ids.is_empty() {
            return refuse("text", text, "it has no tokens");
        }
        match &self.network {
            Network::Bert(network) => network.forward(&ids),
            Network::Causal(network) => network.forward(&network.embed(&ids)?, None, &network.causal(ids.len()), None),
        }
    }

    /// The pooled hidden state of a text: (width).
    ///
    /// # Errors
    /// Those of [`Self::hidden`]; [`Error::BadValues`] if it is not finite.
    pub fn pooled(&self, text: &str) -> Result<Array1<f32>> {
        if let Some(known) = self.read.lock().unwrap_or_else(PoisonError::into_inner).get(text) {
            return Ok(known.clone());
        }
        let hidden = to_array(&self.hidden(text)?)?.mapv(f64::from);
        let last = hidden.shape()[0] - 1;
        let pooled = match self.pooling {
            Pooling::Mean => hidden.mean_axis(Axis(0)).unwrap_or_default(),
            Pooling::Cls => hidden.index_axis(Axis(0), 0).to_owned(),
            Pooling::Last => hidden.index_axis(Axis(0), last).to_owned(),
        };
        let pooled: Array1<f32> = pooled.iter().map(|value| *value as f32).collect();
        let n_bad = pooled.iter().filter(|value| !value.is_finite()).count();
        if n_bad > 0 {
            return Err(Error::BadValues {
                place: format!("the hidden state of `{text}`"),
                problem: "not finite".into(),
                n_bad,
                n_total: pooled.len(),
                examples: pooled.iter().filter(|value| !value.is_finite()).take(3).map(f32::to_string).collect(),
                hint: "the weights of this text encoder cannot be used in 32 bits; take another".into(),
            });
        }
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.insert(text.to_owned(), pooled.clone());
        Ok(pooled)
    }

    /// Puts everything into a record.
    ///
    /// # Errors
    /// [`Error::Backend`] if something cannot be written.
    pub fn keep(&self, record: &mut Record) -> Result<()> {
        record.put(PARAMS, &Kept { network: self.params, pooling: self.pooling })?;
        record.put_text(TOKENIZER, self.tokenizer.to_json()?);
        record.put_tensors(WEIGHTS, self.tensors.clone());
        Ok(())
    }

    /// Takes from a record what [`Self::keep`] put into it; nothing if there is none.
    ///
    /// # Errors
    /// [`Error::MissingKey`] for what is absent; [`Error::InvalidFile`] for what cannot be understood; those of [`Self::new`].
    pub fn take(record: &mut Record) -> Result<Option<Self>> {
        if !record.has(PARAMS) {
            return Ok(None);
        }
        let Kept { network, pooling } = record.take(PARAMS)?;
        let tokenizer = Tokenizer::from_json(&record.take_text(TOKENIZER)?)?;
        let tensors = record.take_tensors(WEIGHTS, &Device::Cpu)?;
        Self::new(network, pooling, tokenizer, tensors).map(Some)
    }
}

impl std::fmt::Debug for TextNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextNetwork")
            .field("params", &self.params)
            .field("pooling", &self.pooling)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Display for TextNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [n_layers, width] = self.params.size();
        write!(f, "`{}`, {n_layers} blocks of width {width}, {}", self.params.family(), self.pooling)
    }
}

//! The networks.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{bert, modernbert};

use super::params::{BertParams, WindowParams};
use super::plan::own;
use crate::error::refuse;
use crate::language::kernels::activation::Activation;
use crate::{Error, Result};

/// An encoder of texts, on the CPU.
pub struct Bert {
    /// Its configuration.
    pub params: BertParams,
    network: Network,
}

enum Network {
    Plain(bert::BertModel),
    Modern(modernbert::ModernBert),
}

impl Bert {
    /// Puts an encoder together from tensors named as [`convert`](super::weights::convert) names them.
    ///
    /// # Errors
    /// Those of [`BertParams::check`]; [`Error::MissingKey`] or [`Error::ShapeMismatch`] if a tensor is absent or has another
    /// shape; [`Error::InvalidParameter`] for an activation that the network does not have.
    pub fn new(params: BertParams, tensors: &HashMap<String, Tensor>) -> Result<Self> {
        params.check()?;
        // The network would go without a normalisation that is not there.
        for (name, shape) in own(&params) {
            let Some(tensor) = tensors.get(&name) else {
                let (place, hint) = ("the text encoder".into(), "fit the model again".into());
                return Err(Error::MissingKey { place, key: name, hint });
            };
            if tensor.dims() != shape {
                let (expected, got) = (format!("{shape:?}"), format!("{:?}", tensor.dims()));
                return Err(Error::ShapeMismatch { what: format!("text encoder, tensor `{name}`"), expected, got });
            }
        }
        let tensors = VarBuilder::from_tensors(tensors.clone(), DType::F32, &Device::Cpu);
        let network = match params.windows {
            None => bert::BertModel::load(tensors, &plain(&params)?).map(Network::Plain),
            Some(windows) => modernbert::ModernBert::load(tensors, &modern(&params, windows)).map(Network::Modern),
        };
        let network = network.map_err(|source| Error::backend("putting a text encoder together", source))?;
        Ok(Self { params, network })
    }

    /// The last hidden state of a text: (n_tokens) → (n_tokens, width).
    ///
    /// A text is read alone, so that it needs no padding and gives the same numbers beside any other.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] for a text that is longer than the context or holds a padding token where positions are counted
    /// around it; [`Error::Backend`] for tokens that are not in the vocabulary.
    pub fn forward(&self, ids: &[u32]) -> Result<Tensor> {
        let BertParams { context, padding, .. } = self.params;
        if ids.len() > context {
            return refuse("tokens of a text", ids.len(), &format!("the encoder reads at most {context}"));
        }
        if padding.is_some_and(|padding| ids.contains(&padding)) {
            return refuse("padding token", "within a text", "it has no place there; remove it from the text");
        }
        let ids = Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?;
        let hidden = match &self.network {
            Network::Plain(network) => network.forward(&ids, &ids.zeros_like()?, None)?,
            Network::Modern(network) => network.forward(&ids, &ids.ones_like()?)?,
        };
        Ok(hidden.squeeze(0)?)
    }
}

fn plain(params: &BertParams) -> Result<bert::Config> {
    Ok(bert::Config {
        vocab_size: params.n_words,
        hidden_size: params.width,
        num_hidden_layers: params.n_layers,
        num_attention_heads: params.n_heads,
        intermediate_size: params.n_hidden,
        hidden_act: match params.activation {
            Activation::Gelu => bert::HiddenAct::Gelu,
            Activation::GeluTanh => bert::HiddenAct::GeluApproximate,
            Activation::Relu => bert::HiddenAct::Relu,
            Activation::Silu => return refuse("activation", "silu", "no such encoder is known"),
        },
        max_position_embeddings: params.context,
        type_vocab_size: params.n_kinds,
        layer_norm_eps: params.epsilon,
        // With a name, a tensor that is absent would be looked for under another prefix.
        model_type: None,
        ..bert::Config::default()
    })
}

fn modern(params: &BertParams, windows: WindowParams) -> modernbert::Config {
    modernbert::Config {
        vocab_size: params.n_words,
        hidden_size: params.width,
        num_hidden_layers: params.n_layers,
        num_attention_heads: params.n_heads,
        intermediate_size: params.n_hidden,
        max_position_embeddings: params.context,
        layer_norm_eps: params.epsilon,
        pad_token_id: 0,
        global_attn_every_n_layers: windows.global_every,
        global_rope_theta: windows.global_theta,
        local_attention: windows.local,
        local_rope_theta: windows.local_theta,
        classifier_config: None,
    }
}

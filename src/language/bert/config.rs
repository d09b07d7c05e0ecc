//! `config.json`. A key that is absent has the value that `transformers` gives it; what would change the numbers and is not
//! known here is refused.

use std::path::Path;

use serde_json::Value;

use super::params::{BertFamily, BertParams, WindowParams};
use crate::Result;
use crate::language::hugging_face::keys::Keys;
use crate::language::kernels::activation::Activation;

/// The family that a configuration names, if it is one of these.
pub fn family(config: &Value) -> Option<BertFamily> {
    let name = config.get("model_type")?.as_str()?;
    BertFamily::ALL.into_iter().find(|family| family.name() == name)
}

/// Reads a configuration of this family; `place` is the file that errors speak of.
///
/// # Errors
/// [`crate::Error::MissingKey`] for a size that is absent; [`crate::Error::InvalidFile`] for anything that cannot be computed here.
pub fn read(config: &Value, family: BertFamily, place: &Path) -> Result<BertParams> {
    let keys = Keys::new(config, place)?;
    if keys.get("quantization_config").is_some() {
        return keys.refuse("the weights are quantized (`quantization_config`): save them in 32 or 16 bits");
    }
    let params = match family {
        BertFamily::Bert => bert(&keys, family, None),
        BertFamily::Roberta | BertFamily::XlmRoberta => {
            let padding = keys.size("pad_token_id")?.unwrap_or(1);
            bert(&keys, family, Some(u32::try_from(padding).unwrap_or(u32::MAX)))
        }
        BertFamily::DistilBert => distilbert(&keys),
        BertFamily::ModernBert => modernbert(&keys),
    }?;
    match params.check() {
        Ok(()) => Ok(params),
        Err(error) => keys.refuse(error.to_string()),
    }
}

fn bert(keys: &Keys, family: BertFamily, padding: Option<u32>) -> Result<BertParams> {
    refuse_other(keys, &[("is_decoder", false), ("add_cross_attention", false)])?;
    absolute(keys)?;
    let n_before = padding.map_or(0, |padding| padding as usize + 1);
    let n_positions = keys.needed_size("max_position_embeddings")?;
    let Some(context) = n_positions.checked_sub(n_before) else {
        return keys.refuse(format!("{n_positions} positions leave none behind the padding token"));
    };
    Ok(BertParams {
        family,
        n_words: keys.needed_size("vocab_size")?,
        width: keys.needed_size("hidden_size")?,
        n_layers: keys.needed_size("num_hidden_layers")?,
        n_heads: keys.needed_size("num_attention_heads")?,
        n_hidden: keys.needed_size("intermediate_size")?,
        context,
        n_kinds: keys.size("type_vocab_size")?.unwrap_or(2),
        padding,
        epsilon: keys.number("layer_norm_eps")?.unwrap_or(1e-12),
        activation: activation(keys, "hidden_act")?,
        windows: None,
    })
}

fn distilbert(keys: &Keys) -> Result<BertParams> {
    absolute(keys)?;
    Ok(BertParams {
        family: BertFamily::DistilBert,
        n_words: keys.needed_size("vocab_size")?,
        width: keys.needed_size("dim")?,
        n_layers: keys.needed_size("n_layers")?,
        n_heads: keys.needed_size("n_heads")?,
        n_hidden: keys.needed_size("hidden_dim")?,
        context: keys.needed_size("max_position_embeddings")?,
        // None in the folder; one that adds nothing here.
        n_kinds: 1,
        padding: None,
        epsilon: 1e-12,
        activation: activation(keys, "activation")?,
        windows: None,
    })
}

fn modernbert(keys: &Keys) -> Result<BertParams> {
    refuse_other(keys, &[("attention_bias", false), ("mlp_bias", false), ("norm_bias", false)])?;
    let n_layers = keys.needed_size("num_hidden_layers")?;
    let activation = activation(keys, "hidden_activation")?;
    if activation != Activation::Gelu {
        return keys.refuse("`hidden_activation` is not `gelu`, the only one that is supported for `modernbert`");
    }
    Ok(BertParams {
        family: BertFamily::ModernBert,
        n_words: keys.needed_size("vocab_size")?,
        width: keys.needed_size("hidden_size")?,
        n_layers,
        n_heads: keys.needed_size("num_attention_heads")?,
        n_hidden: keys.needed_size("intermediate_size")?,
        context: keys.needed_size("max_position_embeddings")?,
        n_kinds: 0,
        padding: None,
        epsilon: keys.number("norm_eps")?.unwrap_or(1e-5),
        activation,
        windows: Some(windows(keys, n_layers)?),
    })
}

/// Fails unless flags are as wanted, which they are where they are absent.
fn refuse_other(keys: &Keys, flags: &[(&str, bool)]) -> Result<()> {
    for (key, wanted) in flags {
        if keys.flag(key, *wanted)? != *wanted {
            return keys.refuse(format!("`{key}` is {}, which is not supported", !wanted));
        }
    }
    Ok(())
}

fn absolute(keys: &Keys) -> Result<()> {
    match keys.text("position_embedding_type")? {
        None | Some("absolute") => Ok(()),
        Some(other) => keys.refuse(format!("`position_embedding_type` is `{other}`; only `absolute` is supported")),
    }
}

fn activation(keys: &Keys, key: &str) -> Result<Activation> {
    Ok(match keys.text(key)?.unwrap_or("gelu") {
        "gelu" => Activation::Gelu,
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Activation::GeluTanh,
        "relu" => Activation::Relu,
        other => {
            let known = "`gelu`, `gelu_new`, `gelu_pytorch_tanh`, `gelu_fast` and `relu` are known";
            return keys.refuse(format!("`{key}` is `{other}`; {known}"));
        }
    })
}

/// Version 5 lists the kind of every layer and has a base for each kind; version 4 says how often one sees everything.
fn windows(keys: &Keys, n_layers: usize) -> Result<WindowParams> {
    let global_every = match keys.get("layer_types") {
        None => keys.size("global_attn_every_n_layers")?.unwrap_or(3),
        Some(types) => {
            let types: Vec<&str> = types.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let is_global = |number: &usize| types.get(*number) == Some(&"full_attention");
            let every = (1..types.len()).find(is_global).unwrap_or(types.len().max(1));
            let expected = (0..n_layers)
                .map(|number| if number % every == 0 { "full_attention" } else { "sliding_attention" })
                .collect::<Vec<_>>();
            if types != expected {
                return keys.refuse(
                    "`layer_types` must hold one type for each layer, `full_attention` in the first and at even distances from it, \
                     `sliding_attention` in all others",
                );
            }
            every
        }
    };
    let gathered = keys.object("rope_parameters")?;
    let theta = |kind: &str, key: &str, default: f64| -> Result<f64> {
        let Some(own) = gathered.map(|all| all.object(kind)).transpose()?.flatten() else {
            return Ok(keys.number(key)?.unwrap_or(default));
        };
        match own.text("rope_type")?.or(own.text("type")?) {
            None | Some("default") => Ok(own.number("rope_theta")?.unwrap_or(default)),
            Some(other) => keys.refuse(format!("`rope_type` is `{other}`; only `default` is supported")),
        }
    };
    let global_theta = theta("full_attention", "global_rope_theta", 160_000.0)?;
    let local_default = if keys.is_null("local_rope_theta") { global_theta } else { 10_000.0 };
    Ok(WindowParams {
        global_every,
        local: keys.size("local_attention")?.unwrap_or(128),
        global_theta,
        local_theta: theta("sliding_attention", "local_rope_theta", local_default)?,
    })
}

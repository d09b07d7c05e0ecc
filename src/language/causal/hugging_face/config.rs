//! `config.json`. A key that is absent has the value that `transformers` gives it; what would change the numbers and is not
//! known here is refused.

use std::path::Path;

use serde_json::Value;

use crate::Result;
use crate::language::causal::params::{CausalParams, Family, NormKind};
use crate::language::causal::rotary::{RotaryParams, Scaling};
use crate::language::hugging_face::keys::Keys;
use crate::language::kernels::activation::Activation;

/// Reads a configuration; `place` is the file that errors speak of.
///
/// # Errors
/// [`crate::Error::MissingKey`] for a size that is absent; [`crate::Error::InvalidFile`] for another family or anything that cannot be
/// computed here; those of [`CausalParams::check`].
pub fn read(config: &Value, place: &Path) -> Result<CausalParams> {
    let keys = Keys::new(config, place)?;
    let name = keys.need("model_type", keys.text("model_type")?)?;
    let Some(family) = Family::ALL.into_iter().find(|family| family.name() == name) else {
        let known: Vec<String> = Family::ALL.iter().map(|family| format!("`{}`", family.name())).collect();
        return keys.refuse(format!("`model_type` is `{name}`; the known architectures are {}", known.join(", ")));
    };
    if keys.get("quantization_config").is_some() {
        return keys.refuse("the weights are quantized (`quantization_config`): save them in 32 or 16 bits");
    }
    let params = match family {
        Family::Gpt2 => gpt2(&keys),
        _ => turned(&keys, family),
    }?;
    match params.check() {
        Ok(()) => Ok(params),
        Err(error) => keys.refuse(error.to_string()),
    }
}

fn gpt2(keys: &Keys) -> Result<CausalParams> {
    for (key, wanted) in
        [("scale_attn_weights", true), ("scale_attn_by_inverse_layer_idx", false), ("add_cross_attention", false)]
    {
        if keys.flag(key, wanted)? != wanted {
            return keys.refuse(format!("`{key}` is {}, which is not supported", !wanted));
        }
    }
    let (width, n_heads) = (keys.needed_size("n_embd")?, keys.needed_size("n_head")?);
    Ok(CausalParams {
        family: Family::Gpt2,
        n_words: keys.needed_size("vocab_size")?,
        width,
        n_layers: keys.needed_size("n_layer")?,
        n_heads,
        n_key_heads: n_heads,
        head_width: head_width(keys, width, n_heads)?,
        n_hidden: keys.size("n_inner")?.unwrap_or(4 * width),
        context: keys.needed_size("n_positions")?,
        norm: NormKind::Layer,
        epsilon: keys.number("layer_norm_epsilon")?.unwrap_or(1e-5) as f32,
        activation: activation(keys, "activation_function", "gelu_new")?,
        gated: false,
        rotary: None,
        parallel_residual: false,
        qkv_bias: true,
        output_bias: true,
        perceptron_bias: true,
        tied: keys.flag("tie_word_embeddings", true)?,
        start_deviation: keys.number("initializer_range")?.unwrap_or(0.02) as f32,
    })
}

/// The families with rotary positions.
fn turned(keys: &Keys, family: Family) -> Result<CausalParams> {
    let (width, n_heads) = (keys.needed_size("hidden_size")?, keys.needed_size("num_attention_heads")?);
    let is_neox = family == Family::GptNeox;
    let head_width = match keys.size("head_dim")? {
        Some(size) if !is_neox => size,
        _ => head_width(keys, width, n_heads)?,
    };
    let n_key_heads = if is_neox { None } else { keys.size("num_key_value_heads")? };
    let context = keys.needed_size("max_position_embeddings")?;
    let attention_bias = keys.flag("attention_bias", is_neox)?;
    let perceptron_bias = is_neox || family == Family::Llama && keys.flag("mlp_bias", false)?;
    let epsilon = if is_neox {
        keys.number("layer_norm_eps")?.unwrap_or(1e-5)
    } else {
        keys.number("rms_norm_eps")?.unwrap_or(1e-6)
    };
    let n_layers = keys.needed_size("num_hidden_layers")?;
    refuse_windows(keys, family, n_layers)?;
    Ok(CausalParams {
        family,
        n_words: keys.needed_size("vocab_size")?,
        width,
        n_layers,
        n_heads,
        n_key_heads: n_key_heads.unwrap_or(n_heads),
        head_width,
        n_hidden: keys.needed_size("intermediate_size")?,
        context,
        norm: if is_neox { NormKind::Layer } else { NormKind::RootMeanSquare },
        epsilon: epsilon as f32,
        activation: activation(keys, "hidden_act", if is_neox { "gelu" } else { "silu" })?,
        gated: !is_neox,
        rotary: Some(rotary(keys, family, head_width, context)?),
        parallel_residual: is_neox && keys.flag("use_parallel_residual", true)?,
        qkv_bias: attention_bias || family == Family::Qwen2,
        output_bias: attention_bias && family != Family::Qwen2,
        perceptron_bias,
        tied: keys.flag("tie_word_embeddings", false)?,
        start_deviation: keys.number("initializer_range")?.unwrap_or(0.02) as f32,
    })
}

fn head_width(keys: &Keys, width: usize, n_heads: usize) -> Result<usize> {
    if n_heads == 0 || !width.is_multiple_of(n_heads) {
        return keys.refuse(format!("{n_heads} heads cannot share a width of {width} evenly"));
    }
    Ok(width / n_heads)
}

fn activation(keys: &Keys, key: &str, default: &str) -> Result<Activation> {
    Ok(match keys.text(key)?.unwrap_or(default) {
        "gelu" => Activation::Gelu,
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Activation::GeluTanh,
        "silu" | "swish" => Activation::Silu,
        "relu" => Activation::Relu,
        other => {
            let known = "`gelu`, `gelu_new`, `gelu_pytorch_tanh`, `gelu_fast`, `silu`, `swish` and `relu` are known";
            return keys.refuse(format!("`{key}` is `{other}`; {known}"));
        }
    })
}

/// Fails if any layer looks at a window of the past only: attention here is full.
fn refuse_windows(keys: &Keys, family: Family, n_layers: usize) -> Result<()> {
    if let Some(types) = keys.get("layer_types") {
        let others = types.as_array().into_iter().flatten().filter(|name| name.as_str() != Some("full_attention"));
        return match others.into_iter().next() {
            Some(name) => keys.refuse(format!("`layer_types` holds {name}; only `full_attention` is supported")),
            None => Ok(()),
        };
    }
    let window = keys.size("sliding_window")?;
    // Qwen2 writes a window that it does not use; the other families have no such key.
    let is_used = match family {
        Family::Qwen2 => {
            keys.flag("use_sliding_window", false)? && keys.size("max_window_layers")?.unwrap_or(28) < n_layers
        }
        _ => true,
    };
    match window {
        Some(window) if is_used => keys.refuse(format!(
            "`sliding_window` is {window}, and layers use it; only attention to the whole past is supported"
        )),
        _ => Ok(()),
    }
}

fn rotary(keys: &Keys, family: Family, head_width: usize, context: usize) -> Result<RotaryParams> {
    // Version 5 gathers everything in `rope_parameters`; version 4 has keys of its own, and the scaling in `rope_scaling`.
    let gathered = keys.object("rope_parameters")?;
    let scaling = gathered.or(keys.object("rope_scaling")?);
    let [theta_key, fraction_key] = match family {
        Family::GptNeox => ["rotary_emb_base", "rotary_pct"],
        _ => ["rope_theta", "partial_rotary_factor"],
    };
    let find = |gathered_key: &str, key: &str| -> Result<Option<f64>> {
        let inside = gathered.map(|keys| keys.number(gathered_key)).transpose()?.flatten();
        Ok(inside.or(keys.number(gathered_key)?).or(keys.number(key)?))
    };
    let fraction = find("partial_rotary_factor", fraction_key)?;
    let fraction = fraction.unwrap_or(if family == Family::GptNeox { 0.25 } else { 1.0 });
    if family != Family::GptNeox && fraction != 1.0 {
        return keys.refuse(format!("`partial_rotary_factor` is {fraction}, which `{}` does not have", family.name()));
    }
    Ok(RotaryParams {
        n_turned: (head_width as f64 * fraction) as usize,
        theta: find("rope_theta", theta_key)?.unwrap_or(10_000.0),
        scaling: scaling.map_or(Ok(Scaling::Default), |keys| read_scaling(&keys, context))?,
    })
}

fn read_scaling(keys: &Keys, context: usize) -> Result<Scaling> {
    let name = keys.text("rope_type")?.or(keys.text("type")?).unwrap_or("default");
    let number = |key: &str| keys.need(key, keys.number(key)?);
    Ok(match name {
        "default" => Scaling::Default,
        "linear" => Scaling::Linear { factor: number("factor")? },
        "llama3" => Scaling::Llama3 {
            factor: number("factor")?,
            low_freq_factor: number("low_freq_factor")?,
            high_freq_factor: number("high_freq_factor")?,
            original_max_position_embeddings: keys
                .number("original_max_position_embeddings")?
                .unwrap_or(context as f64),
        },
        other => {
            let known = "`default`, `linear` and `llama3` are known";
            return keys.refuse(format!("the scaling of rotary positions (`rope_type`) is `{other}`; {known}"));
        }
    })
}

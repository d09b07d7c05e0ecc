//! Folders that cannot be used are refused with the reason.

use scflow::io::language_folder;

use super::*;
use crate::spoiled::{self, holds, rewrite, with_tensors};

/// What is said of a copy of a golden folder in which something is wrong.
#[track_caller]
fn said(name: &str, spoil: impl FnOnce(&Path)) -> String {
    spoiled::said(&golden(name), spoil, |folder| language_folder::read(folder, true))
}

#[test]
fn a_file_that_is_missing_is_named() {
    for (name, file) in [
        ("neox_parallel", "config.json"),
        ("neox_parallel", "model.safetensors"),
        ("llama_grouped", "model-00002-of-00002.safetensors"),
        ("llama_grouped", "model.safetensors.index.json"),
    ] {
        let said = said(name, |folder| std::fs::remove_file(folder.join(file)).unwrap());
        let named = if file == "model.safetensors.index.json" { "model.safetensors" } else { file };
        holds(&said, &[named, "is missing"]);
    }
    let pickled = said("gpt2", |folder| {
        std::fs::rename(folder.join("model.safetensors"), folder.join("pytorch_model.bin")).unwrap();
    });
    holds(&pickled, &["model.safetensors", "save_pretrained"]);
    let none = language_folder::read(Path::new("no/such/folder"), true).err().unwrap();
    holds(&none.to_string(), &["no/such/folder", "no such folder"]);
}

#[test]
fn a_configuration_that_cannot_be_computed_is_refused() {
    for (name, from, to, parts) in [
        (
            "gpt2",
            "\"model_type\": \"gpt2\"",
            "\"model_type\": \"mamba\"",
            &["mamba", "`gpt_neox`, `llama`, `gpt2`, `qwen2`"][..],
        ),
        ("gpt2", "\"n_layer\": 2", "\"n_layer\": \"two\"", &["n_layer", "whole number"]),
        ("gpt2", "\"n_layer\": 2,", "", &["n_layer", "is missing"]),
        ("gpt2", "\"gelu_new\"", "\"mish\"", &["activation_function", "mish"]),
        ("gpt2", "\"scale_attn_weights\": true", "\"scale_attn_weights\": false", &["scale_attn_weights"]),
        ("gpt2", "\"n_head\": 2", "\"n_head\": 3", &["3 heads"]),
        (
            "qwen2",
            "\"use_sliding_window\": false",
            "\"use_sliding_window\": true, \"quantization_config\": {}",
            &["quantized"],
        ),
        (
            "qwen2",
            "\"vocab_size\"",
            "\"layer_types\": [\"full_attention\", \"sliding_attention\"], \"vocab_size\"",
            &["layer_types", "sliding_attention"],
        ),
        ("llama_scaled", "\"llama3\"", "\"yarn\"", &["yarn", "`llama3`"]),
        ("llama_scaled", "\"factor\": 4.0,", "", &["factor", "is missing"]),
        ("llama_grouped", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", &["heads of keys"]),
        ("llama_grouped", "{", "[", &["config.json"]),
    ] {
        holds(&said(name, |folder| rewrite(&folder.join("config.json"), from, to)), parts);
    }
    let window = said("qwen2", |folder| {
        let path = folder.join("config.json");
        rewrite(&path, "\"use_sliding_window\": false", "\"use_sliding_window\": true");
        rewrite(&path, "\"max_window_layers\": 28", "\"max_window_layers\": 1");
    });
    holds(&window, &["sliding_window", "whole past"]);
}

#[test]
fn tensors_that_do_not_fit_are_named_with_their_shapes_and_counts() {
    let name = "gpt_neox.layers.1.attention.dense.weight";
    let with = |change: fn(&mut HashMap<String, Tensor>)| said("neox_parallel", |folder| with_tensors(folder, change));
    const NAME: &str = "gpt_neox.layers.1.attention.dense.weight";
    let absent = with(|all| drop(all.remove(NAME)));
    holds(&absent, &[name, "is missing"]);
    let several = with(|all| all.retain(|name, _| !name.contains("layers.1.mlp")));
    holds(&several, &["layers.1.mlp", "4 of 28 tensors are missing"]);
    let shape = with(|all| drop(all.insert(NAME.into(), all[NAME].narrow(0, 0, 3).unwrap())));
    holds(&shape, &[name, "[16, 16]", "[3, 16]"]);
    let bad = with(|all| drop(all.insert(NAME.into(), (&all[NAME] * f64::NAN).unwrap())));
    holds(&bad, &[name, "256 of 256", "not finite"]);
    let stranger = with(|all| drop(all.insert("gpt_neox.layers.2.mlp.weight".into(), all[NAME].clone())));
    holds(&stranger, &["gpt_neox.layers.2.mlp.weight", "1 tensors belong to no"]);
    let whole = with(|all| drop(all.insert(NAME.into(), all[NAME].to_dtype(candle_core::DType::U8).unwrap())));
    holds(&whole, &[name, "U8"]);
    let tied = said("gpt2", |folder| {
        with_tensors(folder, |all| drop(all.insert("lm_head.weight".into(), (&all["wte.weight"] * 2.0).unwrap())));
    });
    holds(&tied, &["lm_head.weight", "differs from the embedding"]);
    let cut = said("neox_parallel", |folder| {
        let path = folder.join("model.safetensors");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 10]).unwrap();
    });
    holds(&cut, &["model.safetensors", "no tensors that can be read"]);
    let elsewhere = said("llama_grouped", |folder| {
        rewrite(&folder.join("model.safetensors.index.json"), "\"lm_head.weight\"", "\"another\"");
    });
    holds(&elsewhere, &["lm_head.weight", "index.json"]);
}

#[test]
fn a_tokenizer_that_does_not_belong_to_the_model_is_refused() {
    let beyond = said("llama_grouped", |folder| {
        let path = folder.join("tokenizer.json");
        let mut tokenizer: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        *tokenizer["model"]["vocab"].as_object_mut().unwrap().values_mut().last().unwrap() = 99.into();
        std::fs::write(&path, tokenizer.to_string()).unwrap();
    });
    holds(&beyond, &["tokenizer.json", "43 rows", "(99)"]);
    let none = said("llama_grouped", |folder| std::fs::write(folder.join("tokenizer.json"), "{}").unwrap());
    holds(&none, &["tokenizer.json"]);
}

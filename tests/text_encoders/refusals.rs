//! Folders that cannot be used are refused with the reason.

use scflow::conditions::descriptions::Descriptions;

use super::*;
use crate::spoiled::{self, holds, rewrite, with_tensors};

/// What is said of a copy of a golden folder in which something is wrong.
#[track_caller]
fn said(name: &str, spoil: impl FnOnce(&Path)) -> String {
    spoiled::said(&golden(name), spoil, |folder| text_encoder_folder::read(folder, None))
}

#[test]
fn a_file_that_is_missing_is_named() {
    for (name, file) in [
        ("bert", "config.json"),
        ("bert", "model.safetensors"),
        ("bert", "tokenizer.json"),
        ("llama_grouped", "tokenizer.json"),
        ("bert_tanh", "model-00002-of-00002.safetensors"),
    ] {
        holds(&said(name, |folder| std::fs::remove_file(folder.join(file)).unwrap()), &[file, "is missing"]);
    }
    let none = text_encoder_folder::read(Path::new("no/such/folder"), None).err().unwrap();
    holds(&none.to_string(), &["no/such/folder", "no such folder"]);
}

#[test]
fn a_configuration_that_cannot_be_computed_is_refused() {
    for (name, from, to, parts) in [
        ("bert", "\"bert\"", "\"t5\"", &["`t5`", "`bert`, `distilbert`", "`xlm-roberta`", "`gpt_neox`, `llama`"][..]),
        ("bert", "\"model_type\"", "\"kind\"", &["model_type", "is missing"]),
        ("bert", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": \"two\"", &["num_hidden_layers", "whole number"]),
        ("bert", "\"num_hidden_layers\": 2,", "", &["num_hidden_layers", "is missing"]),
        ("bert", "\"num_attention_heads\": 2", "\"num_attention_heads\": 3", &["heads", "evenly"]),
        ("bert", "\"gelu\"", "\"silu\"", &["hidden_act", "silu"]),
        ("bert", "\"absolute\"", "\"relative_key\"", &["position_embedding_type", "relative_key"]),
        ("bert", "\"is_decoder\": false", "\"is_decoder\": true", &["is_decoder"]),
        ("bert", "\"vocab_size\"", "\"quantization_config\": {}, \"vocab_size\"", &["quantized"]),
        ("distilbert", "\"dim\": 8,", "", &["dim", "is missing"]),
        ("roberta", "\"max_position_embeddings\": 66", "\"max_position_embeddings\": 1", &["behind the padding token"]),
        ("modernbert", "\"norm_bias\": false", "\"norm_bias\": true", &["norm_bias"]),
        ("modernbert", "\"hidden_activation\": \"gelu\"", "\"hidden_activation\": \"relu\"", &["hidden_activation"]),
        ("modernbert_5", "\"default\"", "\"yarn\"", &["yarn"]),
        (
            "modernbert_5",
            "\"sliding_attention\",\n    \"sliding_attention\"",
            "\"sliding_attention\",\n    \"full_attention\"",
            &["layer_types"],
        ),
    ] {
        holds(&said(name, |folder| rewrite(&folder.join("config.json"), from, to)), parts);
    }
}

#[test]
fn tensors_that_do_not_fit_are_named_with_their_shapes_and_counts() {
    const NAME: &str = "roberta.encoder.layer.1.output.dense.weight";
    let with = |change: fn(&mut HashMap<String, Tensor>)| said("roberta", |folder| with_tensors(folder, change));
    holds(&with(|all| drop(all.remove(NAME))), &[NAME, "is missing"]);
    let several = with(|all| all.retain(|name, _| !name.contains("layer.1.attention")));
    holds(&several, &["layer.1.attention", "10 of 37 tensors are missing"]);
    let shape = with(|all| drop(all.insert(NAME.into(), all[NAME].narrow(0, 0, 3).unwrap())));
    holds(&shape, &[NAME, "[8, 12]", "[3, 12]"]);
    let bad = with(|all| drop(all.insert(NAME.into(), (&all[NAME] * f64::NAN).unwrap())));
    holds(&bad, &[NAME, "96 of 96", "not finite"]);
    let stranger = with(|all| drop(all.insert("roberta.encoder.layer.2.x.weight".into(), all[NAME].clone())));
    holds(&stranger, &["roberta.encoder.layer.2.x.weight", "1 tensors belong to no `roberta`"]);
    // The network would do without.
    let norm = said("modernbert", |folder| {
        with_tensors(folder, |all| drop(all.remove("model.layers.2.attn_norm.weight")));
    });
    holds(&norm, &["model.layers.2.attn_norm.weight", "is missing"]);
    let beyond = said("distilbert", |folder| {
        rewrite(&folder.join("tokenizer.json"), "\"which\":", "\"whoever\":999,\"which\":")
    });
    holds(&beyond, &["tokenizer.json", "110 rows", "`whoever` (999)"]);
}

#[test]
fn poolings_and_texts_that_an_architecture_does_not_have_are_refused() {
    let refused = |name: &str, pooling: Pooling, part: &str| {
        let error = network(&golden(name), pooling).err().unwrap();
        assert!(error.is_mistake() && error.to_string().contains(part), "{error}");
    };
    refused("llama_grouped", Pooling::Cls, "use mean or last");
    refused("bert", Pooling::Last, "use mean or cls");
    let bare = tempfile::tempdir().unwrap();
    for (file, bytes) in
        ["config.json", "model.safetensors", "tokenizer.json"].map(|name| (name, golden("bert").join(name)))
    {
        std::fs::copy(bytes, bare.path().join(file)).unwrap();
    }
    let path = bare.path().join("tokenizer.json");
    let mut tokenizer: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    tokenizer["post_processor"] = serde_json::Value::Null;
    std::fs::write(&path, tokenizer.to_string()).unwrap();
    let error = network(bare.path(), Pooling::Cls).err().unwrap();
    assert!(error.to_string().contains("sets no token before a text"), "{error}");

    let described = |rows: &[(&str, String)]| {
        Descriptions::new(rows.iter().map(|(name, text)| ((*name).to_owned(), text.clone()))).unwrap()
    };
    // The tokenizer of this folder asks for texts to be cut after twelve tokens.
    let bert = network(&golden("bert"), Pooling::Mean).unwrap();
    let rows = [("A", "drug ".repeat(62)), ("B", "drug ".repeat(63)), ("C", "a T cell".into())];
    let error = bert.check(&described(&rows)).unwrap_err();
    assert!(error.is_mistake(), "{error}");
    holds(&error.to_string(), &["1 of 3", "1 to 64 tokens", "`B: 65 tokens`"]);
    bert.check(&described(&rows[2..])).unwrap();
    assert!(bert.hidden(&rows[1].1).unwrap_err().to_string().contains("at most 64"));
    // Of 66 positions, those of RoBERTa begin behind the padding token.
    let roberta = network(&golden("roberta"), Pooling::Mean).unwrap();
    let error = roberta.check(&described(&[("A", "a ".repeat(100))])).unwrap_err();
    holds(&error.to_string(), &["1 to 64 tokens"]);
    let error = roberta.check(&described(&[("A", "a <pad> b".into())])).unwrap_err();
    holds(&error.to_string(), &["`A: a padding token`"]);
    assert!(roberta.hidden("a <pad> b").unwrap_err().to_string().contains("padding token"));
}

#[test]
fn sentence_transformers_says_how_to_pool_and_what_else_there_is() {
    let with = |modules: &str, pooling: &str, asked: Option<Pooling>| {
        let folder = tempfile::tempdir().unwrap();
        for file in ["config.json", "model.safetensors", "tokenizer.json"] {
            std::fs::copy(golden("bert").join(file), folder.path().join(file)).unwrap();
        }
        std::fs::create_dir(folder.path().join("1_Pooling")).unwrap();
        let of = |name: &str, path: &str| {
            format!("{{\"type\": \"sentence_transformers.models.{name}\", \"path\": \"{path}\"}}")
        };
        let modules: Vec<String> = modules.split(' ').map(|name| of(name, "1_Pooling")).collect();
        std::fs::write(
            folder.path().join("modules.json"),
            format!("[{}, {}]", of("Transformer", ""), modules.join(", ")),
        )
        .unwrap();
        std::fs::write(folder.path().join("1_Pooling/config.json"), pooling).unwrap();
        match text_encoder_folder::read(folder.path(), asked) {
            Ok(read) => format!("{:?}", read.pooling),
            Err(error) => format!("{error} {}", error.hint().unwrap_or_default()),
        }
    };
    let [cls, mean] = ["cls_token", "mean_tokens"]
        .map(|mode| format!("{{\"pooling_mode_{mode}\": true, \"pooling_mode_x\": false}}"));
    assert_eq!(with("Pooling Normalize", &cls, None), "Cls");
    assert_eq!(with("Pooling", &mean, None), "Mean");
    assert_eq!(with("Pooling", "{\"pooling_mode\": \"lasttoken\"}", None), "Last");
    assert_eq!(with("Pooling", &cls, Some(Pooling::Mean)), "Mean");
    holds(
        &with("Pooling", "{\"pooling_mode_max_tokens\": true}", None),
        &["1_Pooling", "`max_tokens`", "--text-pooling"],
    );
    holds(&with("Pooling Dense", &mean, None), &["modules.json", "`Dense`"]);
}

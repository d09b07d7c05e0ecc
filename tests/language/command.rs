//! `scflow language`.

use std::process::Command;

use super::*;

fn scflow(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_scflow")).current_dir(folder).arg("language").args(arguments).output();
    let output = output.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_text_is_told_as_tokens_with_the_probabilities_of_the_next() {
    let (folder, expected) = (tempfile::tempdir().unwrap(), expected());
    let model = golden("llama_grouped");
    let (status, out, said) =
        scflow(folder.path(), &[model.to_str().unwrap(), "--text", "a T cell with drug B", "--top", "3"]);
    assert_eq!(status, 0, "{said}");
    let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split('\t').collect()).collect();
    let ids: Vec<String> = ids(&expected["text_ids"]).iter().map(ToString::to_string).collect();
    assert_eq!(lines[0], ["id", "token"]);
    let tokens: Vec<&str> = lines[1..=ids.len()].iter().map(|line| line[0]).collect();
    assert_eq!(tokens, ids);
    assert_eq!(lines[1][1], "\"<s>\"");
    let mut probabilities: Vec<(usize, f32)> =
        values(&expected["text_probabilities"]).into_iter().enumerate().collect();
    probabilities.sort_by(|a, b| b.1.total_cmp(&a.1));
    let next = &lines[ids.len() + 3..];
    for (line, (id, probability)) in next.iter().zip(&probabilities[..3]) {
        assert_eq!(line[1], id.to_string());
        assert!((line[0].parse::<f32>().unwrap() - probability).abs() < 1e-4, "{line:?} {probability}");
    }
    assert_eq!(next.iter().filter(|line| line.len() == 3).count(), 3);
}

#[test]
fn ids_give_hidden_states_and_logits_in_a_file_padded_on_the_left() {
    let (folder, expected) = (tempfile::tempdir().unwrap(), expected());
    let path = folder.path();
    let model = golden("gpt2");
    let all = ids(&expected["gpt2.ids"]);
    let written = |ids: &[u32]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let (first, second) = (written(&all[..9]), written(&all[13..]));
    let arguments =
        [model.to_str().unwrap(), "--ids", &first, "--ids", &second, "--out", "hidden.safetensors", "--json"];
    let (status, out, said) = scflow(path, &arguments);
    assert_eq!(status, 0, "{said}");
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told[1]["tokens"].as_array().unwrap().len(), 5);
    let tensors = candle_core::safetensors::load(path.join("hidden.safetensors"), &Device::Cpu).unwrap();
    assert_eq!(tensors["last_hidden_state"].dims(), [2, 9, 16]);
    assert_eq!(tensors["logits"].dims(), [2, 9, 43]);
    let mask = tensors["attention_mask"].to_vec2::<i64>().unwrap();
    assert_eq!((mask[0].iter().sum::<i64>(), &mask[1]), (9, &vec![0, 0, 0, 0, 1, 1, 1, 1, 1]));
    for (name, key) in [("last_hidden_state", "gpt2.padded_hidden"), ("logits", "gpt2.padded_logits")] {
        let last = |tensor: &Tensor| tensor.narrow(1, 4, 5).unwrap();
        assert!(gap(&last(&tensors[name]), &last(&expected[key])) < 1e-4, "{name}");
    }
    let (status, _, said) = scflow(path, &arguments);
    assert!(status == 2 && said.contains("exists"), "{said}");
}

#[test]
fn the_device_is_named_and_weights_of_sixteen_bits_give_nearly_the_same() {
    let (folder, expected) = (tempfile::tempdir().unwrap(), expected());
    let path = folder.path();
    for case in CASES {
        let model = golden(case);
        let written = ids(&expected[&format!("{case}.ids")]).iter().map(ToString::to_string).collect::<Vec<_>>();
        let (first, output) = (written[..9].join(","), format!("{case}.safetensors"));
        let fixed = [model.to_str().unwrap(), "--ids", &first, "--out", &output, "--device", "composed"];
        let (status, _, said) = scflow(path, &[&fixed[..], &["--weights", "bf16"]].concat());
        assert_eq!(status, 0, "{said}");
        assert!(said.contains("device: CPU"), "{said}");
        let tensors = candle_core::safetensors::load(path.join(&output), &Device::Cpu).unwrap();
        let whole = &expected[&format!("{case}.hidden")];
        let theirs = whole.get(0).unwrap().narrow(0, 0, 9).unwrap();
        let far = gap(&tensors["last_hidden_state"].get(0).unwrap(), &theirs);
        assert!(far > 1e-4 && far < 6e-2, "{case}: {far}");
    }
}

#[test]
fn what_cannot_be_read_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (gpt2, llama) = (golden("gpt2"), golden("llama_grouped"));
    let (gpt2, llama) = (gpt2.to_str().unwrap(), llama.to_str().unwrap());
    let long = vec!["1"; 65].join(",");
    for (arguments, parts) in [
        (vec![gpt2, "--ids", "1,43,2,99"], vec!["2 of 4", "`43`", "0 to 42"]),
        (vec![gpt2, "--ids", &long], vec!["65", "at most 64"]),
        (vec![gpt2, "--ids", "1", "--weights", "bf16", "--device", "cpu"], vec!["weights", "32 bits only"]),
        (vec![gpt2, "--ids", "1,x"], vec!["`x` is no token id"]),
        (vec![gpt2, "--text", "a"], vec!["tokenizer.json", "--ids"]),
        (vec![gpt2], vec!["--text"]),
        (vec![llama, "--text", "a", "--ids", "1"], vec!["--ids"]),
        (vec!["nothing", "--ids", "1"], vec!["nothing", "no such folder"]),
    ] {
        let (status, out, said) = scflow(path, &[&arguments[..], &["--out", "bad.safetensors"]].concat());
        assert_eq!((status, out.as_str()), (2, ""), "{said}");
        parts.iter().for_each(|part| assert!(said.contains(part), "`{part}` is not in: {said}"));
        assert_eq!(std::fs::read_dir(path).unwrap().count(), 0);
    }
}

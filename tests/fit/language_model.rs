//! A CaLMFlow on a causal language model from a folder, through the program.

use super::*;

/// A copy of one of the golden folders, as `folder/model`.
fn copy(folder: &Path, name: &str) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/language").join(name);
    std::fs::create_dir(folder.join("language")).unwrap();
    for (file, bytes) in files(&golden) {
        std::fs::write(folder.join("language").join(file), bytes).unwrap();
    }
}

const ON_LANGUAGE: [&str; 6] = ["--language-model", "language", "--cells-per-step", "32", "--seed", "3"];

fn fit_on(folder: &Path, output: &str, more: &[&str]) -> (i32, String) {
    let fixed = ["fit", prepared().to_str().unwrap(), "-o", output];
    scflow(folder, &[&fixed[..], &ON_LANGUAGE, more].concat())
}

#[test]
fn a_fit_stands_on_a_folder_in_every_way_and_its_model_needs_it_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    copy(path, "llama_grouped");
    for (name, more, words) in [
        ("full", &["--steps", "12"][..], "pretrained weights"),
        ("random", &["--steps", "12", "--language-model-random"], "drawn at random"),
        ("lora", &["--steps", "12", "--tune", "lora", "--lora-rank", "4", "--accumulate", "2"], "pretrained weights"),
        ("adapters", &["--steps", "12", "--tune", "adapters", "--decoder", "variational"], "pretrained weights"),
    ] {
        let said = ok(fit_on(path, name, more));
        assert!(said.contains("`llama`, 2 blocks of width 16") && said.contains(words), "{said}");
    }
    let again = ["--steps", "12", "--checkpoint-activations"];
    ok(fit_on(path, "again", &again));
    let weights = |name: &str| std::fs::read(path.join(name).join("weights.safetensors")).unwrap();
    assert!(weights("again") == weights("full"), "recomputation changes a model");
    assert!(weights("random") != weights("full"));
    let digest = scflow::io::digest::sha256(&path.join("language/config.json")).unwrap();
    assert!(std::fs::read_to_string(path.join("full/config.json")).unwrap().contains(&digest));
    std::fs::remove_dir_all(path.join("language")).unwrap();
    for name in ["full", "random", "lora", "adapters"] {
        let cells = format!("{name}.h5ad");
        ok(scflow(path, &["predict", name, "--holdout", "--cells", "40", "-o", &cells]));
        assert!(h5ad::read(&path.join(cells)).unwrap().obsm["X_pca"].iter().all(|value| value.is_finite()));
    }
}

/// Fits once whole, and once killed and resumed.
#[track_caller]
fn goes_on_to_the_same_bytes(options: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    copy(path, "llama_grouped");
    let options = [&["--checkpoint-every", "5"], options].concat();
    ok(fit_on(path, "whole", &options));
    assert!(fit_and_kill(path, "killed", &[&ON_LANGUAGE[..], &options].concat()), "the fit was too fast to be killed");
    assert!(ok(fit_on(path, "killed", &[&options[..], &["--resume"]].concat())).contains("going on from step"));
    same_files(&files(&path.join("whole")), &files(&path.join("killed")));
}

#[test]
fn a_killed_fit_with_thin_matrices_goes_on_to_the_same_bytes() {
    goes_on_to_the_same_bytes(&["--steps", "400", "--tune", "lora"]);
}

#[test]
fn weights_of_sixteen_bits_learn_nearly_the_same_take_half_the_room_and_predict_on_the_cpu() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    copy(path, "llama_grouped");
    let composed = ["--steps", "30", "--device", "composed", "--average", "0.5"];
    let narrow = ["--language-weights", "bf16"];
    ok(fit_on(path, "wide", &composed));
    ok(fit_on(path, "narrow", &[&composed[..], &narrow].concat()));
    ok(fit_on(path, "again", &[&composed[..], &narrow, &["--checkpoint-activations"]].concat()));
    let (wide, narrow_losses) = (losses(&path.join("wide")), losses(&path.join("narrow")));
    assert_eq!((wide.len(), narrow_losses.len()), (30, 30));
    for (wide, narrow) in wide.iter().zip(&narrow_losses) {
        assert!((wide - narrow).abs() < 0.02 * wide.abs().max(1.0), "{wide} {narrow}");
    }
    assert!(wide != narrow_losses);
    let weights = |name: &str| std::fs::read(path.join(name).join("weights.safetensors")).unwrap();
    assert!(weights("again") == weights("narrow"), "recomputation changes a model");
    let tensors =
        |name: &str| candle_core::safetensors::load_buffer(&weights(name), &candle_core::Device::Cpu).unwrap();
    let (wide, narrow) = (tensors("wide"), tensors("narrow"));
    let of_language = |name: &str| name.starts_with("0.language.") && wide[name].rank() == 2;
    assert!(narrow.iter().all(|(name, tensor)| (tensor.dtype() == candle_core::DType::BF16) == of_language(name)));
    let predict = |model: &str, device: &str, output: &str| {
        let fixed = ["predict", model, "-p", "drug A + drug B", "--cells", "60", "-o", output, "--device", device];
        ok(scflow(path, &fixed));
        h5ad::read(&path.join(output)).unwrap().obsm.remove("X_pca").unwrap()
    };
    let here = predict("narrow", "cpu", "cpu.h5ad");
    let there = predict("narrow", "composed", "composed.h5ad");
    let means = |cells: &ndarray::Array2<f32>| cells.mean_axis(ndarray::Axis(0)).unwrap();
    let gap = (&means(&here) - &means(&there)).iter().fold(0.0_f32, |most, gap| most.max(gap.abs()));
    assert!(gap < 0.2, "{gap}");
}

#[test]
fn a_fit_of_weights_of_sixteen_bits_goes_on_to_the_same_bytes() {
    goes_on_to_the_same_bytes(&["--steps", "300", "--device", "composed", "--language-weights", "bf16"]);
}

#[test]
fn what_does_not_go_together_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    copy(path, "llama_grouped");
    let long = format!("{{perturbation}} {{cell_type}} {}", "a B ".repeat(40));
    for (more, parts) in [
        (&["--width", "32"][..], &["width", "--language-model"][..]),
        (&["--lora-rank", "4"], &["lora-rank", "--tune lora"]),
        (&["--tune", "lora", "--lora-rank", "0"], &["lora-rank", "above zero"]),
        (&["--adapter-width", "4"], &["adapter-width", "--tune adapters"]),
        (&["--tune", "lora", "--language-model-random"], &["tune", "at random"]),
        (&["--prompt-use", "sum"], &["prompt-use", "prefix"]),
        (&["--accumulate", "0"], &["accumulate"]),
        (&["--language-weights", "bf16", "--device", "cpu"], &["language-weights", "32 bits only", "--device cuda"]),
        (&["--method", "cfm"], &["language-model", "--method calmflow"]),
        (&["--prompt", &long], &["prompt", "reads at most 62"]),
    ] {
        refused(path, fit_on(path, "bad", &[&["--steps", "2"], more].concat()), parts);
    }
    std::fs::remove_file(path.join("language/tokenizer.json")).unwrap();
    refused(path, fit_on(path, "bad", &["--steps", "2"]), &["tokenizer.json", "is missing"]);
    let lone = scflow(path, &["fit", prepared().to_str().unwrap(), "-o", "bad", "--tune", "lora"]);
    refused(path, lone, &["--language-model"]);
}

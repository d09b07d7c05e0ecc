//! scGPT, through the program.

use super::*;

fn fit_scgpt(folder: &Path, output: &str, more: &[&str]) -> (i32, String) {
    let input = prepared().to_str().unwrap();
    let fixed = ["fit", input, "-o", output, "--method", "scgpt", "--width", "32", "--heads", "2", "--seed", "3"];
    scflow(folder, &[&fixed[..], more].concat())
}

#[test]
fn it_goes_from_fit_to_scores_and_knows_what_a_strong_pair_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    ok(fit_scgpt(path, "model", &["--steps", "800", "--learning-rate", "3e-3", "--no-inputs"]));
    let of = ["-p", "drug A + drug C", "-p", "control", "--cells", "200", "-o", "cells.h5ad"];
    ok(scflow(path, &[&["predict", "model"], &of[..]].concat()));
    let (made, real) = (h5ad::read(&path.join("cells.h5ad")).unwrap(), h5ad::read(prepared()).unwrap());
    assert!(made.layers["counts"].values().iter().all(|count| *count > 0.0 && count.fract() == 0.0));
    for cell_type in texts(&made, "cell_type").into_iter().collect::<std::collections::BTreeSet<String>>() {
        let change = |cells: &Cells| {
            counts::mean(cells, "drug A+drug C", &cell_type) - counts::mean(cells, "control", &cell_type)
        };
        let known = counts::correlation(&change(&made), &change(&real));
        // So few steps teach it the strongest effect of the screen; weaker ones, those of the unseen pair too, take many more.
        assert!(known > 0.6, "{cell_type}: {known}");
    }
    ok(scflow(path, &["predict", "model", "--holdout", "--cells", "60", "-o", "held.h5ad"]));
    ok(scflow(path, &["evaluate", "held.h5ad", "--truth", prepared().to_str().unwrap(), "-o", "scores"]));
    assert!(std::fs::read_dir(path.join("scores")).unwrap().count() > 2);
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_a_model_is_nothing_without_its_control_cells() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut outputs = Vec::new();
    for model in ["a", "b"] {
        let cells = format!("{model}.h5ad");
        ok(fit_scgpt(path, model, &["--steps", "6", "--genes-per-step", "50"]));
        ok(scflow(path, &["predict", model, "--holdout", "--cells", "40", "-o", &cells]));
        outputs.push((files(&path.join(model)), std::fs::read(path.join(&cells)).unwrap()));
    }
    assert!(outputs[0] == outputs[1]);
    for name in ["guide.json", "panel.json", "projection.safetensors", "gene_decoder.safetensors"] {
        assert!(outputs[0].0.contains_key(name), "{name}");
    }
    std::fs::remove_file(path.join("a/control_cells.safetensors")).unwrap();
    let said = scflow(path, &["predict", "a", "--holdout", "-o", "bad.h5ad"]);
    refused(path, said, &["control_cells", "is missing"]);
    let warm = scflow(path, &["predict", "b", "--holdout", "--temperature", "0.5", "-o", "bad.h5ad"]);
    refused(path, warm, &["temperature", "`scgpt`"]);
}

#[test]
fn other_devices_compute_the_same_losses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let losses = |device: &str| -> Vec<f64> {
        ok(fit_scgpt(path, device, &["--steps", "10", "--genes-per-step", "30", "--device", device]));
        let table = std::fs::read_to_string(path.join(device).join("history.csv")).unwrap();
        table.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect()
    };
    let (fused, composed) = (losses("cpu"), losses("composed"));
    assert_eq!((fused.len(), composed.len()), (10, 10));
    let gap = fused.iter().zip(&composed).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(gap < 1e-3, "{fused:?} {composed:?}");
    assert!((fused[9] - fused[0]).abs() > 1e-3, "{fused:?}");
}

#[test]
fn choices_that_it_does_not_have_are_refused_and_so_are_its_own_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let bad = |choices: &[&str]| fit_scgpt(path, "bad", &[&["--steps", "3"], choices].concat());
    refused(path, bad(&["--coordinates", "scaled"]), &["coordinates", "`scgpt`"]);
    refused(path, bad(&["--source", "control"]), &["source", "`scgpt`"]);
    refused(path, bad(&["--likelihood", "zinb"]), &["likelihood", "`scgpt`", "--method scvi"]);
    refused(path, bad(&["--time-steps", "3"]), &["time-steps", "`scgpt`", "--method calmflow"]);
    refused(path, bad(&["--genes-per-step", "0"]), &["genes-per-step", "above zero"]);
    refused(path, bad(&["--layers", "0"]), &["layers", "above zero"]);
    let input = prepared().to_str().unwrap();
    let other = |more: &[&str]| scflow(path, &[&["fit", input, "-o", "bad", "--steps", "3"], more].concat());
    refused(path, other(&["--genes-per-step", "9"]), &["genes-per-step", "`calmflow`", "--method scgpt"]);
    refused(path, other(&["--method", "scvi", "--heads", "2"]), &["heads", "`scvi`", "scgpt"]);
}

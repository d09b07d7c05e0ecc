//! Descriptions that a network reads: the fit, the folder that it leaves, predictions from it, and what is refused.

use super::unseen::{components, screen};
use super::*;

/// A copy of a golden folder, as `folder/encoder`.
fn copy(folder: &Path, name: &str) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    std::fs::create_dir(folder.join("encoder")).unwrap();
    for (file, bytes) in files(&golden) {
        std::fs::write(folder.join("encoder").join(file), bytes).unwrap();
    }
}

/// Descriptions that the golden models have room for: `short.csv`.
fn shorten(folder: &Path) {
    let table = std::fs::read_to_string(folder.join("drugs.csv")).unwrap();
    let short =
        |line: &str| line.split(" pathway").next().unwrap().replace("activator; it ", "").replace("inhibitor; it ", "");
    let lines: Vec<String> = table.lines().map(short).collect();
    std::fs::write(folder.join("short.csv"), lines.join("\n") + "\n").unwrap();
}

fn fit(folder: &Path, output: &str, more: &[&str]) -> (i32, String) {
    let fixed = ["fit", "prepared.h5ad", "-o", output, "--descriptions", "short.csv", "--text-encoder", "encoder"];
    scflow(folder, &[&fixed[..], more].concat())
}

#[test]
fn a_network_reads_descriptions_and_the_model_needs_its_folder_no_more() {
    let folder = screen();
    let path = folder.path();
    let [unseen, _] = components(path);
    shorten(path);
    for (name, poolings, words) in [
        ("text_encoders/roberta", ["mean", "cls"], "`roberta`, 2 blocks of width 8"),
        ("language/llama_grouped", ["mean", "last"], "`llama`, 2 blocks of width 16"),
    ] {
        copy(path, name);
        for pooling in poolings {
            let said = ok(fit(path, pooling, &["--method", "additive", "--text-pooling", pooling]));
            assert!(said.contains(words) && said.contains("by the words of these"), "{said}");
        }
        ok(fit(path, "again", &["--method", "additive"]));
        same_files(&files(&path.join("mean")), &files(&path.join("again")));
        ok(fit(path, "linear", &["--method", "linear"]));
        let small = ["--steps", "4", "--method", "cfm", "--width", "16", "--layers", "1", "--cells-per-step", "32"];
        ok(fit(path, "flow", &small));
        let digest = scflow::io::digest::sha256(&path.join("encoder/config.json")).unwrap();
        assert!(std::fs::read_to_string(path.join("flow/config.json")).unwrap().contains(&digest));
        std::fs::remove_dir_all(path.join("encoder")).unwrap();

        let known = std::fs::read_to_string(path.join("short.csv")).unwrap();
        let text = known.lines().find(|line| line.starts_with(&unseen[0])).unwrap().split_once(',').unwrap().1;
        std::fs::write(path.join("more.csv"), format!("name,text\ndrug Q,{text}\ndrug R,a T cell\n")).unwrap();
        for model in [poolings[0], poolings[1], "linear", "flow"] {
            // A further description says as much as the same one in the table, and another says something else.
            let mean = |asked: &str, more: &[&str]| {
                let fixed = ["predict", model, "-o", "p.h5ad", "--allow-unseen", "--cells", "20", "--force", "-q"];
                ok(scflow(path, &[&fixed[..], &["-p", asked], more].concat()));
                let cells = h5ad::read(&path.join("p.h5ad")).unwrap();
                cells.obsm["X_pca"].mean_axis(ndarray::Axis(0)).unwrap()
            };
            let more = ["--descriptions", "more.csv"];
            let [own, same, other] = [mean(&unseen[0], &[]), mean("drug Q", &more), mean("drug R", &more)];
            let gap = |a: &ndarray::Array1<f32>| (a - &own).mapv(f32::abs).sum();
            if model != "flow" {
                assert!(gap(&same) < 1e-3 && gap(&other) > 1e-2, "{model}: {} {}", gap(&same), gap(&other));
            }
        }
        let told = scflow_out(path, &["inspect", "p.h5ad"]);
        assert!(told.contains("by cfm; descriptions were read by"), "{told}");
        std::fs::write(path.join("long.csv"), format!("name,text\ndrug Q,{}\n", "cells ".repeat(70))).unwrap();
        let long =
            ["predict", "mean", "-o", "bad.h5ad", "-p", "drug Q", "--allow-unseen", "--descriptions", "long.csv"];
        refused(path, scflow(path, &long), &["1 of 1", "1 to 64 tokens", "drug Q: "]);
        for model in ["mean", poolings[1], "again", "linear", "flow"] {
            std::fs::remove_dir_all(path.join(model)).unwrap();
        }
    }
}

/// What the program says on standard output.
fn scflow_out(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_scflow")).current_dir(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_does_not_go_together_is_refused() {
    let folder = screen();
    let path = folder.path();
    shorten(path);
    copy(path, "text_encoders/roberta");
    let shift = ["--method", "additive-shift"];
    refused(path, fit(path, "bad", &["--method", "cpa"]), &["reads no descriptions"]);
    refused(path, fit(path, "bad", &["--centre", "none"]), &["text-encoder", "--centre none"]);
    refused(path, fit(path, "bad", &[&shift[..], &["--text-pooling", "last"]].concat()), &["use mean or cls"]);
    let bare = ["fit", "prepared.h5ad", "-o", "bad", "--method", "additive-shift"];
    refused(path, scflow(path, &[&bare[..], &["--text-encoder", "encoder"]].concat()), &["--descriptions"]);
    let pooling = [&bare[..], &["--descriptions", "short.csv", "--text-pooling", "mean"]].concat();
    refused(path, scflow(path, &pooling), &["--text-encoder"]);
    let long = [&bare[..], &["--descriptions", "drugs.csv", "--text-encoder", "encoder"]].concat();
    refused(path, scflow(path, &long), &["8 of 8", "1 to 64 tokens", "drug A: "]);
    std::fs::remove_file(path.join("encoder/tokenizer.json")).unwrap();
    refused(path, fit(path, "bad", &shift), &["tokenizer.json", "is missing"]);
    std::fs::write(path.join("encoder/config.json"), "{\"model_type\": \"t5\"}").unwrap();
    refused(path, fit(path, "bad", &shift), &["`t5`", "`modernbert`"]);
    let none = [&bare[..], &["--descriptions", "short.csv", "--text-encoder", "nowhere"]].concat();
    refused(path, scflow(path, &none), &["nowhere", "no such folder"]);
    // In a file of a run too.
    let config = "input = \"raw.h5ad\"\noutput = \"bad-run\"\n[preprocess]\nno_holdout = true\n[fit]\nmethod = \"additive-shift\"\n\
                  text_encoder = \"encoder\"\n";
    std::fs::write(path.join("run.toml"), config).unwrap();
    refused(path, scflow(path, &["run", "run.toml"]), &["text-encoder", "--descriptions"]);
}

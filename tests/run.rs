//! `scflow run` on a small simulated screen, through the program.

use std::path::Path;

use assert_cmd::Command;

const CONFIG: &str = r#"
output = "results"

[simulate]
cells = 700
genes = 200
singles = 3
cell_types = 1
seed = 1

[preprocess]
perturbation_column = "perturbation"
control = "control"
holdout = ["drug A + drug B"]
n_top_genes = 120
n_components = 10

[fit]
steps = 5
width = 16
layers = 1
heads = 2

[predict]
cells = 40

[report]
title = "A run"
"#;

/// Runs the configuration in `folder`; returns the exit status, and what was said on standard output and error.
fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scflow"));
    let output = command.current_dir(folder).args(["run", "run.toml"]).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// The stages that ran, in order.
fn ran(said: &str) -> Vec<&str> {
    let stage = |line: &'_ str| -> Option<usize> { line.contains("] runs: ").then(|| line.find(' ').unwrap() + 1) };
    said.lines().filter_map(|line| Some(&line[stage(line)?..line.find(']')?])).collect()
}

#[test]
fn a_run_ends_with_a_report_and_repeats_only_what_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("run.toml"), CONFIG).unwrap();
    let (status, out, said) = run(path, &[]);
    assert_eq!(status, 0, "{said}");
    let report = path.join("results/report.html");
    assert!(out.trim_end().ends_with("results/report.html") && report.is_file(), "{out}");
    assert_eq!(ran(&said), ["simulate", "preprocess", "fit", "predict", "evaluate", "report"], "{said}");
    let first = std::fs::read(&report).unwrap();
    assert!(String::from_utf8_lossy(&first).contains("<h1>A run</h1>"));

    let (_, _, said) = run(path, &[]);
    assert_eq!((ran(&said).len(), said.matches("up to date").count()), (0, 6), "{said}");

    let (_, _, said) = run(path, &["--set", "predict.cells=50"]);
    assert_eq!(ran(&said), ["predict", "evaluate", "report"], "{said}");
    assert!(said.contains("`cells` was 40 and is 50"), "{said}");

    // The resolved configuration stands for the run: with it, nothing is left to do but what was set by hand before.
    let resolved = std::fs::read_to_string(path.join("results/config.toml")).unwrap();
    assert!(resolved.contains("cells = 50") && resolved.contains("target_sum = 10000.0"), "{resolved}");
    std::fs::copy(path.join("results/config.toml"), path.join("run.toml")).unwrap();
    let (_, _, said) = run(path, &["--output", "results"]);
    assert_eq!(ran(&said), Vec::<&str>::new(), "{said}");

    std::fs::remove_file(&report).unwrap();
    let (_, _, said) = run(path, &["--output", "results", "--set", "predict.cells=40", "--quiet"]);
    assert_eq!(said, "");
    assert!(first == std::fs::read(&report).unwrap(), "the same settings gave other bytes");
}

#[test]
fn a_pretrained_folder_is_an_input_that_lies_beside_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/scgpt/pretrained");
    std::fs::create_dir(path.join("weights")).unwrap();
    for name in ["args.json", "vocab.json", "best_model.pt"] {
        std::fs::copy(golden.join(name), path.join("weights").join(name)).unwrap();
    }
    let fit = "steps = 5\nmethod = \"scgpt\"\npretrained = \"weights\"\ngenes_per_step = 40";
    let config = CONFIG.replace("steps = 5\nwidth = 16\nlayers = 1\nheads = 2", fit);
    std::fs::write(path.join("run.toml"), config).unwrap();
    let (status, _, said) = run(path, &[]);
    assert!(status == 0 && said.contains("120 of 120 genes are known"), "{said}");
    let (_, _, said) = run(path, &[]);
    assert_eq!(ran(&said), Vec::<&str>::new(), "{said}");
    let arguments = path.join("weights/args.json");
    std::fs::write(&arguments, std::fs::read_to_string(&arguments).unwrap() + "\n").unwrap();
    let (_, _, said) = run(path, &[]);
    assert!(said.contains("its input `pretrained` changed") && ran(&said).contains(&"fit"), "{said}");
}

#[test]
fn wrong_configurations_end_with_status_two_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let refused = |config: &str, arguments: &[&str], part: &str| {
        std::fs::write(path.join("run.toml"), config).unwrap();
        let (status, _, said) = run(path, arguments);
        assert!(status == 2 && said.contains(part), "{status} {said}");
        assert!(!path.join("results").exists(), "{part}");
    };
    refused(&CONFIG.replace("n_top_genes", "n_top_gene"), &[], "key `n_top_gene` is unknown to section [preprocess]");
    refused(&CONFIG.replace("n_top_genes", "n_top_gene"), &[], "`n_top_genes`");
    refused(&CONFIG.replace("[predict]", "[predictions]"), &[], "key `predictions` is unknown");
    refused(CONFIG, &["--set", "fit.steps=many"], "fit.steps");
    refused(CONFIG, &["--set", "fit.output=\"x\""], "the run decides this");
    refused(CONFIG, &["--set", "input=nowhere.h5ad"], "nowhere.h5ad`: no such file");
    refused(CONFIG, &["--set", "fit.heads=0"], "heads");
    let sizes = "width = 16\nlayers = 1\nheads = 2\n";
    let narrow = "language_model = \"model\"\nlanguage_weights = \"bf16\"\ndevice = \"cpu\"\n";
    refused(&CONFIG.replace(sizes, narrow), &[], "language-weights = `bf16`: the CPU multiplies in 32 bits only");
    refused("output = ", &[], "run.toml");
    std::fs::remove_file(path.join("run.toml")).unwrap();
    assert_eq!(run(path, &[]).0, 2);
}

#[test]
fn the_configurations_of_the_project_are_valid() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("screen.h5ad");
    std::fs::write(&input, "").unwrap();
    let set_input = format!("input={}", input.display());
    for (name, set) in [("simulated", "simulate.seed=0"), ("norman", set_input.as_str())] {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("pipelines/{name}.toml"));
        std::fs::copy(&config, folder.path().join("run.toml")).unwrap();
        // The report is the last section that is read: every other one has been found right when this key is refused.
        let set = ["--set", set, "--set", "report.no_such_key=1", "--output", "results"];
        let (status, _, said) = run(folder.path(), &set);
        assert!(status == 2 && said.contains("key `no_such_key` is unknown to section [report]"), "{name}: {said}");
    }
}

#[test]
fn a_run_gives_the_same_bytes_in_another_folder() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let files = folders.each_ref().map(|folder| {
        std::fs::write(folder.path().join("run.toml"), CONFIG).unwrap();
        let (status, _, said) = run(folder.path(), &["--threads", "2"]);
        assert_eq!(status, 0, "{said}");
        let results = folder.path().join("results");
        let mut files = Vec::new();
        for place in [".", "2-model", "4-scores"] {
            for entry in std::fs::read_dir(results.join(place)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() && path.extension().is_none_or(|extension| extension != "toml") {
                    files.push((path.strip_prefix(&results).unwrap().to_owned(), std::fs::read(&path).unwrap()));
                }
            }
        }
        files.sort();
        files
    });
    let [first, second] = files;
    assert!(first.len() > 15, "{}", first.len());
    for ((name, a), (other, b)) in first.iter().zip(&second) {
        assert!(name == other && a == b, "{} differs", name.display());
    }
}

const BENCHMARK: &str = r#"
output = "results"

[simulate]
cells = 700
genes = 200
singles = 3
cell_types = 1
seed = 1

[preprocess]
perturbation_column = "perturbation"
control = "control"
n_top_genes = 120
n_components = 10

[benchmark]
methods = ["control-mean"]
folds = 3
seeds = 1
allow_missing = true
"#;

#[test]
fn a_benchmark_takes_the_place_of_the_other_stages_and_its_settings_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("run.toml"), BENCHMARK).unwrap();
    let (status, out, said) = run(path, &[]);
    assert_eq!(status, 0, "{said}");
    assert!(
        out.trim_end().ends_with("results/benchmark/report.html") && !path.join("results/2-model").exists(),
        "{out}"
    );
    let scores = || std::fs::read_to_string(path.join("results/benchmark/scores.csv")).unwrap();
    let before = scores();
    // Two methods and the ceiling on three pairs.
    assert_eq!(before.lines().count(), 1 + 3 * 3, "{before}");
    let (status, _, said) = run(path, &[]);
    assert!(status == 0 && ran(&said).is_empty() && scores() == before, "{said}");
    let (status, _, said) = run(path, &["--set", "benchmark.cells=25"]);
    assert!(status == 0 && said.contains("`cells` was 500 and is 25") && scores() != before, "{said}");

    // The resolved settings give the same elsewhere; tables are found from where the file lies.
    let table = std::fs::read(path.join("results/benchmark/splits/fold-2/split.csv")).unwrap();
    std::fs::write(path.join("two.csv"), table).unwrap();
    let named = BENCHMARK.replace("folds = 3", "splits = { second = \"two.csv\" }");
    let text = format!(
        "input = {:?}\n{}",
        path.join("results/0-screen.h5ad"),
        named.replace("output = \"results\"", "output = \"named\"")
    );
    let start = text.find("[simulate]").unwrap();
    let end = text.find("[preprocess]").unwrap();
    std::fs::write(path.join("run.toml"), [&text[..start], &text[end..]].concat()).unwrap();
    let (status, _, said) = run(path, &[]);
    assert_eq!(status, 0, "{said}");
    let named = std::fs::read_to_string(path.join("named/benchmark/scores.csv")).unwrap();
    std::fs::copy(path.join("named/config.toml"), path.join("run.toml")).unwrap();
    let (status, _, said) = run(path, &["-o", "again"]);
    assert_eq!(status, 0, "{said}");
    assert_eq!(std::fs::read_to_string(path.join("again/benchmark/scores.csv")).unwrap(), named);
    let of_fold = |text: &str, split: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.strip_prefix(split)).map(str::to_owned).collect()
    };
    assert_eq!(of_fold(&named, "second,"), of_fold(&before, "fold-2,"));

    for (change, part) in [
        ("[benchmark]\n", "[benchmark]\nmethod = \"cfm\"\n"),
        ("[benchmark]\n", "[fit]\nsteps = 5\n[benchmark]\n"),
        ("folds = 3", "folds = 3\nthreads = 2"),
        ("folds = 3", ""),
    ] {
        std::fs::write(path.join("run.toml"), BENCHMARK.replace(change, part)).unwrap();
        let (status, _, said) = run(path, &["-o", "bad"]);
        assert!(status == 2 && !path.join("bad").exists(), "{part}: {said}");
    }
}

#[test]
fn a_section_split_chooses_what_is_held_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let split = "[split]\nscheme = \"leave-combination-out\"\nfraction = 0.4\n\n[fit]\nmethod = \"additive-shift\"";
    let both = CONFIG.replace("[fit]\nsteps = 5\nwidth = 16\nlayers = 1\nheads = 2", split);
    std::fs::write(path.join("run.toml"), &both).unwrap();
    let (status, _, said) = run(path, &[]);
    assert!(status == 2 && said.contains("beside holdout"), "{said}");
    std::fs::write(path.join("run.toml"), both.replace("holdout = [\"drug A + drug B\"]\n", "")).unwrap();
    let (status, _, said) = run(path, &[]);
    assert_eq!(status, 0, "{said}");
    assert_eq!(ran(&said), ["simulate", "split", "preprocess", "fit", "predict", "evaluate", "report"], "{said}");
    assert!(said.contains("combo_seen2: 1 conditions") && path.join("results/0-split.csv").is_file(), "{said}");
    let resolved = path.join("results/config.toml");
    std::fs::copy(&resolved, path.join("run.toml")).unwrap();
    let (status, _, said) = run(path, &["--output", "elsewhere"]);
    assert!(status == 0 && ran(&said).contains(&"split"), "{said}");
    let (status, _, said) = run(path, &["--set", "split.seed=3"]);
    assert!(status == 0 && ran(&said).contains(&"split"), "{said}");
}

#[test]
fn a_simulated_screen_may_come_with_descriptions_that_the_fit_reads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let fit = "[fit]\nmethod = \"additive-shift\"";
    let config = CONFIG
        .replace("[fit]\nsteps = 5\nwidth = 16\nlayers = 1\nheads = 2", fit)
        .replace("singles = 3", "singles = 6\npairs = 4\ndescriptions = true")
        .replace("holdout = [\"drug A + drug B\"]", "holdout = [\"drug B\"]")
        .replace("cells = 40", "cells = 40\nallow_unseen = true")
        + "\n[evaluate]\nallow_missing = true\n";
    std::fs::write(path.join("run.toml"), &config).unwrap();
    let (status, _, said) = run(path, &[]);
    assert_eq!(status, 0, "{said}");
    let table = std::fs::read_to_string(path.join("results/0-descriptions.csv")).unwrap();
    assert!(table.starts_with("name,text\n") && table.lines().count() == 1 + 6, "{table}");
    let known = std::fs::read_to_string(path.join("results/2-model/descriptions.json")).unwrap();
    assert!(known.contains("drug B"), "{known}");
    // The resolved settings write and read a table of their own elsewhere.
    let resolved = std::fs::read_to_string(path.join("results/config.toml")).unwrap();
    assert!(resolved.contains("descriptions = true") && !resolved.contains("descriptions.csv"), "{resolved}");
    std::fs::write(path.join("run.toml"), &resolved).unwrap();
    let (status, _, said) = run(path, &["--output", "elsewhere"]);
    assert!(status == 0 && path.join("elsewhere/0-descriptions.csv").is_file(), "{said}");
    let (status, _, said) = run(path, &["--output", "elsewhere", "--set", "simulate.descriptions=\"drugs.csv\""]);
    assert!(status == 2 && said.contains("0-descriptions.csv"), "{said}");
    let (status, _, said) = run(path, &["--output", "plain", "--set", "simulate.descriptions=false"]);
    assert!(status == 0 && !path.join("plain/0-descriptions.csv").exists(), "{said}");
    let known = std::fs::read_to_string(path.join("plain/2-model/descriptions.json")).unwrap_or_default();
    assert!(!known.contains("drug B"), "{known}");
}

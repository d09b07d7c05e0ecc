//! `scflow fit` and `scflow predict` on a small simulated screen, through the program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ndarray::{Axis, s};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use scflow::cells::{Cells, Column};
use scflow::io::h5ad;
use scflow::prepared::{COUNTS, EMBEDDING, Prepared};
use tempfile::TempDir;

mod cell_eval;
mod device;

const SMALL: [&str; 8] = ["--width", "16", "--layers", "1", "--heads", "2", "--cells-per-step", "32"];

/// A prepared screen, made once: two cell types, three drugs and their pairs, `drug A + drug B` held out.
fn prepared() -> &'static Path {
    static SCREEN: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = SCREEN.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let run = |arguments: &str| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_scflow"));
            let output = command.current_dir(folder.path()).args(arguments.split(' ')).arg("-q").output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        run("simulate -o raw.h5ad --cells 900 --genes 200 --singles 3 --cell-types 2 --seed 1");
        let mut command = Command::new(env!("CARGO_BIN_EXE_scflow"));
        command.current_dir(folder.path()).args(
            "preprocess raw.h5ad -o prepared.h5ad --perturbation-column perturbation --control control -q \
             --covariate cell_type --n-top-genes 120 --n-components 10 --holdout"
                .split_whitespace(),
        );
        assert!(command.arg("drug A + drug B").status().unwrap().success());
        let path = folder.path().join("prepared.h5ad");
        (folder, path)
    });
    path
}

/// Runs the program in `folder`: exit status and what it said on standard error.
fn scflow(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_scflow")).current_dir(folder).args(arguments).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn fit(folder: &Path, output: &str, more: &[&str]) -> (i32, String) {
    let input = prepared().to_str().unwrap();
    scflow(folder, &[&["fit", input, "-o", output], &SMALL[..], more].concat())
}

#[track_caller]
fn ok((status, said): (i32, String)) -> String {
    assert_eq!(status, 0, "{said}");
    said
}

#[track_caller]
fn refused(folder: &Path, (status, said): (i32, String), parts: &[&str]) {
    assert_eq!(status, 2, "{said}");
    parts.iter().for_each(|part| assert!(said.contains(part), "`{part}` is not in: {said}"));
    let left: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("bad")), "{left:?}");
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect()
}

fn texts(cells: &Cells, column: &str) -> Vec<String> {
    cells.obs.texts("obs", column).unwrap()
}

#[test]
fn a_seed_gives_the_same_model_and_the_same_cells() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for model in ["a", "b"] {
        ok(fit(path, model, &["--steps", "12", "--seed", "4", "--threads", "2"]));
        ok(scflow(path, &["predict", model, "--holdout", "--cells", "30", "-o", &format!("{model}.h5ad")]));
    }
    let (a, b) = (files(&path.join("a")), files(&path.join("b")));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    a.iter().for_each(|(name, bytes)| assert!(*bytes == b[name], "{name} differs"));
    assert!(std::fs::read(path.join("a.h5ad")).unwrap() == std::fs::read(path.join("b.h5ad")).unwrap());
    let history = String::from_utf8(a["history.csv"].clone()).unwrap();
    assert!(history.starts_with("step,loss\n1,") && history.lines().count() == 13, "{history}");
}

#[test]
fn predictions_hold_what_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    ok(fit(path, "model", &["--steps", "8"]));
    let predict = |output: &str, more: &[&str]| {
        ok(scflow(path, &[&["predict", "model", "--cells", "25", "-o", output], more].concat()));
        h5ad::read(&path.join(output)).unwrap()
    };
    let one = predict("one.h5ad", &["--perturbation", "drug A + drug B", "--covariate", "cell_type=T cell"]);
    let two = predict("two.h5ad", &["--perturbation", " drug B+drug A ", "--covariate", "cell_type=T cell"]);
    assert_eq!((&one.x, &one.obs, &one.obsm), (&two.x, &two.obs, &two.obsm));
    assert_eq!(texts(&one, "perturbation"), vec!["drug A+drug B"; 25]);
    assert_eq!(texts(&one, "status"), vec!["unseen_combination"; 25]);
    let counts = &one.layers["counts"];
    assert!(counts.values().iter().all(|count| *count > 0.0 && count.fract() == 0.0));
    let share = counts.n_stored() as f64 / (counts.n_rows() * counts.n_columns()) as f64;
    assert!(share > 0.1 && share < 0.6, "{share}");
    // X is log1p of the counts per library size.
    let sizes = one.obs.floats("obs", "library_size").unwrap();
    let (columns, values) = one.x.row(3);
    assert_eq!(columns, counts.row(3).0);
    for (x, count) in values.iter().zip(counts.row(3).1) {
        assert!((f64::from(*x) - (f64::from(*count) / sizes[3] * 1e4).ln_1p()).abs() < 1e-5);
    }

    // A condition's cells do not depend on what else is asked for; without a covariate all of its values are predicted.
    let all = predict("all.h5ad", &["-p", "drug A+drug B", "-p", "drug C", "-p", "control"]);
    let types = texts(&all, "cell_type");
    let rows: Vec<usize> = (0..types.len())
        .filter(|&row| types[row] == "T cell" && texts(&all, "perturbation")[row] == "drug A+drug B")
        .collect();
    assert_eq!(all.n_cells(), 25 * 2 * 3);
    assert_eq!(all.select_cells(&rows).x, one.x);
    assert!(texts(&all, "status").contains(&"seen".to_owned()));
    let Some(Column::Boolean(is_control)) = all.obs.get("is_control") else { panic!() };
    assert_eq!(is_control.iter().filter(|is| **is).count(), 50);
}

#[test]
fn held_out_cells_change_nothing_in_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut cells = h5ad::read(prepared()).unwrap();
    let held: Vec<usize> = (0..cells.n_cells()).filter(|&row| texts(&cells, "split")[row] != "train").collect();
    assert!(held.len() > 20);
    for &row in &held {
        cells.obsm.values_mut().for_each(|coordinates| coordinates.row_mut(row).fill(7.0));
        cells.layers.get_mut("counts").unwrap().row_values_mut(row).fill(1000.0);
        cells.x.row_values_mut(row).fill(9.0);
    }
    let locked = tempfile::NamedTempFile::new().unwrap();
    h5ad::write(locked.path(), &cells).unwrap();
    std::fs::copy(locked.path(), path.join("changed.h5ad")).unwrap();
    ok(fit(path, "model", &["--steps", "6"]));
    let changed = ["fit", "changed.h5ad", "-o", "other", "--steps", "6"];
    ok(scflow(path, &[&changed[..], &SMALL[..]].concat()));
    let (mut a, mut b) = (files(&path.join("model")), files(&path.join("other")));
    // Only the digest of the input differs.
    assert_ne!(a.remove("config.json"), b.remove("config.json"));
    a.iter().for_each(|(name, bytes)| assert!(*bytes == b[name], "{name} differs"));
}

#[test]
fn held_out_conditions_are_refused_as_training_data() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut cells = h5ad::read(prepared()).unwrap();
    cells.obs.set("split", Column::categorical(&vec!["train"; cells.n_cells()]));
    let locked = tempfile::NamedTempFile::new().unwrap();
    h5ad::write(locked.path(), &cells).unwrap();
    std::fs::copy(locked.path(), path.join("leaky.h5ad")).unwrap();
    let said = scflow(path, &["fit", "leaky.h5ad", "-o", "bad", "--steps", "5"]);
    refused(path, said, &["although the cell's condition was held out", "prepare the screen again"]);
}

#[test]
fn wrong_commands_are_refused_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    ok(fit(path, "model", &["--steps", "3"]));
    let predict = |more: &[&str]| scflow(path, &[&["predict", "model", "-o", "bad.h5ad"], more].concat());
    refused(path, predict(&["-p", "drug A + drug X"]), &["`drug X` is unknown to the model", "nearest names: `drug "]);
    refused(path, predict(&["-p", "drug A", "--covariate", "cell_type=T-cell"]), &["value of covariate", "`T cell`"]);
    refused(
        path,
        predict(&["-p", "drug A", "--covariate", "celltype=T cell"]),
        &["covariate `celltype`", "`cell_type`"],
    );
    refused(path, predict(&["-p", "drug A + drug A"]), &["named twice"]);
    refused(path, predict(&[]), &["--perturbation"]);
    refused(path, predict(&["-p", "drug A", "--cells", "0"]), &["at least one cell"]);
    refused(path, predict(&["-p", "drug A", "--temperature=-1"]), &["zero or above"]);
    refused(path, scflow(path, &["predict", "absent", "-p", "drug A", "-o", "bad.h5ad"]), &["absent"]);
    std::fs::create_dir(path.join("empty")).unwrap();
    let said = scflow(path, &["predict", "empty", "-p", "drug A", "-o", "bad.h5ad"]);
    refused(path, said, &["`config.json` is missing", "scflow fit"]);
    let model = files(&path.join("model"));
    let (status, said) = fit(path, "model", &["--steps", "3"]);
    assert!(status == 2 && said.contains("exists") && said.contains("--force"), "{said}");
    assert!(model == files(&path.join("model")));
    refused(path, fit(path, "bad", &["--steps", "3", "--heads", "3"]), &["heads", "multiple"]);
    refused(
        path,
        fit(path, "bad", &["--steps", "3", "--prompt", "a {celltype} with {perturbation}"]),
        &["{cell_type}"],
    );
    refused(path, fit(path, "bad", &["--budget", "5 parsecs"]), &["unit of time"]);
    let raw = prepared().with_file_name("raw.h5ad");
    let said = scflow(path, &["fit", raw.to_str().unwrap(), "-o", "bad"]);
    refused(path, said, &["is missing", "scflow preprocess"]);
    std::fs::write(path.join("model/weights.safetensors"), b"broken").unwrap();
    refused(path, predict(&["-p", "drug A"]), &["weights.safetensors", "fit the model again"]);
}

#[test]
fn a_screen_read_in_parts_is_the_one_read_whole() {
    let whole = Prepared::new(h5ad::read(prepared()).unwrap()).unwrap();
    let (file, cells) = h5ad::Partial::open(prepared(), &["X_pca", EMBEDDING]).unwrap();
    let parts = Prepared::without_genes(cells).unwrap();
    assert_eq!((&parts.conditions, &parts.is_training), (&whole.conditions, &whole.is_training));
    assert_eq!((parts.embedding(), &parts.settings), (whole.embedding(), &whole.settings));
    assert_eq!(parts.library_sizes().unwrap(), whole.library_sizes().unwrap());
    assert_eq!(parts.pca().unwrap(), whole.pca().unwrap());
    assert_eq!((&parts.cells.obs, &parts.cells.var), (&whole.cells.obs, &whole.cells.var));
    assert!(parts.counts().is_err());
    let rows = whole.training_rows();
    assert_eq!(file.layer_rows(COUNTS, &rows).unwrap(), whole.counts().unwrap().select_rows(&rows));
}

#[test]
fn a_screen_without_counts_is_refused_before_training() {
    let folder = tempfile::tempdir().unwrap();
    let mut cells = h5ad::read(prepared()).unwrap();
    cells.layers.clear();
    h5ad::write(&folder.path().join("screen.h5ad"), &cells).unwrap();
    let said = scflow(folder.path(), &["fit", "screen.h5ad", "-o", "bad", "--steps", "100000000"]);
    refused(folder.path(), said, &["layers[\"counts\"]", "scflow preprocess"]);
}

#[test]
fn many_cells_of_a_condition_are_made_in_blocks_that_do_not_depend_on_their_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    ok(fit(path, "model", &["--steps", "4"]));
    let predict = |output: &str, n: &str| {
        let arguments =
            ["predict", "model", "--cells", n, "-o", output, "-p", "drug C", "--covariate", "cell_type=T cell"];
        let said = ok(scflow(path, &arguments));
        (h5ad::read(&path.join(output)).unwrap(), said)
    };
    let (more, said) = predict("more.h5ad", "10040");
    assert!(said.contains("block 2 of 2") && said.contains("wrote 10040 cells"), "{said}");
    let first: Vec<usize> = (0..10_000).collect();
    let (less, said) = predict("less.h5ad", "10000");
    assert!(!said.contains("block"), "{said}");
    let kept = more.select_cells(&first);
    assert_eq!((&kept.x, &kept.obs, &kept.obsm), (&less.x, &less.obs, &less.obsm));
    // The second block is neither a copy of the first nor of another law.
    let embedding = &more.obsm["X_pca"];
    let mean = |rows: std::ops::Range<usize>| embedding.slice(s![rows, ..]).mean_axis(Axis(0)).unwrap();
    assert!(embedding.row(0) != embedding.row(10_000));
    let spread = embedding.std_axis(Axis(0), 0.0);
    let gap = (mean(0..10_000) - mean(10_000..10_040)) / &spread;
    // Of forty cells the mean has a standard error of 0.16 standard deviations.
    assert!(gap.iter().all(|gap| gap.abs() < 0.8), "{gap}");
}

#[test]
fn a_fit_that_diverges_fails_with_the_step() {
    let folder = tempfile::tempdir().unwrap();
    let (status, said) = fit(folder.path(), "bad", &["--steps", "200", "--learning-rate", "1e30"]);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("the loss became") && said.contains("at step") && said.contains("--learning-rate"), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_fit_that_diverges_keeps_the_last_checkpoint_with_good_weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    // The rate rises over the first steps: some are done before it is too high.
    let options = ["--steps", "200", "--learning-rate", "20", "--checkpoint-every", "1"];
    let (status, said) = fit(path, "model", &options);
    assert_eq!(status, 1, "{said}");
    let checkpoint = path.join("model.checkpoint.safetensors");
    assert!(checkpoint.exists() && !path.join("model").exists(), "{said}");
    assert!(said.contains("the last good weights") && said.contains("model.checkpoint.safetensors"), "{said}");
    let number = |before: &str| -> usize {
        let rest = said.split(before).nth(1).unwrap();
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    let (failed, saved) = (number("at step "), number("of step "));
    assert!(saved > 0 && saved + 1 == failed, "{said}");
    let tensors = candle_core::safetensors::load(&checkpoint, &candle_core::Device::Cpu).unwrap();
    assert_eq!(tensors["losses"].dims(), [saved]);
    for (name, tensor) in tensors.iter().filter(|(name, _)| name.starts_with("value/")) {
        let values: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
        assert!(values.iter().all(|value| value.is_finite()), "{name}");
    }
}

#[test]
fn a_fit_that_is_killed_again_and_again_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let options = ["--steps", "120", "--seed", "3", "--checkpoint-every", "7"];
    let start = Instant::now();
    ok(fit(path, "whole", &options));
    let duration = start.elapsed();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let arguments = [&["fit", prepared().to_str().unwrap(), "-o", "killed", "-q"], &SMALL[..], &options[..]].concat();
    let checkpoint = path.join("killed.checkpoint.safetensors");
    let mut n_killed = 0;
    while !path.join("killed").exists() {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scflow"));
        command.current_dir(path).args(&arguments);
        if checkpoint.exists() {
            command.arg("--resume");
        }
        let mut child = command.spawn().unwrap();
        if n_killed < 5 {
            std::thread::sleep(duration.mul_f64(rng.random_range(0.1..0.9)));
            n_killed += usize::from(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
        }
        let status = child.wait().unwrap();
        assert!(status.success() || status.code().is_none(), "{status}");
    }
    assert!(n_killed > 0, "the fit was too fast to be killed");
    let (a, b) = (files(&path.join("whole")), files(&path.join("killed")));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    a.iter().for_each(|(name, bytes)| assert!(*bytes == b[name], "{name} differs"));
}

#[test]
fn a_killed_fit_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let options = ["--steps", "150", "--seed", "9", "--checkpoint-every", "0.05s"];
    ok(fit(path, "whole", &options));
    let arguments = [&["fit", prepared().to_str().unwrap(), "-o", "killed"], &SMALL[..], &options[..]].concat();
    let mut child =
        Command::new(env!("CARGO_BIN_EXE_scflow")).current_dir(path).args(&arguments).arg("-q").spawn().unwrap();
    let checkpoint = path.join("killed.checkpoint.safetensors");
    while !checkpoint.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(checkpoint.exists() && !path.join("killed").exists(), "the fit was too fast to be killed");
    let (status, said) = fit(path, "killed", &options);
    assert!(status == 2 && said.contains("--resume"), "{said}");
    let (status, said) = fit(path, "killed", &["--steps", "150", "--seed", "8", "--resume"]);
    assert!(status == 2 && said.contains("other options"), "{said}");
    let said = ok(fit(path, "killed", &[&options[..], &["--resume"]].concat()));
    assert!(said.contains("going on from step"), "{said}");
    let (a, b) = (files(&path.join("whole")), files(&path.join("killed")));
    a.iter().for_each(|(name, bytes)| assert!(*bytes == b[name], "{name} differs"));
    assert!(!checkpoint.exists());
}

#[cfg(unix)]
#[test]
fn conditions_kept_from_the_fit_stop_it_and_are_never_learned_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let options = ["--steps", "60", "--average", "0.9", "--validation-conditions", "1", "--checkpoint-every", "7"];
    let said = ok(fit(path, "whole", &options));
    let judge = said.lines().find(|line| line.contains("judge")).unwrap_or_else(|| panic!("{said}"));
    assert!(judge.contains("drug A+drug C") || judge.contains("drug B+drug C"), "{judge}");
    assert!(said.contains("told them best"), "{said}");
    let read = |name: &str| std::fs::read_to_string(path.join("whole").join(name)).unwrap();
    let history = read("history.csv");
    assert!(history.lines().next().unwrap().contains("validation_edist_l2"), "{history}");
    let judged: Vec<&str> = history.lines().skip(1).filter(|line| !line.contains(",,")).collect();
    assert!((2..=21).contains(&judged.len()), "{history}");
    let known: serde_json::Value = serde_json::from_str(&read("conditions.json")).unwrap();
    let lists = |name: &str| known[name].to_string();
    let kept = if judge.contains("drug A+drug C") { "drug A" } else { "drug B" };
    assert!(lists("validation").contains(kept) && lists("held_out").contains("drug A"), "{known}");
    assert_eq!(known["validation"].as_array().unwrap().len(), 2, "one pair in two cell types: {known}");
    // Killed and gone on: the same weights, the same judgements.
    let mut child = Command::new(env!("CARGO_BIN_EXE_scflow"));
    child.current_dir(path).args(["fit", prepared().to_str().unwrap(), "-o", "killed"]).args(SMALL).args(options);
    let mut child = child.stderr(std::process::Stdio::null()).spawn().unwrap();
    let checkpoint = path.join("killed.checkpoint.safetensors");
    while !checkpoint.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    if checkpoint.exists() {
        ok(fit(path, "killed", &[&options[..], &["--resume"]].concat()));
    }
    assert_eq!(files(&path.join("whole")), files(&path.join("killed")));
    // More conditions than there are is an error, and a screen without cells marked `val` too.
    refused(path, fit(path, "bad", &["--steps", "5", "--validation-conditions", "9"]), &["9 needed", "2 found"]);
    refused(path, fit(path, "bad", &["--steps", "5", "--validation-split"]), &["val", "--validation-conditions"]);
}

#[test]
fn a_terminated_fit_writes_a_checkpoint_and_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let options = ["--steps", "400", "--seed", "5"];
    ok(fit(path, "whole", &options));
    let arguments = [&["fit", prepared().to_str().unwrap(), "-o", "stopped"], &SMALL[..], &options[..]].concat();
    // The first checkpoint tells that training has begun.
    let mut command = Command::new(env!("CARGO_BIN_EXE_scflow"));
    command.current_dir(path).args(&arguments).args(["--checkpoint-every", "0.01s", "-q"]);
    let mut child = command.spawn().unwrap();
    let checkpoint = path.join("stopped.checkpoint.safetensors");
    while !checkpoint.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let first = std::fs::metadata(&checkpoint).unwrap().modified().unwrap();
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(143), "the fit was too fast to be stopped");
    assert!(checkpoint.exists() && std::fs::metadata(&checkpoint).unwrap().modified().unwrap() >= first);
    assert!(!path.join("stopped").exists());
    ok(fit(path, "stopped", &[&options[..], &["--resume"]].concat()));
    let (a, b) = (files(&path.join("whole")), files(&path.join("stopped")));
    a.iter().for_each(|(name, bytes)| assert!(*bytes == b[name], "{name} differs"));
}

#[test]
fn every_method_goes_from_fit_to_cells_and_a_seed_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let input = prepared().to_str().unwrap();
    for (number, choices) in [
        "--method cfm",
        "--method cfm-ot --source control",
        "--method cfm-sb --sigma 0.3 --centre interaction",
        "--method calmflow --source control --coupling exact",
        "--coupling entropic",
        "--evidence --window 2 --history-noise 0.05 --condition-dropout 0.2",
    ]
    .iter()
    .enumerate()
    {
        let choices: Vec<&str> = choices.split(' ').collect();
        let name = choices.iter().find(|choice| choice.starts_with("cfm")).unwrap_or(&"calmflow");
        let mut outputs = Vec::new();
        for round in ["a", "b"] {
            let (model, cells) = (format!("{number}{round}"), format!("{number}{round}.h5ad"));
            ok(scflow(path, &[&["fit", input, "-o", &model, "--steps", "6", "--width", "16"], &choices[..]].concat()));
            ok(scflow(path, &["predict", &model, "--holdout", "--cells", "40", "-o", &cells]));
            outputs.push((files(&path.join(&model)), std::fs::read(path.join(&cells)).unwrap()));
        }
        assert!(outputs[0] == outputs[1], "{choices:?}");
        let config = String::from_utf8(outputs[0].0["config.json"].clone()).unwrap();
        assert!(config.contains(&format!("\"method\":\"{name}\"")), "{config}");
        assert_eq!(outputs[0].0.contains_key("control_cells.safetensors"), choices.contains(&"control"));
    }
    // A model that starts from control cells is nothing without them.
    std::fs::remove_file(path.join("1a/control_cells.safetensors")).unwrap();
    let said = scflow(path, &["predict", "1a", "--holdout", "-o", "bad.h5ad"]);
    refused(path, said, &["control_cells", "--source control"]);
    let predict =
        |model: &str, more: &[&str]| scflow(path, &[&["predict", model, "--holdout", "-o", "bad.h5ad"], more].concat());
    refused(path, predict("1b", &["--temperature", "0.5"]), &["temperature", "--source control"]);
    refused(path, predict("4a", &["--guidance", "1.5"]), &["guidance", "--condition-dropout"]);
    ok(scflow(path, &["predict", "5a", "--holdout", "--cells", "20", "--guidance", "1.5", "-o", "guided.h5ad"]));
    refused(path, predict("4a", &["--solver", "heun:4"]), &["solver", "`calmflow`", "--method cfm"]);
    ok(scflow(path, &["predict", "0a", "--holdout", "--cells", "20", "--solver", "heun:4", "-o", "heun.h5ad"]));
}

#[test]
fn choices_that_a_method_does_not_have_are_refused_with_both_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let fit = |choices: &str| {
        let choices: Vec<&str> = choices.split(' ').collect();
        scflow(path, &[&["fit", prepared().to_str().unwrap(), "-o", "bad", "--steps", "3"], &choices[..]].concat())
    };
    refused(path, fit("--method cfm --decoder mixture"), &["decoder", "`cfm`", "--method calmflow"]);
    refused(path, fit("--method cfm --evidence"), &["evidence", "`cfm`"]);
    refused(path, fit("--condition-dropout 1"), &["condition-dropout", "below one"]);
    refused(path, fit("--method cfm-sb --heads 2"), &["heads", "`cfm-sb`"]);
    refused(path, fit("--method cfm --coupling exact"), &["coupling", "`exact`", "`cfm`", "--method cfm-ot"]);
    refused(path, fit("--method cfm-sb --sigma 0"), &["sigma", "cfm-ot"]);
    refused(path, fit("--coupling entropic --sigma 0"), &["entropic", "--sigma"]);
    refused(path, fit("--method cfn"), &["cfn", "cfm-ot"]);
}

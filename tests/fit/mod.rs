//! `scflow fit` and `scflow predict` on a small simulated screen, through the program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::Duration;

use scflow::cells::Cells;
use scflow::io::h5ad;
use tempfile::TempDir;

mod screens;
mod doses;
mod predictions;
mod methods;
mod counts;
mod scgpt;
mod pretrained;
mod language_model;
mod cell_eval;
mod perturbench;
mod pertpy;
mod device;
mod validation;
mod interruptions;
mod unseen;
mod text_encoder;

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

#[track_caller]
fn same_files(one: &BTreeMap<String, Vec<u8>>, other: &BTreeMap<String, Vec<u8>>) {
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    one.iter().for_each(|(name, bytes)| assert!(*bytes == other[name], "{name} differs"));
}

/// Fits the quickest method to the prepared screen: the folder `model`.
fn fit_additive_shift(folder: &Path) {
    ok(scflow(folder, &["fit", prepared().to_str().unwrap(), "-o", "model", "--method", "additive-shift"]));
}

/// Starts a fit and kills it as soon as it has written a checkpoint; false if it was too fast for that.
fn fit_and_kill(folder: &Path, output: &str, options: &[&str]) -> bool {
    let input = prepared().to_str().unwrap();
    let arguments = [&["fit", input, "-o", output, "-q"], options].concat();
    let mut child = Command::new(env!("CARGO_BIN_EXE_scflow")).current_dir(folder).args(arguments).spawn().unwrap();
    let checkpoint = folder.join(format!("{output}.checkpoint.safetensors"));
    wait_for(&mut child, || checkpoint.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    checkpoint.exists() && !folder.join(output).exists()
}

/// Waits until something is true or a process has ended.
fn wait_for(child: &mut Child, mut is_true: impl FnMut() -> bool) {
    while !is_true() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn texts(cells: &Cells, column: &str) -> Vec<String> {
    cells.obs.texts("obs", column).unwrap()
}

/// The losses of a fit, step by step.
fn losses(model: &Path) -> Vec<f64> {
    let table = std::fs::read_to_string(model.join("history.csv")).unwrap();
    table.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect()
}

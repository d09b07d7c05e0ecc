//! `scflow simulate`: what the screens are good for, and the command line.

use std::collections::BTreeMap;

use assert_cmd::Command;
use assert_cmd::cargo::cargo_bin_cmd;
use ndarray::Array2;
use predicates::prelude::*;
use predicates::str::contains;
use scflow::conditions::{Condition, Perturbation};
use scflow::io::h5ad;
use scflow::models::reference::Effects;
use scflow::synthetic::{Interactions, Screen, ScreenDesign, simulate};

/// log1p of counts per 2,000: (n_cells, n_genes).
fn log_normalized(screen: &Screen) -> Array2<f32> {
    let mut dense = screen.cells.x.to_dense();
    for mut row in dense.rows_mut() {
        let scale = 2000.0 / row.sum();
        row.mapv_inplace(|value| (value * scale).ln_1p());
    }
    dense
}

/// Over all pairs: the squared residual of the additive estimate, and of the control mean, as shares of the squared
/// effect. Both come from two halves of the cells, whose noise is independent and cancels.
fn residuals(interactions: Interactions) -> (f64, f64) {
    let design = ScreenDesign {
        cells: 5000,
        genes: 600,
        singles: 4,
        pairs: 6,
        cell_types: 2,
        interactions,
        ..Default::default()
    };
    let screen = simulate(&design).unwrap();
    let values = log_normalized(&screen);
    let labels = screen.cells.obs.texts("obs", "perturbation").unwrap();
    let conditions: Vec<Condition> = labels
        .iter()
        .map(|label| Condition::new(Perturbation::parse(label, "control").unwrap(), BTreeMap::new()))
        .collect();
    let residual_of_half = |half: usize| {
        let training: Vec<bool> = (0..labels.len()).map(|row| row % 2 == half).collect();
        let effects = Effects::fit(values.view(), &conditions, &training).unwrap();
        let mut residuals = Vec::new();
        for pair in &screen.truth.pairs {
            let rows: Vec<usize> =
                (0..labels.len()).filter(|&row| training[row] && labels[row] == pair.perturbation).collect();
            let real = values.select(ndarray::Axis(0), &rows).mean_axis(ndarray::Axis(0)).unwrap();
            let condition = &conditions[rows[0]];
            let additive = effects.additive(condition).unwrap();
            let control = effects.control_mean(&condition.covariates).unwrap();
            residuals.push((&real - &additive, &real - &control));
        }
        residuals
    };
    let (first, second) = (residual_of_half(0), residual_of_half(1));
    let pairs = first.iter().zip(&second);
    pairs.fold((0.0, 0.0), |sums, (a, b)| (sums.0 + f64::from(a.0.dot(&b.0)), sums.1 + f64::from(a.1.dot(&b.1))))
}

#[test]
fn the_additive_estimate_beats_the_control_and_fails_only_where_parts_interact() {
    let [none, readable, hidden] = [Interactions::None, Interactions::Readable, Interactions::Hidden]
        .map(residuals)
        .map(|(additive, control)| additive / control);
    assert!(none < 0.03, "{none}");
    assert!((0.1..0.6).contains(&readable), "{readable}");
    assert!((0.1..0.6).contains(&hidden), "{hidden}");
}

fn scflow(arguments: &[&str]) -> Command {
    let mut command = cargo_bin_cmd!("scflow");
    command.args(arguments);
    command
}

#[test]
fn the_same_seed_writes_the_same_bytes_whatever_the_threads() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, more: &[&str]| {
        let path = folder.path().join(name);
        let small = ["--cells", "300", "--genes", "150", "--singles", "4", "--pairs", "5", "--cell-types", "2"];
        let output = ["simulate", "-o", path.to_str().unwrap()];
        scflow(&[&output[..], &small, more].concat()).assert().success().stderr(contains("next: scflow inspect"));
        std::fs::read(path).unwrap()
    };
    let first = write("first.h5ad", &["--seed", "7", "--threads", "1"]);
    assert!(first == write("second.h5ad", &["--seed", "7", "--threads", "3"]));
    assert!(first != write("third.h5ad", &["--seed", "8"]));
    let path = folder.path().join("first.h5ad");
    let cells = h5ad::read(&path).unwrap();
    assert_eq!((cells.n_cells(), cells.n_genes()), (300, 150));
    assert_eq!(cells.varm["simulation_effects"].dim(), (150, 10));
    let words = contains("made by `scflow simulate`").and(contains("pairs")).and(contains("scflow preprocess"));
    scflow(&["inspect", path.to_str().unwrap()]).assert().success().stdout(words);
}

#[test]
fn an_output_that_exists_is_kept_unless_forced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("screen.h5ad");
    h5ad::write(&path, &simulate(&SMALLEST).unwrap().cells).unwrap();
    let before = std::fs::read(&path).unwrap();
    let arguments = ["simulate", "-o", path.to_str().unwrap(), "--cells", "50", "--genes", "100", "--seed", "3"];
    scflow(&arguments).assert().code(2).stderr(contains("exists").and(contains("--force")));
    assert!(std::fs::read(&path).unwrap() == before);
    scflow(&[&arguments[..], &["--force"]].concat()).assert().success();
    assert!(std::fs::read(&path).unwrap() != before);
}

const SMALLEST: ScreenDesign = ScreenDesign {
    cells: 4,
    genes: 100,
    singles: 2,
    pairs: 1,
    pathways: None,
    cell_types: 1,
    batches: 1,
    interactions: Interactions::Hidden,
    seed: 0,
};

#[test]
fn values_that_cannot_work_end_with_status_2_and_name_the_flag() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("screen.h5ad");
    for (flag, value, words) in [
        ("--cells", "0", "--cells = `0`"),
        ("--cells", "36", "37 conditions"),
        ("--cells", "many", "--cells"),
        ("--genes", "20", "--genes = `20`: must be between 100 and"),
        ("--singles", "0", "--singles = `0`"),
        ("--pairs", "29", "at most 28 pairs"),
        ("--cell-types", "0", "--cell-types = `0`"),
        ("--batches", "0", "--batches = `0`"),
        ("--interactions", "some", "possible values: readable, hidden, none"),
        ("--seed", "-1", "--seed"),
    ] {
        let arguments = ["simulate", "-o", path.to_str().unwrap(), &format!("{flag}={value}")];
        scflow(&arguments).assert().code(2).stderr(contains(words));
        assert!(!path.exists());
    }
}

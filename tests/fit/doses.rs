//! Screens with doses: what is held out between others, what is told of it, and what is refused.

use super::*;

/// Two drugs at five doses and their pair, two inner doses held out.
fn prepare(folder: &Path) {
    let run = |arguments: &[&str]| ok(scflow(folder, arguments));
    let design =
        "simulate -o raw.h5ad --cells 900 --genes 200 --singles 2 --doses 5 --cell-types 2 --batches 1 --seed 3";
    run(&design.split(' ').collect::<Vec<_>>());
    let said = run(&[
        "preprocess",
        "raw.h5ad",
        "-o",
        "prepared.h5ad",
        "--perturbation-column",
        "perturbation",
        "--control",
        "control",
        "--covariate",
        "cell_type",
        "--n-top-genes",
        "120",
        "--n-components",
        "8",
        "--holdout",
        "drug A @ 1000 nM",
        "--holdout",
        "drug B @ 10 µM | cell_type=B cell",
    ]);
    assert!(said.contains("held out: drug A @ 1 uM | cell_type="), "{said}");
}

#[test]
fn a_dose_between_others_is_predicted_by_every_kind_of_method_and_one_beyond_them_by_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    prepare(path);
    let prepared = h5ad::read(&path.join("prepared.h5ad")).unwrap();
    let doses = prepared.obs.floats("obs", "dose_1").unwrap();
    let labels = texts(&prepared, "perturbation");
    let row = labels.iter().position(|label| label == "drug B @ 0.1 uM").unwrap();
    assert_eq!((doses[row], texts(&prepared, "dose_unit")[row].as_str()), (0.1, "uM"));
    for method in ["additive-shift", "interaction-shift", "linear", "calmflow", "cfm", "scvi", "cpa", "scgpt"] {
        let trained: &[&str] = match method {
            "calmflow" => &["--steps", "6", "--width", "16", "--layers", "1", "--heads", "2", "--evidence"],
            "cfm" | "scvi" | "cpa" => &["--steps", "6", "--width", "16", "--cells-per-step", "32"],
            "scgpt" => &["--steps", "2", "--width", "16", "--layers", "1", "--heads", "2", "--cells-per-step", "8"],
            _ => &[],
        };
        let input = ["fit", "prepared.h5ad", "-o", method, "--method", method];
        ok(scflow(path, &[&input[..], trained].concat()));
        let output = format!("{method}.h5ad");
        let more = ["--holdout", "-p", "drug A@10000nM + drug B @ 0.02 uM | cell_type=T cell"];
        let said = ok(scflow(path, &[&["predict", method, "--cells", "20", "-o", &output], &more[..]].concat()));
        let remark = "unseen dose: drug A @ 1 uM is read at 0.50 of the way from drug A @ 0.1 uM to drug A @ 10 uM";
        assert!(said.contains(remark), "{said}");
        let made = h5ad::read(&path.join(&output)).unwrap();
        let of = |label: &str| -> Vec<String> {
            let labels = texts(&made, "perturbation");
            let rows = (0..labels.len()).filter(|&row| labels[row] == label);
            rows.map(|row| texts(&made, "status")[row].clone()).collect()
        };
        assert_eq!(of("drug A @ 1 uM"), vec!["unseen_dose"; 40], "{method}");
        assert_eq!(of("drug A @ 10 uM+drug B @ 0.02 uM"), vec!["unseen_dose"; 20], "{method}");
        assert_eq!(of("drug B @ 10 uM"), vec!["unseen_covariates"; 20], "{method}");
        assert_eq!(made.obs.floats("obs", "dose_1").unwrap().iter().filter(|dose| **dose == 10.0).count(), 40);
    }
    let refuse = |perturbation: &str, parts: &[&str]| {
        let answer = scflow(path, &["predict", "additive-shift", "-o", "bad.h5ad", "-p", perturbation]);
        refused(path, answer, parts);
    };
    refuse("drug A @ 500 uM", &["outside what was measured", "drug A @ 0.01 uM, drug A @ 0.1 uM"]);
    refuse("drug A @ 1 uM 24 h", &["has no time in this screen"]);
    refuse("drug A", &["has a dose in this screen", "0.01 uM"]);
    refuse("drug A @ 5", &["has no unit"]);
    refuse("drug A @ 5 ng/ml", &["is in `ng/ml`"]);
    refuse("drug A @ 1 uM + drug A @ 10 uM", &["named twice"]);
    refuse("drug A @ much", &["`much` is no number"]);
    refuse("drug a @ 1 uM", &["`drug a`", "`drug A`"]);
}

#[test]
fn a_prediction_of_doses_is_scored_beside_the_simple_methods() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    prepare(path);
    ok(scflow(path, &["fit", "prepared.h5ad", "-o", "model", "--method", "additive-shift"]));
    ok(scflow(path, &["predict", "model", "--holdout", "--cells", "30", "-o", "predicted.h5ad"]));
    let arguments = ["evaluate", "predicted.h5ad", "--truth", "prepared.h5ad", "-o", "scores", "--min-cells", "5"];
    let (status, said) = scflow(path, &[&arguments[..], &["--allow-missing"]].concat());
    assert_eq!(status, 0, "{said}");
    let table = std::fs::read_to_string(path.join("scores/scores.csv")).unwrap();
    assert!(table.lines().any(|line| line.contains("additive") && line.contains("drug A @ 1 uM")), "{table}");
    assert!(table.contains("unseen_dose"), "{table}");
}

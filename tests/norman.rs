//! The whole pipeline on a real screen (Norman et al. 2019), where the file is at hand.

use std::process::Command;

use serde_json::Value;

use crate::data;

#[test]
fn two_unseen_pairs_of_a_real_screen_are_predicted_from_raw_file_to_report() {
    let Some(raw) = data::file("norman19_k562_combo.h5ad") else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_scflow")).current_dir(folder.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let raw = raw.to_str().unwrap();
    let columns = ["--perturbation-column", "perturbation", "--control", "control", "--size-factors", "total_counts"];
    let held_out = ["--holdout", "KLF1 + MAP2K6", "--holdout", "MAPK1 + TGFBR2"];
    run(&[&["preprocess", raw, "-o", "prepared.h5ad"], &columns[..], &held_out[..]].concat());
    run(&["fit", "prepared.h5ad", "-o", "model", "--steps", "300"]);
    run(&["predict", "model", "--holdout", "--cells", "300", "-o", "predicted.h5ad"]);
    run(&["evaluate", "predicted.h5ad", "--truth", "prepared.h5ad", "-o", "scores"]);
    run(&["report", "scores", "-o", "report.html"]);
    let scores = std::fs::read(folder.path().join("scores/scores.json")).unwrap();
    let scores: Value = serde_json::from_slice(&scores).unwrap();
    let mean = |method: &str, metric: &str| {
        let rows: Vec<&Value> =
            scores["rows"].as_array().unwrap().iter().filter(|row| row["method"] == method).collect();
        assert_eq!(rows.len(), 2);
        rows.iter().map(|row| row["values"][metric].as_f64().unwrap()).sum::<f64>() / 2.0
    };
    // Far nearer than no change, and no worse than a few times the noise of a hundred real cells.
    assert!(mean("model", "edist_l2") < 0.25 * mean("control_mean", "edist_l2"));
    assert!(mean("model", "edist_l2") < 0.15);
    assert!(mean("model", "pearson_delta") > 0.9);
    assert!((mean("model", "std_ratio") - 1.0).abs() < 0.15);
    let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(page.contains("KLF1+MAP2K6") && page.contains("MAPK1+TGFBR2"));
}

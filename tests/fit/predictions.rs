//! What is predicted, and what is refused.

use ndarray::{Axis, s};
use scflow::cells::Column;

use super::*;

#[test]
fn a_seed_gives_the_same_model_and_the_same_cells() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for model in ["a", "b"] {
        ok(fit(path, model, &["--steps", "12", "--seed", "4", "--threads", "2"]));
        ok(scflow(path, &["predict", model, "--holdout", "--cells", "30", "-o", &format!("{model}.h5ad")]));
    }
    let (a, b) = (files(&path.join("a")), files(&path.join("b")));
    same_files(&a, &b);
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
    assert_eq!(texts(&one, "stratum"), vec!["combo_seen2"; 25]);
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

#[cfg(target_os = "linux")]
#[test]
fn what_a_killed_prediction_left_goes_with_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    ok(fit(path, "model", &["--steps", "3"]));
    let names = || -> Vec<String> {
        let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
        entries.map(|name| name.into_string().unwrap()).filter(|name| name.starts_with('.')).collect()
    };
    let predict = ["predict", "model", "-p", "drug C", "-q", "-o", "cells.h5ad", "--cells"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_scflow"));
    let mut child = command.current_dir(path).args(predict).arg("1000000").spawn().unwrap();
    wait_for(&mut child, || !names().is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(names().len(), 1, "the prediction was not killed as it wrote");
    ok(scflow(path, &["predict", "model", "-p", "drug C", "-o", "others.h5ad", "--cells", "5"]));
    assert_eq!(names().len(), 1, "it is another output's");
    ok(scflow(path, &[&predict[..], &["5"]].concat()));
    assert!(names().is_empty() && path.join("cells.h5ad").exists());
}

#[test]
fn control_cells_that_are_taken_again_are_told_and_can_be_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fit_additive_shift(path);
    let predict = |output: &str, more: &[&str]| {
        let said = ok(scflow(path, &[&["predict", "model", "--holdout", "-o", output], more].concat()));
        (said, h5ad::read(&path.join(output)).unwrap())
    };
    let different = |cells: &scflow::cells::Cells| -> usize {
        let rows = cells.obsm["X_pca"].rows().into_iter();
        let bits = rows.map(|row| row.iter().map(|value| value.to_bits()).collect::<Vec<_>>());
        bits.collect::<std::collections::BTreeSet<_>>().len()
    };
    let (said, many) = predict("many.h5ad", &["--cells", "2000"]);
    assert!(said.contains("takes them again for 2 of 2 conditions") && said.contains("--at-most-comparable"), "{said}");
    assert!(many.n_cells() == 4000 && different(&many) < 2000);
    let (said, fewer) = predict("fewer.h5ad", &["--cells", "2000", "--at-most-comparable"]);
    assert!(!said.contains("again"), "{said}");
    assert_eq!(different(&fewer), fewer.n_cells());
    // No more of a condition than there are held-out cells of it.
    let truth = h5ad::read(prepared()).unwrap();
    let n_of = |cells: &scflow::cells::Cells, held_out: bool| {
        let (types, splits) = (texts(cells, "cell_type"), held_out.then(|| texts(cells, "split")));
        let own = |row: &usize| types[*row] == "T cell" && splits.as_ref().is_none_or(|splits| splits[*row] != "train");
        (0..types.len()).filter(own).count()
    };
    assert!(n_of(&fewer, false) > 1 && n_of(&fewer, false) <= n_of(&truth, true));
}

//! `scflow inspect`: what it says of files with this or that in them, and the command line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use assert_cmd::cargo::cargo_bin_cmd;
use predicates::prelude::*;
use predicates::str::contains;
use scflow::cells::{Annotations, Cells, Column, SparseMatrix, Value};
use scflow::inspection::{Choices, Inspection, Scale, inspect};
use scflow::io::h5ad;
use tempfile::TempDir;

/// Forty cells for each of control, A, B and A+B (or other labels), of two types, with counts in six genes.
fn cells(labels: &[&str]) -> Cells {
    let n_cells = 40 * labels.len();
    let count = |cell: usize, gene: usize| ((cell * 5 + gene * gene * 3) % 7) as f32;
    let rows = (0..n_cells).map(|cell| (0..6).map(|gene| (gene as u32, count(cell, gene))).collect());
    let mut obs = Annotations::new((0..n_cells).map(|cell| format!("cell {cell}")).collect());
    let of_cell: Vec<&str> = (0..n_cells).map(|cell| labels[cell % labels.len()]).collect();
    let types: Vec<&str> = (0..n_cells).map(|cell| if cell < n_cells / 2 { "T cell" } else { "B cell" }).collect();
    obs.set("drug", Column::categorical(&of_cell));
    obs.set("cell_type", Column::categorical(&types));
    let var = Annotations::new((0..6).map(|gene| format!("gene {gene}")).collect());
    Cells { x: SparseMatrix::from_rows(6, rows), obs, var, ..Cells::default() }
}

fn screen() -> Cells {
    cells(&["DMSO", "A", "B", "A+B"])
}

fn look(cells: &Cells) -> Inspection {
    inspect("raw.h5ad", cells, Vec::new(), &Choices::default()).unwrap()
}

fn scflow(arguments: &[&str]) -> Command {
    let mut command = cargo_bin_cmd!("scflow");
    command.args(arguments);
    command
}

fn written(cells: &Cells) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("raw.h5ad");
    h5ad::write(&path, cells).unwrap();
    (folder, path)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_screen_gets_a_complete_command_for_the_next_step() {
    let command = look(&screen()).next.command.join(" ");
    assert_eq!(
        command,
        "scflow preprocess raw.h5ad -o raw_prepared.h5ad --perturbation-column drug --control DMSO --covariate \
         cell_type --holdout \"A + B\""
    );
}

#[test]
fn without_combinations_one_perturbation_in_one_kind_of_cell_is_held_out() {
    let command = look(&cells(&["DMSO", "A"])).next.command.join(" ");
    assert!(command.ends_with("--holdout \"A | cell_type=B cell\""), "{command}");
    let mut one_type = cells(&["DMSO", "A"]);
    one_type.obs.columns.pop();
    let next = look(&one_type).next;
    assert!(next.command.join(" ").ends_with("--split FILE.csv") && next.remarks.len() == 1, "{next:?}");
}

#[test]
fn two_columns_that_may_name_the_perturbation_are_both_shown_and_none_is_chosen() {
    let mut cells = screen();
    let copy = cells.obs.get("drug").unwrap().clone();
    cells.obs.set("condition", copy);
    let inspection = look(&cells);
    assert!(inspection.perturbations.is_none());
    assert!(inspection.next.remarks[0].contains("`drug`, `condition`"), "{:?}", inspection.next);
    let choices = Choices { perturbation_column: Some("condition".into()), ..Choices::default() };
    let inspection = inspect("raw.h5ad", &cells, Vec::new(), &choices).unwrap();
    assert_eq!(inspection.perturbations.unwrap().column, "condition");
}

#[test]
fn a_column_that_may_hold_doses_is_told_unless_labels_hold_them() {
    let with_doses = |labels: &[&str], doses: [&str; 4]| {
        let mut cells = cells(labels);
        let column: Vec<&str> = (0..160).map(|cell| doses[cell % 4]).collect();
        cells.obs.set("dose_val", Column::categorical(&column));
        look(&cells).next.remarks.join("\n")
    };
    let plain = ["DMSO", "A", "B", "A+B"];
    let remarks = with_doses(&plain, ["0", "1", "10", "1+10"]);
    assert!(remarks.contains("without --dose-column dose_val"), "{remarks}");
    assert!(!with_doses(&plain, ["1", "1", "1", "1+1"]).contains("dose"));
    let labels = ["DMSO", "A @ 1 uM", "B @ 2 uM", "A @ 1 uM+B @ 2 uM"];
    assert!(!with_doses(&labels, ["0", "1", "2", "1+2"]).contains("--dose-column"));
    let command = look(&cells(&labels)).next.command.join(" ");
    assert!(command.ends_with("--holdout \"A @ 1 uM + B @ 2 uM\""), "{command}");
}

#[test]
fn counts_in_a_layer_are_found() {
    let mut cells = screen();
    let counts = cells.x.clone();
    cells.x.values_mut().iter_mut().for_each(|value| *value = value.ln_1p());
    let next = look(&cells).next;
    assert!(next.command.is_empty() && next.remarks[0].contains("needs raw counts"), "{next:?}");
    cells.layers.insert("umi".into(), counts);
    let inspection = look(&cells);
    assert_eq!(inspection.matrices.iter().map(|matrix| matrix.looks_like).collect::<Vec<_>>()[1], Scale::Counts);
    assert!(inspection.next.command.contains(&"--counts-layer umi".to_owned()));
}

#[test]
fn library_sizes_of_more_genes_are_noticed() {
    let mut cells = screen();
    let sizes = cells.x.row_sums().iter().map(|sum| 10.0 * sum + 1.0).collect();
    cells.obs.set("total_counts", Column::Float(sizes));
    assert!(look(&cells).next.command.contains(&"--size-factors total_counts".to_owned()));
    cells.obs.set("total_counts", Column::Float(cells.x.row_sums()));
    assert!(!look(&cells).next.command.contains(&"--size-factors total_counts".to_owned()));
}

#[test]
fn kinds_of_cells_without_controls_are_named() {
    let mut cells = screen();
    let types: Vec<&str> = (0..cells.n_cells()).map(|cell| if cell % 4 == 1 { "lonely" } else { "T" }).collect();
    cells.obs.set("cell_type", Column::categorical(&types));
    let next = look(&cells).next;
    assert!(next.remarks.iter().any(|remark| remark.contains("`lonely`")), "{next:?}");
    assert!(!next.command.join(" ").contains("--covariate"), "{next:?}");
}

#[test]
fn defects_are_told() {
    let mut cells = screen();
    cells.x.values_mut()[0] = f32::NAN;
    cells.x.values_mut()[1] = f32::INFINITY;
    cells.var.index[1] = "gene 0".into();
    let labels: Vec<&str> = (0..cells.n_cells()).map(|cell| ["DMSO", "A", "B", "A_B", "A+"][cell % 5]).collect();
    cells.obs.set("drug", Column::categorical(&labels));
    let remarks = look(&cells).next.remarks.join("\n");
    for words in ["1 NaN and 1 infinite", "1 gene names occur more than once", "such as `A+`", "such as `A_B`"] {
        assert!(remarks.contains(words), "{words}: {remarks}");
    }
}

#[test]
fn files_of_other_steps_are_recognised() {
    let mut cells = screen();
    let predict = BTreeMap::from([("predict".to_owned(), Value::Text("{}".into()))]);
    cells.uns.insert("scflow".into(), Value::Map(predict));
    assert!(look(&cells).next.command[0].starts_with("scflow evaluate"));
    let simulation = BTreeMap::from([("simulation".to_owned(), Value::Map(BTreeMap::new()))]);
    cells.uns.insert("scflow".into(), Value::Map(simulation));
    assert!(look(&cells).next.command[0].starts_with("scflow preprocess"));
}

#[test]
fn the_text_shows_columns_scales_and_the_next_command() {
    let (_folder, path) = written(&screen());
    let expected = contains("160 cells × 6 genes")
        .and(contains("counts: all values are whole and not negative"))
        .and(contains("A 40, A+B 40, B 40, DMSO 40"))
        .and(contains("control `DMSO`, suggested by their names"))
        .and(contains("--holdout \"A + B\""));
    scflow(&["inspect", text(&path)]).assert().success().stdout(expected).stderr("");
}

#[test]
fn json_holds_the_same_facts() {
    let (_folder, path) = written(&screen());
    let output = scflow(&["inspect", text(&path), "--json"]).assert().success().get_output().stdout.clone();
    let json: serde_json::Value = serde_json::from_slice(&output).unwrap();
    assert_eq!(json["n_cells"], 160);
    assert_eq!(json["matrices"][0]["looks_like"], "counts");
    assert_eq!(json["perturbations"]["n_controls"], 40);
    assert_eq!(json["perturbations"]["covariates"]["cell_type"][0]["n_controls"], 20);
}

#[test]
fn wrong_flags_and_wrong_files_end_with_status_2() {
    let (folder, path) = written(&screen());
    let path = text(&path);
    let refused = |arguments: &[&str], words: &str| {
        scflow(arguments).assert().code(2).stderr(contains(words)).stdout("");
    };
    refused(&["inspect", path, "--perturbation-column", "drugs"], "available: `drug`, `cell_type`");
    refused(&["inspect", path, "--perturbation-column", "drug", "--control", "dmso"], "nearest names: `DMSO`");
    refused(&["inspect", path, "--control", "DMSO"], "--perturbation-column");
    refused(&["inspect", path, "--covariate", "tissue"], "column `tissue` is missing");
    let other = folder.path().join("notes.h5ad");
    std::fs::write(&other, "these are notes").unwrap();
    refused(&["inspect", text(&other)], "notes.h5ad");
    refused(&["inspect"], "FILE.h5ad");
}

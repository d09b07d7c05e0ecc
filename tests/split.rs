//! `scflow split` on a small simulated screen, through the program: the tables, what `preprocess` makes of them, what is refused.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use scflow::io::split_table;
use tempfile::TempDir;

const COLUMNS: [&str; 6] =
    ["--perturbation-column", "perturbation", "--control", "control", "--covariate", "cell_type"];

fn scflow(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_scflow")).current_dir(folder).args(arguments).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[track_caller]
fn ok((status, said): (i32, String)) -> String {
    assert_eq!(status, 0, "{said}");
    said
}

/// Six components, twelve pairs, two cell types: `raw.h5ad`.
fn screen() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let size = ["--cells", "1500", "--genes", "150", "--singles", "6", "--pairs", "12", "--cell-types", "2"];
    ok(scflow(folder.path(), &[&["simulate", "-o", "raw.h5ad", "--seed", "2", "-q"], &size[..]].concat()));
    folder
}

fn split(folder: &Path, output: &str, more: &[&str]) -> (i32, String) {
    scflow(folder, &[&["split", "raw.h5ad", "-o", output], &COLUMNS[..], more].concat())
}

/// Stratum → number of conditions; conditions of the control.
fn strata(path: &Path) -> BTreeMap<String, usize> {
    let table = split_table::read(path).unwrap();
    assert_eq!(table.columns, ["perturbation", "cell_type", "split", "stratum"]);
    let mut strata = BTreeMap::new();
    for row in table.rows {
        let [perturbation, _, split, stratum] = row.try_into().unwrap();
        let (split, stratum) = (split.unwrap(), stratum.unwrap());
        assert_eq!(split == "train", stratum == "train");
        assert!(perturbation.unwrap() != "control" || split == "train");
        *strata.entry(stratum).or_default() += 1;
    }
    strata
}

#[test]
fn every_scheme_writes_a_table_that_preprocess_reads_and_labels_with_the_same_strata() {
    let folder = screen();
    let path = folder.path();
    let said = ok(split(path, "simulation.csv", &["--scheme", "simulation", "--fraction", "0.34", "--seed", "1"]));
    let found = strata(&path.join("simulation.csv"));
    // Two of six components in two cell types.
    assert_eq!(found["unseen_single"], 4, "{found:?}");
    assert!(found.contains_key("combo_seen1") && found.contains_key("combo_seen2"), "{found:?}");
    assert!(said.contains("unseen_single: 4 conditions") && said.contains("--split simulation.csv"), "{said}");
    let prepare = |table: &str, output: &str| {
        let own = ["--split", table, "-o", output, "--n-top-genes", "100", "--n-components", "8"];
        ok(scflow(path, &[&["preprocess", "raw.h5ad"], &COLUMNS[..], &own[..]].concat()))
    };
    let said = prepare("simulation.csv", "prepared.h5ad");
    for (stratum, n) in found.iter().filter(|(stratum, _)| *stratum != "train") {
        assert!(said.contains(&format!("{stratum}: {n} conditions")), "{said}");
    }

    // From the prepared screen as from the raw one; the same seed gives the same bytes.
    for (name, scheme) in [("raw.csv", "raw.h5ad"), ("again.csv", "raw.h5ad")] {
        let own = ["--scheme", "leave-combination-out", "--fraction", "0.25"];
        ok(scflow(path, &[&["split", scheme, "-o", name], &COLUMNS[..], &own[..]].concat()));
    }
    let own =
        ["split", "prepared.h5ad", "-o", "of-prepared.csv", "--scheme", "leave-combination-out", "--fraction", "0.25"];
    ok(scflow(path, &own));
    let bytes = |name: &str| std::fs::read(path.join(name)).unwrap();
    assert!(bytes("raw.csv") == bytes("again.csv") && bytes("raw.csv") == bytes("of-prepared.csv"));
    assert_eq!(strata(&path.join("raw.csv"))["combo_seen2"], 6);

    ok(split(path, "unseen.csv", &["--scheme", "unseen-single", "--fraction", "0.2"]));
    assert_eq!(strata(&path.join("unseen.csv"))["unseen_single"], 2);
    ok(split(path, "type.csv", &["--scheme", "leave-covariate-out", "--value", "cell_type=B cell"]));
    assert_eq!(strata(&path.join("type.csv"))["unseen_covariate"], 18);
    assert!(prepare("type.csv", "type.h5ad").contains("unseen_covariate: 18 conditions"));
    ok(split(path, "folds", &["--scheme", "folds", "--folds", "3"]));
    let held_out: usize = (1..4).map(|n| strata(&path.join(format!("folds/fold-{n}.csv")))["combo_seen2"]).sum();
    assert_eq!(held_out, 24);
    std::fs::write(path.join("named.txt"), "perturbation,cell_type\ndrug B,T cell\n").unwrap();
    ok(split(path, "named.csv", &["--scheme", "named", "--conditions", "named.txt"]));
    assert_eq!(strata(&path.join("named.csv"))["unseen_covariate"], 1);
}

#[test]
fn what_a_scheme_cannot_do_is_refused_and_nothing_is_written() {
    let folder = screen();
    let path = folder.path();
    std::fs::write(path.join("named.txt"), "perturbation\ndrug Q\n").unwrap();
    std::fs::write(path.join("split.txt"), "perturbation,split\ndrug A,test\n").unwrap();
    for (more, part) in [
        (&["--scheme", "unseen-single", "--fraction", "1.5"][..], "between 0 and 1"),
        (&["--scheme", "unseen-single", "--folds", "3"], "folds = `given`"),
        (&["--scheme", "folds"], "folds = `none`"),
        (&["--scheme", "folds", "--folds", "100"], "use as many folds at most"),
        (&["--scheme", "leave-covariate-out"], "value = `none`"),
        (&["--scheme", "leave-covariate-out", "--value", "cell_type"], "COLUMN=VALUE"),
        (&["--scheme", "leave-covariate-out", "--value", "cell_type=B"], "nearest names: `B cell`"),
        (&["--scheme", "leave-covariate-out", "--value", "donor=B"], "column `donor` is missing"),
        (&["--scheme", "named", "--conditions", "named.txt"], "nearest names"),
        (&["--scheme", "named", "--conditions", "split.txt"], "is a split already"),
        (&["--scheme", "named", "--conditions", "absent.csv"], "no such file"),
        (&["--scheme", "random"], "possible values"),
    ] {
        let (status, said) = split(path, "bad.csv", more);
        assert!(status == 2 && said.contains(part), "{more:?}: {said}");
        assert!(!path.join("bad.csv").exists());
    }
    let (status, said) = scflow(path, &["split", "raw.h5ad", "-o", "bad.csv", "--scheme", "unseen-single"]);
    assert!(status == 2 && said.contains("give --perturbation-column and --control"), "{said}");
    ok(split(path, "good.csv", &["--scheme", "unseen-single"]));
    let (status, said) = split(path, "good.csv", &["--scheme", "unseen-single"]);
    assert!(status == 2 && said.contains("--force"), "{said}");
}

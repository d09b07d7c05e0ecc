//! Files shaped like those of other programs, doses and times in columns, and what is refused of them.

use super::{Bench, N_GENES, screen};
use scflow::cells::{Annotations, Cells, Column};
use scflow::io::h5ad;

/// The screen with these columns in the place of its own, each by what a cell was given: nothing, A, B or both.
fn shaped(columns: &[(&str, &dyn Fn(usize) -> Column)]) -> Cells {
    let mut cells = screen(1);
    let n = cells.obs.index.len();
    let mut obs = Annotations::new(cells.obs.index.clone());
    for (name, of_kind) in columns {
        let kinds: Vec<Column> = (0..4).map(of_kind).collect();
        let pick = |row: usize| &kinds[row / 20 % 4];
        obs.set(
            name,
            match &kinds[0] {
                Column::Float(_) => Column::Float(
                    (0..n).map(|row| if let Column::Float(v) = pick(row) { v[0] } else { panic!() }).collect(),
                ),
                Column::Boolean(_) => Column::Boolean(
                    (0..n).map(|row| if let Column::Boolean(v) = pick(row) { v[0] } else { panic!() }).collect(),
                ),
                _ => Column::categorical(
                    &(0..n).map(|row| pick(row).texts()[0].clone().unwrap_or_default()).collect::<Vec<_>>(),
                ),
            },
        );
    }
    let kinds: Vec<&str> = (0..n).map(|row| if row < 80 { "T" } else { "B+" }).collect();
    for name in ["cell_type", "celltype"] {
        obs.set(name, Column::categorical(&kinds));
    }
    cells.obs = obs;
    assert_eq!(cells.var.index.len(), N_GENES);
    cells
}

fn text(texts: [&'static str; 4]) -> impl Fn(usize) -> Column {
    move |kind| Column::Text(vec![texts[kind].to_owned()])
}

fn number(numbers: [f64; 4]) -> impl Fn(usize) -> Column {
    move |kind| Column::Float(vec![numbers[kind]])
}

fn claim(claims: [bool; 4]) -> impl Fn(usize) -> Column {
    move |kind| Column::Boolean(vec![claims[kind]])
}

fn obs_of(cells: &Cells, flags: &[&str]) -> Annotations {
    let bench = Bench::new(cells);
    let (status, said) = bench.run(&[&["--n-components", "5"], flags].concat());
    assert_eq!(status, 0, "{said}");
    h5ad::read(&bench.path("out.h5ad")).unwrap().obs
}

/// The texts of a column for cells that were given nothing, A, B and both.
fn kinds(obs: &Annotations, column: &str) -> Vec<String> {
    let texts = obs.texts("obs", column).unwrap();
    [0, 20, 40, 60].map(|row| texts[row].clone()).to_vec()
}

#[test]
fn every_schema_reads_a_file_of_its_program() {
    let condition = text(["ctrl", "A+ctrl", "ctrl+B", "B+A"]);
    let plain = ["control", "A", "B", "A+B"];
    let gears = shaped(&[("condition", &condition), ("dose_val", &text(["1", "1+1", "1+1", "1+1"]))]);
    let obs = obs_of(&gears, &["--schema", "gears", "--holdout", "A + B | cell_type=B+"]);
    assert_eq!(kinds(&obs, "perturbation"), plain);
    assert!(obs.get("dose").is_none() && obs.get("perturbation_1").is_none());

    let cpa = shaped(&[("condition", &condition), ("dose_val", &text(["1.0", "0.5+1.0", "1.0+3", "2.0+0.1"]))]);
    let obs = obs_of(&cpa, &["--schema", "cpa", "--dose-unit", "uM", "--holdout", "A @ 100 nM + B @ 2 uM"]);
    assert_eq!(kinds(&obs, "perturbation"), ["control", "A @ 0.5 uM", "B @ 3 uM", "A @ 0.1 uM+B @ 2 uM"]);
    assert_eq!(kinds(&obs, "dose"), ["", "0.5", "3", "0.1+2"]);
    assert_eq!(kinds(&obs, "split"), ["train", "train", "train", "test"]);

    let cellflow = shaped(&[
        ("drug_1", &text(["control", "A", "B", "B"])),
        ("drug_2", &text(["control", "control", "control", "A"])),
        ("dose_1", &number([0.0, 10.0, f64::from(0.1_f32), 5.0])),
        ("dose_2", &number([f64::NAN, 0.0, 0.0, 1e-7])),
        ("is_control", &claim([true, false, false, false])),
    ]);
    let obs = obs_of(&cellflow, &["--schema", "cellflow", "--holdout", "B @ 5 + A @ 1e-7"]);
    assert_eq!(kinds(&obs, "perturbation"), ["control", "A @ 10", "B @ 0.1", "A @ 1e-7+B @ 5"]);
    assert_eq!(kinds(&obs, "perturbation_1"), ["control", "A", "B", "A"]);
    assert_eq!(kinds(&obs, "perturbation_2"), ["control", "control", "control", "B"]);
    let doses = obs.floats("obs", "dose_2").unwrap();
    assert!(doses[0].is_nan() && doses[60] == 5.0);
    // The program's own column held what stands in `dose_1` now in another order.
    assert_eq!(obs.floats("obs", "dose_1_original").unwrap()[60], 5.0);

    let genes = text(["non-targeting", "A", "B", "A+B (fused)"]);
    for (schema, column) in [("state", "gene"), ("cell-eval", "target_gene")] {
        let obs = obs_of(&shaped(&[(column, &genes)]), &["--schema", schema, "--no-holdout"]);
        assert_eq!(kinds(&obs, "perturbation"), ["control", "A", "B", "\"A+B (fused)\""], "{schema}");
    }

    let perturbench = shaped(&[("condition", &text(plain))]);
    let obs = obs_of(&perturbench, &["--schema", "perturbench", "--holdout", "A + B"]);
    assert_eq!(kinds(&obs, "perturbation"), plain);

    let scperturb = shaped(&[
        ("perturbation", &text(["control", "A", "B", "B_A"])),
        ("dose_value", &text(["nan", "100", "3", "3_0.2"])),
        ("dose_unit", &text(["nan", "nM", "ng/mL", "ng/mL_µM"])),
    ]);
    let obs = obs_of(&scperturb, &["--schema", "scperturb", "--no-holdout"]);
    assert_eq!(kinds(&obs, "perturbation"), ["control", "A @ 100 nM", "B @ 3 ng/ml", "A @ 200 nM+B @ 3 ng/ml"]);
    assert_eq!(kinds(&obs, "dose_unit"), ["", "nM", "ng/ml", "nM+ng/ml"]);
    assert_eq!(kinds(&obs, "dose_unit_original")[3], "ng/mL_µM");

    let openproblems = shaped(&[
        ("sm_name", &text(["Dimethyl Sulfoxide", "Belinostat", "(+)-JQ1 @ Sigma", "Belinostat"])),
        ("dose_uM", &number([14.1, 0.1, 1.0, 1.0])),
        ("control", &claim([true, true, false, true])),
    ]);
    let obs = obs_of(&openproblems, &["--schema", "openproblems", "--no-holdout"]);
    let expected = ["control", "Belinostat @ 0.1 uM", "\"(+)-JQ1 @ Sigma\" @ 1 uM", "Belinostat @ 1 uM"];
    assert_eq!(kinds(&obs, "perturbation"), expected);
}

#[test]
fn flags_come_before_the_schema_and_a_column_that_it_lacks_is_told() {
    let cells = shaped(&[("guide", &text(["DMSO", "A", "B", "A_B"])), ("batch", &text(["1", "1", "1", "1"]))]);
    let bench = Bench::new(&cells);
    let refused = |flags: &[&str]| bench.refused(&[&["--schema", "scperturb", "--no-holdout"], flags].concat());
    let message = refused(&[]);
    assert!(message.contains("column `perturbation` is missing") && message.contains("`guide`, `batch`"), "{message}");
    let own = ["--perturbation-column", "guide", "--control", "DMSO"];
    let message = refused(&own);
    assert!(message.contains("`dose_value` is missing") && message.contains("--dose-column \"\""), "{message}");
    let own = [&own[..], &["--dose-column", ""]].concat();
    let obs = obs_of(&cells, &[&["--schema", "scperturb", "--no-holdout"], &own[..]].concat());
    assert_eq!(kinds(&obs, "perturbation"), ["control", "A", "B", "A+B"]);
    let message = refused(&[&own[..], &["--covariate", "donor"]].concat());
    assert!(message.contains("`donor` is missing"), "{message}");
}

#[test]
fn times_belong_to_the_components_and_slots_that_are_empty_add_nothing() {
    let cells = shaped(&[
        ("one", &text(["PBS", "A", "nan", "A"])),
        ("two", &text(["PBS", "", "Na+", "Na+"])),
        ("hours", &number([48.0, 24.0, 24.0, 48.0])),
    ]);
    let slots = ["--perturbation-column", "one", "--perturbation-column", "two", "--control", "PBS", "--no-holdout"];
    let obs = obs_of(&cells, &[&slots[..], &["--time-column", "hours", "--time-unit", "hours"]].concat());
    assert_eq!(kinds(&obs, "perturbation"), ["control", "A @ 24 h", "\"Na+\" @ 24 h", "A @ 48 h+\"Na+\" @ 48 h"]);
    assert_eq!(
        (kinds(&obs, "time"), kinds(&obs, "time_unit")[1].as_str()),
        (["", "24", "24", "48+48"].map(String::from).to_vec(), "h")
    );
    let bench = Bench::new(&cells);
    for (flags, part) in [
        (vec!["--time-column", "hours"], "is no time; times are in min"),
        (vec!["--time-column", "hours", "--time-unit", "uM"], "is no time"),
        (vec!["--time-unit", "h"], "no time_column"),
        (vec!["--dose-column", "hours"], "2 columns of perturbations"),
        (vec!["--dose-column", "hours", "--dose-column", "hours"], "named twice"),
        (vec!["--time-column", "hours", "--time-unit", "h", "--covariate", "one"], "this is the perturbation column"),
    ] {
        let message = bench.refused(&[&slots[..], &flags].concat());
        assert!(message.contains(part), "{flags:?}: {message}");
    }
}

#[test]
fn doses_that_cannot_be_meant_are_refused() {
    let control = ["--perturbation-column", "drug", "--control", "ctrl", "--dose-column", "dose", "--no-holdout"];
    for (doses, more, part) in [
        (["1", "ten", "1", "1+1"], vec![], "40 of 160 values"),
        (["", "-1", "1", "1+1"], vec![], "`-1` is not above zero"),
        (["", "0", "1", "1+1"], vec![], "the control"),
        (["", "inf", "1", "1+1"], vec![], "not finite"),
        (["", "1", "1", "1"], vec![], "2 components have 1 doses"),
        (["", "1", "1", "1+1+1"], vec![], "2 components have 3 doses"),
        (["", "1 uM", "1", "1+1"], vec![], "without a unit, where others have one"),
        (["", "1 uM", "1 uM", "1 ng/ml+1 uM"], vec![], "does not convert into"),
        (["", "nan", "1", "1+1"], vec![], "no dose for `A`"),
        (["", "1 h", "1", "1+1"], vec![], "--time-column"),
        (["", "1", "1", "1+1"], vec!["--dose-unit", "uM", "--covariate", "dose_unit"], "`dose_unit` is missing"),
        (["", "1", "1", "1+1"], vec!["--dose-unit", "h"], "--time-column"),
    ] {
        let cells = shaped(&[("drug", &text(["ctrl", "A", "B", "A+B"])), ("dose", &text(doses))]);
        let message = Bench::new(&cells).refused(&[&control[..], &more].concat());
        assert!(message.contains(part), "{doses:?}: {message}");
    }
    let cells = shaped(&[("drug", &text(["ctrl", "A", "B", "A+B"])), ("dose", &text(["", "1", "1", "1+1"]))]);
    let message = Bench::new(&cells).refused(&[&control[..], &["--covariate", "dose"]].concat());
    assert!(message.contains("a column of doses"), "{message}");
    let named = ["--perturbation-column", "drug", "--control", "ctrl", "--dose-column", "amount", "--no-holdout"];
    let cells = shaped(&[
        ("drug", &text(["ctrl", "A", "B", "A+B"])),
        ("amount", &text(["", "1", "1", "1+1"])),
        ("dose", &text(["x", "x", "x", "x"])),
    ]);
    let message = Bench::new(&cells).refused(&[&named[..], &["--covariate", "dose"]].concat());
    assert!(message.contains("preprocess writes a column of this name"), "{message}");
    let labels = shaped(&[("drug", &text(["ctrl", "A @ 1 uM", "B @ 1 uM", "A @ 1 uM + A @ 2 uM"]))]);
    let message = Bench::new(&labels).refused(&["--perturbation-column", "drug", "--control", "ctrl", "--no-holdout"]);
    assert!(message.contains("named twice, at two doses"), "{message}");
    let message = Bench::new(&shaped(&[("drug", &text(["ctrl", "A@B", "B", "A"]))])).refused(&[
        "--perturbation-column",
        "drug",
        "--control",
        "ctrl",
        "--no-holdout",
    ]);
    assert!(message.contains("`B` is no number") && message.contains("double quotes"), "{message}");
}

#[test]
fn a_column_of_controls_comes_before_labels_and_must_agree_with_them() {
    let labels = text(["guide-7", "A", "B", "A+B"]);
    let cells = shaped(&[("guide", &labels), ("ntc", &claim([true, false, false, false])), ("odd", &labels)]);
    let own = ["--perturbation-column", "guide", "--no-holdout"];
    let obs = obs_of(&cells, &[&own[..], &["--control-column", "ntc"]].concat());
    assert_eq!(kinds(&obs, "perturbation"), ["control", "A", "B", "A+B"]);
    let bench = Bench::new(&cells);
    let message = bench.refused(&[&own[..], &["--control-column", "odd"]].concat());
    assert!(message.contains("160 of 160 values are neither true nor false"), "{message}");
    let message = bench.refused(&[&own[..], &["--control-column", "ntc", "--control", "A"]].concat());
    assert!(message.contains("it is the control's label, but obs[\"ntc\"]"), "{message}");
    assert!(bench.refused(&own).contains("--control"));
    let none = shaped(&[("guide", &labels), ("ntc", &claim([false; 4]))]);
    let message = Bench::new(&none).refused(&[&own[..], &["--control-column", "ntc"]].concat());
    assert!(message.contains("true in obs[\"ntc\"]"), "{message}");
}

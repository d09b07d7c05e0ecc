//! Input and commands that must be refused: exit status 2, nothing written.

use super::{Bench, HOLDOUT, N_GENES, flags, screen};
use assert_cmd::cargo::cargo_bin_cmd;
use scflow::cells::{Cells, Column, SparseMatrix};

#[test]
fn commands_that_cannot_work_are_refused() {
    let bench = Bench::new(&screen(1));
    let cases: &[(&[&str], &str)] = &[
        (&[], "--no-holdout"),
        (&["--holdout", "A + B", "--no-holdout"], "only one of"),
        (&["--holdout", "A + C"], "nearest names: `A+B`"),
        (&["--holdout", "A + B | cell_type=B"], "`A+B | cell_type=B+`"),
        (&["--holdout", "ctrl"], "cannot be held out"),
        (&["--holdout", "A + B | batch=1"], "column `batch` is missing"),
        (&["--holdout", "A +"], "a component is empty"),
        (&["--holdout", "A", "--holdout", "B", "--holdout", "A+B"], "perturbed training cells"),
        (&["--no-holdout", "--covariate", "donor"], "`drug`, `cell_type`, `depth`, `split`"),
        (&["--no-holdout", "--covariate", "split"], "preprocess writes a column of this name"),
        (&["--no-holdout", "--covariate", "cell_type"], "named twice"),
        (&["--no-holdout", "--size-factors", "cell_type"], "not numeric"),
        (&["--no-holdout", "--size-factors", "total"], "column `total` is missing"),
        (&["--no-holdout", "--counts-layer", "raw"], "layer `raw` is unknown"),
        (&["--no-holdout", "--min-genes", "99"], "160 cells with fewer than 99 genes"),
        (&["--no-holdout", "--min-cells", "999"], "genes left by the quality filters"),
        (&["--no-holdout", "--max-percent-mitochondrial", "5"], "no gene name starts with `MT-`"),
        (&["--no-holdout", "--target-sum", "0"], "target_sum"),
    ];
    for (more, expected) in cases {
        let message = bench.refused(&flags(more));
        assert!(message.contains(expected), "{more:?}: {message}");
    }
    let with = |changed: &[&'static str]| bench.refused(&[changed, &["--no-holdout"]].concat());
    let mut command = cargo_bin_cmd!("scflow");
    command.current_dir(bench.path("")).args(["preprocess", "in.h5ad", "-o", "new/out.h5ad"]).args(flags(&[]));
    assert_eq!(command.output().unwrap().status.code(), Some(2));
    assert!(!bench.path("new").exists(), "a folder was made for nothing");
    let column = ["--perturbation-column", "drug"];
    let message = with(&[&column[..], &["--control", "DMSO"]].concat());
    assert!(message.contains("`ctrl` (40 cells)"), "{message}");
    assert!(with(&["--perturbation-column", "gene", "--control", "ctrl"]).contains("`drug`"));
    let message = with(&[&column[..], &["--control", "ctrl", "--n-components", "41"]].concat());
    assert!(message.contains("160 training cells and 40 variable genes allow 1 to 40"), "{message}");
}

#[test]
fn matrices_and_tables_that_cannot_be_counted_on_are_refused() {
    type Change = fn(&mut Cells);
    let cases: &[(Change, &str)] = &[
        (|cells| cells.x.values_mut()[5] = f32::NAN, "NaN in cell cell0, gene gene"),
        (|cells| cells.x.values_mut()[5] = f32::INFINITY, "values are infinite"),
        (|cells| cells.x.values_mut()[5] = -1.0, "values are negative"),
        (|cells| cells.x.values_mut().iter_mut().for_each(|v| *v = v.ln_1p()), "log-transformed"),
        (|cells| cells.x.values_mut().iter_mut().for_each(|v| *v *= 7.25), "--accept-fractional-counts"),
        (|cells| cells.x = SparseMatrix::from_rows(N_GENES, vec![Vec::new(); 160]), "cells with fewer than 1 genes"),
        (|cells| cells.var.index[3] = "gene2".into(), "var_names: 1 of 40 values are duplicated; for example `gene2`"),
        (|cells| cells.obs.index[3] = "cell2".into(), "obs_names: 1 of 160"),
        (
            |cells| {
                let Some((_, Column::Categorical { codes, .. })) = cells.obs.columns.first_mut() else { panic!() };
                codes[4] = -1;
            },
            "obs[\"drug\"]: 1 of 160 values are missing",
        ),
        (
            |cells| {
                let types = cells.obs.texts("obs", "cell_type").unwrap();
                let labels = cells.obs.texts("obs", "drug").unwrap();
                let changed: Vec<&str> =
                    labels.iter().zip(&types).map(|(l, t)| if t == "T" && l == "ctrl" { "B" } else { l }).collect();
                cells.obs.set("drug", Column::categorical(&changed));
            },
            "`cell_type=T`",
        ),
        (
            |cells| {
                let labels = cells.obs.texts("obs", "drug").unwrap();
                let changed: Vec<String> = labels.iter().map(|label| label.replace("A+ctrl", "A+control")).collect();
                cells.obs.set("drug", Column::categorical(&changed));
            },
            "`control` is the canonical name of the control, which is called `ctrl` here",
        ),
    ];
    for (change, expected) in cases {
        let mut cells = screen(1);
        change(&mut cells);
        let message = Bench::new(&cells).refused(&flags(&["--no-holdout"]));
        assert!(message.contains(expected), "expected {expected}: {message}");
    }
    for (size, expected) in [(0.0, "not positive"), (f64::NAN, "missing or not positive")] {
        let mut cells = screen(1);
        let mut sizes = cells.obs.floats("obs", "depth").unwrap();
        sizes[9] = size;
        cells.obs.set("depth", Column::Float(sizes));
        let message = Bench::new(&cells).refused(&flags(&["--no-holdout", "--size-factors", "depth"]));
        assert!(message.contains(expected) && message.contains("cell cell9"), "{message}");
    }
}

#[test]
fn a_held_out_condition_that_the_filters_remove_is_told() {
    let mut cells = screen(1);
    let labels = cells.obs.texts("obs", "drug").unwrap();
    let rows = (0..cells.n_cells()).map(|row| {
        let (genes, values) = cells.x.row(row);
        let pairs = genes.iter().copied().zip(values.iter().copied());
        pairs.take(if labels[row] == "B + A" { 2 } else { N_GENES }).collect()
    });
    cells.x = SparseMatrix::from_rows(N_GENES, rows.collect::<Vec<_>>());
    let message = Bench::new(&cells).refused(&flags(&["--holdout", "A+B", "--min-genes", "3"]));
    assert!(message.contains("held-out condition `A+B | cell_type=B+`"), "{message}");
}

#[test]
fn files_that_are_no_screens_are_refused() {
    let bench = Bench::new(&screen(1));
    let whole = std::fs::read(bench.path("in.h5ad")).unwrap();
    for bytes in [&b"no HDF5"[..], &whole[..whole.len() / 2]] {
        std::fs::write(bench.path("in.h5ad"), bytes).unwrap();
        assert!(bench.refused(&flags(&HOLDOUT)).contains("in.h5ad"));
    }
}

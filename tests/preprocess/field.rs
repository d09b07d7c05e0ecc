//! What users meet in the field: identifiers for names, matrices of one depth, batches, names with a plus sign.

use super::{Bench, HOLDOUT, N_GENES, flags, prepared, screen};
use crate::data;
use scflow::cells::{Cells, Column, SparseMatrix};
use scflow::io::h5ad;
use scflow::prepared::Prepared;
use scflow::stages::preprocess::PreprocessParams;

/// The screen with Ensembl's identifiers for names, and symbols in a column.
fn with_identifiers() -> Cells {
    let mut cells = screen(1);
    let symbols = (0..N_GENES).map(|gene| format!("{}{gene}", if gene < 4 { "MT-" } else { "G" })).collect();
    cells.var.index = (0..N_GENES).map(|gene| format!("ENSG{:011}", 180_000 + gene)).collect();
    cells.var.set("gene_name", Column::Text(symbols));
    let marks = (0..N_GENES).map(|gene| gene < 4).collect();
    cells.var.set("mt", Column::Boolean(marks));
    cells
}

fn percents(bench: &Bench) -> Vec<f64> {
    h5ad::read(&bench.path("out.h5ad")).unwrap().obs.floats("obs", "pct_counts_mt").unwrap()
}

#[test]
fn identifiers_hide_mitochondrial_genes_until_symbols_are_named() {
    let bench = Bench::new(&with_identifiers());
    let run = |more: &[&str]| bench.run(&flags(&[&HOLDOUT[..], &["--force"], more].concat()));
    let message = bench.refused(&flags(&[&HOLDOUT[..], &["--max-percent-mitochondrial", "50"]].concat()));
    assert!(message.contains("identifiers such as `ENSG00000180000`"), "{message}");
    assert!(message.contains("add --gene-symbols gene_name"), "{message}");
    let (status, said) = run(&[]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("pct_counts_mt is 0") && said.contains("--gene-symbols gene_name"), "{said}");
    assert!(percents(&bench).iter().all(|&percent| percent == 0.0));

    let (status, said) = run(&["--gene-symbols", "gene_name"]);
    assert!(status == 0 && !said.contains("pct_counts_mt"), "{said}");
    let by_symbols = percents(&bench);
    assert!(by_symbols.iter().all(|&percent| percent > 0.0 && percent < 50.0));
    assert_eq!(run(&["--mitochondrial-column", "mt"]).0, 0);
    assert_eq!(percents(&bench), by_symbols);
    let both = ["--mitochondrial-prefix", "no-", "--mitochondrial-prefix", "MT-", "--gene-symbols", "gene_name"];
    assert_eq!(run(&both).0, 0);
    assert_eq!(percents(&bench), by_symbols);

    for (more, expected) in [
        (["--gene-symbols", "symbol"], "column `symbol` is missing"),
        (["--gene-symbols", "mt"], "holds no text"),
        (["--mitochondrial-column", "gene_name"], "not true or false"),
    ] {
        let message = bench.run(&flags(&[&HOLDOUT[..], &["--force"], &more[..]].concat())).1;
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn counts_of_one_depth_are_told() {
    let mut cells = screen(1);
    // Every cell has as many counts: the last gene takes what is missing.
    let rows = (0..cells.n_cells()).map(|row| {
        let (genes, values) = cells.x.row(row);
        let mut pairs: Vec<(u32, f32)> = genes.iter().copied().zip(values.iter().copied()).collect();
        pairs.retain(|&(gene, _)| gene as usize != N_GENES - 1);
        let sum: f32 = pairs.iter().map(|pair| pair.1).sum();
        pairs.push((N_GENES as u32 - 1, 1000.0 - sum));
        pairs
    });
    cells.x = SparseMatrix::from_rows(N_GENES, rows.collect::<Vec<_>>());
    let (status, said) = Bench::new(&cells).run(&flags(&HOLDOUT));
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("X: every cell has 1000 counts"), "{said}");
}

#[test]
fn cells_far_from_the_median_are_removed_and_counted() {
    let mut cells = screen(1);
    cells.x.row_values_mut(3).iter_mut().for_each(|value| *value *= 50.0);
    let bench = Bench::new(&cells);
    let (status, said) = bench.run(&flags(&[&HOLDOUT[..], &["--max-deviations", "9"]].concat()));
    assert_eq!(status, 0, "{said}");
    let reason = "cells with ln(1 + counts) more than 9 deviations from the median";
    assert!(said.contains(&format!("removed 1 {reason}")), "{said}");
    let prepared = Prepared::new(h5ad::read(&bench.path("out.h5ad")).unwrap()).unwrap();
    assert_eq!((prepared.settings.removed[reason], prepared.cells.n_cells()), (1, 159));
    assert!(!prepared.cells.obs.index.contains(&"cell3".to_owned()));
    let bench = Bench::new(&screen(1));
    let expected = [
        (vec!["--max-deviations", "0"], "max_deviations"),
        (vec!["--min-counts", "9", "--max-counts", "8"], "smaller than min_counts"),
        (vec!["--max-counts", "1"], "cells with more than 1 counts"),
        (vec!["--max-deviations-mitochondrial", "3"], "no gene name starts with `MT-`"),
        (vec!["--mitochondrial-prefix", ""], "empty prefix"),
        (vec!["--target-sum", "mean"], "give a number, or `median`"),
        (vec!["--flavor", "seurat_v4"], "seurat_v3"),
        (vec!["--batch-key", "plate"], "column `plate` is missing"),
    ];
    for (more, expected) in expected {
        let message = bench.refused(&flags(&[&HOLDOUT[..], &more].concat()));
        assert!(message.contains(expected), "{more:?}: {message}");
    }
}

#[test]
fn flavours_write_the_columns_of_scanpy() {
    let bench = Bench::new(&screen(1));
    for (flavor, columns) in [
        ("cell_ranger", &["means", "dispersions", "dispersions_norm", "highly_variable_intersection"][..]),
        ("seurat_v3", &["highly_variable_rank", "means", "variances", "variances_norm"]),
    ] {
        let more = ["--flavor", flavor, "--batch-key", "cell_type", "--n-top-genes", "12", "--force"];
        let (status, said) = bench.run(&flags(&[&HOLDOUT[..], &more, &["--target-sum", "median"]].concat()));
        assert_eq!(status, 0, "{said}");
        let prepared = Prepared::new(h5ad::read(&bench.path("out.h5ad")).unwrap()).unwrap();
        let var = &prepared.cells.var;
        for column in columns.iter().chain(&["highly_variable", "highly_variable_nbatches"]) {
            assert!(var.get(column).is_some(), "{flavor}: {column}");
        }
        let Some(Column::Boolean(is_variable)) = var.get("highly_variable") else { panic!() };
        assert_eq!(is_variable.iter().filter(|&&is| is).count(), 12);
        let text = prepared.cells.uns["hvg"].get("flavor").and_then(|flavor| flavor.as_text());
        assert_eq!(text, Some(flavor));
        let mut sizes: Vec<f64> =
            prepared.training_rows().iter().map(|&row| prepared.library_sizes().unwrap()[row]).collect();
        sizes.sort_by(f64::total_cmp);
        assert_eq!(prepared.settings.target_sum, (sizes[69] + sizes[70]) / 2.0);
    }
}

#[test]
fn a_batch_of_one_cell_is_refused_and_one_of_held_out_cells_does_not_matter() {
    let mut cells = screen(1);
    let labels = |special: usize| (0..160).map(|row| if row == special { "late" } else { "early" }).collect::<Vec<_>>();
    cells.obs.set("plate", Column::categorical(&labels(5)));
    let run = flags(&[&HOLDOUT[..], &["--batch-key", "plate", "--n-top-genes", "10"]].concat());
    let message = Bench::new(&cells).refused(&run);
    assert!(message.contains("training cells of batch `late`"), "{message}");
    // The last cell is held out.
    cells.obs.set("plate", Column::categorical(&labels(159)));
    let bench = Bench::new(&cells);
    assert_eq!(bench.run(&run).0, 0);
    assert!(h5ad::read(&bench.path("out.h5ad")).unwrap().var.get("highly_variable_nbatches").is_some());
}

#[test]
fn cell_types_with_a_plus_are_no_combinations() {
    let Some(path) = data::file("kang18_ifnb_celltypes_scgen.h5ad") else { return };
    let cells = h5ad::read(&path).unwrap();
    let params = PreprocessParams {
        perturbation_column: "perturbation".into(),
        covariates: vec!["cell_type".into()],
        holdout: vec!["IFN-beta | cell_type=FCGR3A+Mono".into()],
        n_components: 3,
        ..PreprocessParams::default()
    };
    let prepared = prepared(cells, &params);
    assert_eq!(prepared.settings.held_out, ["IFN-beta | cell_type=FCGR3A+Mono"]);
    assert!(prepared.conditions.iter().all(|condition| condition.perturbation.components().len() <= 1));
}

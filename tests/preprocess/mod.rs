//! `scflow preprocess`, in memory and through the command line.

mod field;
mod golden;
mod properties;
mod refusals;
mod variable_genes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use assert_cmd::cargo::cargo_bin_cmd;
use ndarray::Axis;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use scflow::cells::{Annotations, Cells, Column, SparseMatrix, Value};
use scflow::io::h5ad;
use scflow::prepared::Prepared;
use scflow::stages::preprocess::{PreprocessParams, preprocess};

const N_GENES: usize = 40;
const LABELS: [&str; 4] = ["ctrl", "A+ctrl", "B", "B + A"];

/// Counts of two cell types under no drug, A, B and both: 20 cells each.
fn screen(seed: u64) -> Cells {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut labels, mut types, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    for cell_type in ["T", "B+"] {
        for label in LABELS {
            for _ in 0..20 {
                labels.push(label);
                types.push(cell_type);
                let rate = |gene: usize| 1 + gene % 5 + 6 * usize::from(label.contains('A') && gene % 10 == 3);
                rows.push(
                    (0..N_GENES).map(|gene| (gene as u32, rng.random_range(0..=2 * rate(gene)) as f32)).collect(),
                );
            }
        }
    }
    let names = |what: &str, n: usize| Annotations::new((0..n).map(|i| format!("{what}{i}")).collect());
    let x = SparseMatrix::from_rows(N_GENES, rows);
    let mut obs = names("cell", labels.len());
    obs.set("drug", Column::categorical(&labels));
    obs.set("cell_type", Column::categorical(&types));
    obs.set("depth", Column::Float(x.row_sums().iter().map(|sum| 2.0 * sum).collect()));
    obs.set("split", Column::Text(vec!["the user's own".into(); labels.len()]));
    Cells { obs, var: names("gene", N_GENES), x, ..Cells::default() }
}

fn params() -> PreprocessParams {
    PreprocessParams {
        perturbation_column: "drug".into(),
        control: "ctrl".into(),
        covariates: vec!["cell_type".into()],
        holdout: vec!["A + B | cell_type=B+".into()],
        n_components: 5,
        ..PreprocessParams::default()
    }
}

fn prepared(cells: Cells, params: &PreprocessParams) -> Prepared {
    let place = tempfile::tempdir().unwrap();
    let [input, output] = ["in.h5ad", "out.h5ad"].map(|name| place.path().join(name));
    h5ad::write(&input, &cells).unwrap();
    preprocess(&PreprocessParams { input, output: output.clone(), ..params.clone() }, &|_| {}).unwrap();
    Prepared::new(h5ad::read(&output).unwrap()).unwrap()
}

/// A folder with `in.h5ad`, in which the command is run.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(cells: &Cells) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // HDF5 locks what it writes and lets child processes inherit the lock, also those that other tests start in the
        // meantime. A copy is free of it.
        let locked = tempfile::NamedTempFile::new().unwrap();
        h5ad::write(locked.path(), cells).unwrap();
        std::fs::copy(locked.path(), folder.path().join("in.h5ad")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `scflow preprocess in.h5ad -o out.h5ad` with these flags; returns the exit status and what was said.
    fn run(&self, flags: &[&str]) -> (i32, String) {
        let mut command = cargo_bin_cmd!("scflow");
        command.current_dir(self.folder.path()).args(["preprocess", "in.h5ad", "-o", "out.h5ad"]).args(flags);
        let output = command.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// Runs with flags that must be refused, and returns the message.
    fn refused(&self, flags: &[&str]) -> String {
        let before = listing(self.folder.path());
        let (status, message) = self.run(flags);
        assert_eq!(status, 2, "{flags:?}: {message}");
        assert_eq!(listing(self.folder.path()), before, "{flags:?} left something behind");
        message
    }
}

fn listing(folder: &Path) -> Vec<(String, u64)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<_> =
        entries.map(|e| (e.file_name().to_string_lossy().into_owned(), e.metadata().unwrap().len())).collect();
    names.sort();
    names
}

/// The flags that suit [`screen`], then others.
fn flags<'a>(others: &[&'a str]) -> Vec<&'a str> {
    let common =
        ["--perturbation-column", "drug", "--control", "ctrl", "--covariate", "cell_type", "--n-components", "5"];
    [&common, others].concat()
}

const HOLDOUT: [&str; 2] = ["--holdout", "A + B | cell_type=B+"];

#[test]
fn a_prepared_file_fulfils_the_contract() {
    let bench = Bench::new(&screen(1));
    let (status, said) =
        bench.run(&flags(&[&HOLDOUT[..], &["--size-factors", "depth", "--n-top-genes", "30"]].concat()));
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("held out: A+B | cell_type=B+ (20 cells, unseen_covariate)"), "{said}");
    assert!(said.contains("obs[\"split\"] held other values; they are kept as obs[\"split_original\"]"), "{said}");
    let prepared = Prepared::new(h5ad::read(&bench.path("out.h5ad")).unwrap()).unwrap();
    let (cells, raw) = (&prepared.cells, screen(1));
    assert_eq!(prepared.counts().unwrap(), &raw.x);
    assert_eq!(prepared.settings.held_out, ["A+B | cell_type=B+"]);
    assert_eq!(prepared.settings.input_sha256.len(), 64);
    assert_eq!(prepared.training_rows().len(), 140);
    assert_eq!(prepared.rows_by_condition(false).keys().next().unwrap().to_string(), "A+B | cell_type=B+");
    let column = |name: &str| cells.obs.texts("obs", name).unwrap();
    assert_eq!(column("drug"), raw.obs.texts("obs", "drug").unwrap());
    assert_eq!((&column("perturbation")[20][..], &column("perturbation")[60][..]), ("A", "A+B"));
    assert_eq!((&column("n_perts")[0][..], &column("n_perts")[60][..]), ("0", "2"));
    assert_eq!(prepared.library_sizes().unwrap(), raw.obs.floats("obs", "depth").unwrap());
    let sum: f64 = cells.x.row(7).1.iter().map(|&value| f64::from(value).exp_m1()).sum();
    assert!((sum - 5e3).abs() < 0.1, "half of the library is in the file: {sum}");
    let pca = prepared.pca().unwrap();
    let coordinates = pca.transform(&cells.x).unwrap();
    assert_eq!(coordinates, cells.obsm["X_pca"]);
    // Cells that were held out lie where the components see them, training cells where others' components do.
    for (row, &is_training) in prepared.is_training.iter().enumerate() {
        assert_eq!(coordinates.row(row) != prepared.embedding().row(row), is_training, "{row}");
    }
    let Some(Column::Boolean(variable)) = cells.var.get("highly_variable") else { panic!() };
    for (gene, &is_variable) in variable.iter().enumerate() {
        assert_eq!(pca.loadings.row(gene).iter().any(|&loading| loading != 0.0), is_variable);
    }
    // Ties at the limit are all in, and with so few genes, two in a bin lie as far from its mean as two in another.
    let n_variable = variable.iter().filter(|&&is| is).count();
    assert!((30..40).contains(&n_variable) && n_variable == prepared.settings.n_top_genes, "{n_variable}");
    assert_eq!(cells.uns["log1p"], Value::Map(BTreeMap::new()));
    assert!(column("split").iter().filter(|split| *split == "test").count() == 20);
}

#[test]
fn the_same_file_comes_out_whatever_the_threads() {
    let bench = Bench::new(&screen(1));
    let mut bytes = Vec::new();
    for more in [["--threads", "1"], ["--threads", "3"]] {
        assert_eq!(bench.run(&flags(&[&HOLDOUT[..], &more, &["--force"]].concat())).0, 0);
        bytes.push(std::fs::read(bench.path("out.h5ad")).unwrap());
    }
    assert!(bytes[0] == bytes[1]);
    assert!(bench.refused(&flags(&HOLDOUT)).contains("`out.h5ad` exists"));
}

#[test]
fn what_held_out_cells_hold_changes_nothing_that_is_fitted() {
    use scflow::preprocess::variable_genes::Flavor;
    let median = PreprocessParams { target_sum: "median".parse().unwrap(), max_deviations: Some(9.0), ..params() };
    let by_batch = PreprocessParams { batch_key: Some("cell_type".into()), n_top_genes: 20, ..params() };
    check_held_out_cells(&params());
    for flavor in [Flavor::CellRanger, Flavor::SeuratV3] {
        check_held_out_cells(&PreprocessParams { flavor, ..median.clone() });
        check_held_out_cells(&PreprocessParams { flavor, ..by_batch.clone() });
    }
}

fn check_held_out_cells(params: &PreprocessParams) {
    let raw = screen(1);
    let first = prepared(raw.clone(), params);
    let mut other = raw;
    for row in first.rows_by_condition(false).into_values().flatten() {
        let n = other.x.row(row).1.len();
        for (position, value) in other.x.row_values_mut(row).iter_mut().enumerate() {
            *value = if position < n / 2 { 1.0 } else { 9.0 };
        }
    }
    let second = prepared(other, params);
    assert_ne!(first.cells.x, second.cells.x);
    assert_eq!(first.settings.target_sum, second.settings.target_sum);
    assert_eq!(first.settings.removed, second.settings.removed);
    // As text, in which a missing rank equals a missing one.
    assert_eq!(format!("{:?}", first.cells.var), format!("{:?}", second.cells.var));
    assert_eq!(first.pca().unwrap(), second.pca().unwrap());
    let training = first.training_rows();
    assert_eq!(first.embedding().select(Axis(0), &training), second.embedding().select(Axis(0), &training));
    assert_ne!(first.embedding(), second.embedding());
}

#[test]
fn a_gene_that_only_held_out_cells_express_is_removed() {
    let mut raw = screen(1);
    let held_out =
        prepared(raw.clone(), &params()).rows_by_condition(false).into_values().flatten().collect::<Vec<_>>();
    let rows = (0..raw.n_cells()).map(|row| {
        let (genes, values) = raw.x.row(row);
        let pairs = genes.iter().copied().zip(values.iter().copied());
        pairs.filter(|&(gene, _)| gene != 7 || held_out.contains(&row)).collect()
    });
    raw.x = SparseMatrix::from_rows(N_GENES, rows.collect::<Vec<_>>());
    let prepared = prepared(raw, &params());
    assert_eq!(prepared.settings.removed["genes with counts in fewer than 3 training cells"], 1);
    assert!(!prepared.cells.var.index.contains(&"gene7".to_owned()));
    // The library is that of all genes of the file.
    assert!(prepared.library_sizes().unwrap()[held_out[0]] > prepared.counts().unwrap().row_sums()[held_out[0]]);
}

#[test]
fn a_split_may_come_from_a_table() {
    let bench = Bench::new(&screen(1));
    let table = |text: &str| std::fs::write(bench.path("split.csv"), text).unwrap();
    let run = flags(&["--split", "split.csv"]);
    table("perturbation,split\nctrl,train\nA,train\nB,val\nA+B,test\n");
    assert_eq!(bench.run(&run).0, 0);
    let prepared = Prepared::new(h5ad::read(&bench.path("out.h5ad")).unwrap()).unwrap();
    let splits = prepared.cells.obs.texts("obs", "split").unwrap();
    let count = |split: &str| splits.iter().filter(|other| *other == split).count();
    assert_eq!((count("train"), count("val"), count("test")), (80, 40, 40));
    assert_eq!(prepared.settings.held_out.len(), 4);
    std::fs::remove_file(bench.path("out.h5ad")).unwrap();

    for (text, expected) in [
        ("obs_name,split\ncell0,train\nstranger,test\n", "`stranger`"),
        ("obs_name,split\ncell0,ood\n", "write `test`"),
        ("perturbation,split\nctrl,train\nA,train\nB,train\nA+B,train\n", "--no-holdout"),
        ("perturbation,split\nctrl,test\nA,train\nB,train\nA+B,test\n", "40 control cells"),
        ("perturbation,split\nctrl,train\nA,train\nB,train\n", "in no row of the split table"),
        ("split\ntrain\n", "`perturbation` is missing"),
    ] {
        table(text);
        let message = bench.refused(&run);
        assert!(message.contains(expected), "{text}: {message}");
    }
    assert!(bench.refused(&flags(&["--split", "absent.csv"])).contains("absent.csv"));
}

#[test]
fn a_prepared_file_is_prepared_again_from_its_counts() {
    let bench = Bench::new(&screen(1));
    assert_eq!(bench.run(&flags(&HOLDOUT)).0, 0);
    std::fs::rename(bench.path("out.h5ad"), bench.path("in.h5ad")).unwrap();
    let message = bench.refused(&flags(&HOLDOUT));
    assert!(message.contains("log-transformed") && message.contains("--counts-layer counts"), "{message}");
    let first = Prepared::new(h5ad::read(&bench.path("in.h5ad")).unwrap()).unwrap();
    assert_eq!(bench.run(&flags(&[&HOLDOUT[..], &["--counts-layer", "counts"]].concat())).0, 0);
    let second = Prepared::new(h5ad::read(&bench.path("out.h5ad")).unwrap()).unwrap();
    assert_eq!(first.embedding(), second.embedding());
    assert_eq!(first.cells.obs, second.cells.obs);
}

#[test]
fn parameters_survive_json_and_unknown_keys_are_refused() {
    let params = params();
    let text = serde_json::to_string(&params).unwrap();
    assert_eq!(serde_json::from_str::<PreprocessParams>(&text).unwrap(), params);
    assert_eq!(serde_json::from_str::<PreprocessParams>("{}").unwrap(), PreprocessParams::default());
    assert!(serde_json::from_str::<PreprocessParams>("{\"n_top_gene\": 3}").is_err());
}

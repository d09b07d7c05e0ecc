//! `scflow benchmark` on a small simulated screen, through the program.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use scflow::io::benchmark_folder;
use scflow::metrics::leaderboard::CEILING;
use tempfile::TempDir;

const METHODS: [&str; 3] = ["cfm", "control-mean", "additive-shift"];

/// A screen, made once: one cell type, three drugs and their pairs.
fn screen() -> &'static Path {
    static SCREEN: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = SCREEN.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let arguments = "simulate -q -o raw.h5ad --cells 700 --genes 200 --singles 3 --cell-types 1 --seed 1";
        let mut command = Command::new(env!("CARGO_BIN_EXE_scflow"));
        assert!(command.current_dir(folder.path()).args(arguments.split(' ')).status().unwrap().success());
        let path = folder.path().join("raw.h5ad");
        (folder, path)
    });
    path
}

fn command(folder: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scflow"));
    command.current_dir(folder).arg("benchmark").arg(screen()).args(
        "-o bench --perturbation-column perturbation --control control --n-top-genes 120 --n-components 10 --cells 60 \
         --seeds 2 --threads 2 --jobs 2"
            .split(' ')
            .filter(|word| !word.is_empty()),
    );
    command.args(more);
    command
}

const HOLDOUT: [&str; 4] = ["--holdout", "drug A + drug B", "--holdout", "drug A + drug C"];

/// Exit status, and what was said on standard error.
fn benchmark(folder: &Path, more: &[&str]) -> (i32, String) {
    let output = command(folder, &[&HOLDOUT, more].concat()).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// The steps that ran, as `method seed stage`.
fn ran(said: &str) -> Vec<String> {
    let mut steps: Vec<String> = said
        .lines()
        .filter_map(|line| {
            let (job, rest) = line.strip_prefix('[')?.split_once("] ")?;
            let (stage, _) = rest.split_once(" runs: ")?;
            // Its number, and the split.
            let (_, job) = job.split_once(' ')?;
            let (_, job) = job.split_once(' ')?;
            Some(format!("{} {stage}", job.replace(" seed", "")))
        })
        .collect();
    steps.sort();
    steps
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join("bench").join(name)).unwrap()
}

#[test]
fn methods_are_compared_once_and_again_only_where_something_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let methods = ["--methods", "cfm,control-mean", "--allow-missing"];
    let with = |more: &[&str]| benchmark(path, &[&methods, more].concat());
    let (status, said) = with(&["--steps", "5"]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("`additive-shift` takes part too") && ran(&said).len() == 3 * 2 * 3, "{said}");

    let found = benchmark_folder::read(&path.join("bench")).unwrap();
    // One row per method, held-out condition and seed; the ceiling beside them.
    for method in METHODS.into_iter().chain([CEILING]) {
        let own: Vec<_> = found.rows.iter().filter(|one| one.row.method == method).collect();
        assert_eq!(own.len(), 2 * 2, "{method}");
        assert!(
            own.iter().all(|one| one.row.values.contains_key("edist_l2") && one.row.status == "unseen_combination")
        );
    }
    // All make equally many cells, and no more than there are real ones.
    for method in METHODS {
        let of = |method: &str| -> Vec<usize> {
            let own = found.rows.iter().filter(|one| one.row.method == method);
            own.map(|one| one.row.n_generated).collect()
        };
        assert_eq!(of(method), of("additive-shift"));
    }
    assert!(found.rows.iter().all(|one| one.row.method == CEILING || one.row.n_generated <= one.row.n_real.min(60)));
    let scores = read(path, "scores.csv");
    assert!(
        scores.starts_with("split,method,seed,perturbation,status,") && scores.lines().count() == 1 + 4 * 4,
        "{scores}"
    );
    let board = read(path, "leaderboard.csv");
    assert!(board.starts_with("method,edist_l2,mmd2_rbf_median,w2_exact,std_ratio,pearson_delta,"), "{board}");
    for column in ["edist_l2_low", "edist_l2_rank", "edist_l2_less_additive_shift_high", "fit_cpu_seconds"] {
        assert!(board.lines().next().unwrap().split(',').any(|name| name == column), "{column}");
    }
    let standing = |method: &str| found.standings.iter().find(|own| own.method == method).unwrap();
    assert_eq!(standing("control-mean").places["std_ratio"].mean.mean, 0.0);
    assert!(standing("cfm").places["edist_l2"].less_reference.unwrap().interval.is_some());
    for method in METHODS {
        let own = standing(method);
        assert!(own.fit_cpu_seconds.unwrap() > 0.0 && own.fit_peak_memory_bytes.unwrap() > 10_000_000, "{own:?}");
    }
    let steps: Vec<Option<usize>> =
        found.costs.iter().filter(|cost| cost.method != "cfm").map(|cost| cost.n_steps).collect();
    assert!(steps.iter().all(Option::is_none) && found.costs[0].n_steps == Some(5), "{:?}", found.costs);
    assert!(found.audit.is_clean() && found.audit.n_models == 6 && found.audit.n_conditions() == 2);
    let page = read(path, "report.html");
    crate::report::assert_balanced(&page);
    assert!(page.contains("On these 2 held-out conditions") && page.contains("Leakage audit"), "no verdict");

    // Nothing is made again, and the tables stay as they are.
    let (status, said) = with(&["--steps", "5"]);
    assert!(status == 0 && ran(&said).is_empty(), "{said}");
    assert_eq!((read(path, "scores.csv"), read(path, "leaderboard.csv")), (scores, board));
    // A changed setting touches what it decides and nothing else.
    let (status, said) = with(&["--steps", "6"]);
    let cfm: Vec<String> = ["0", "1"]
        .iter()
        .flat_map(|seed| ["evaluate", "fit", "predict"].map(|stage| format!("cfm {seed} {stage}")))
        .collect();
    assert!(status == 0 && ran(&said) == cfm && said.contains("`steps` was 5 and is 6"), "{said}");

    // A stage that fails is told, and the others go on.
    let model = path.join("bench/splits/holdout/linear/seed-1/model");
    std::fs::create_dir_all(&model).unwrap();
    std::fs::write(model.join("notes.txt"), "mine").unwrap();
    let (status, said) = benchmark(path, &["--methods", "cfm,control-mean,linear", "--allow-missing", "--steps", "6"]);
    assert!(status == 1 && said.contains("[holdout linear seed 1] fit failed"), "{status} {said}");
    let rows = read(path, "scores.csv");
    let failed: Vec<&str> = rows.lines().filter(|line| line.starts_with("holdout,linear,1,")).collect();
    assert!(failed.len() == 2 && failed.iter().all(|line| line.contains("fit failed") && line.contains("exists")));
    assert_eq!(rows.lines().filter(|line| line.starts_with("holdout,linear,0,")).count(), 2);
    assert!(read(path, "report.html").contains("What failed"));
}

#[test]
fn every_combination_is_held_out_once_by_folds_and_tables_make_splits_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let run = |more: &[&str]| {
        let fast = ["--methods", "control-mean", "--allow-missing"];
        let output = command(path, &[&fast[..], more].concat()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, said) = run(&["--folds", "3"]);
    assert_eq!(status, 0, "{said}");
    // Two methods with the reference, two seeds, three pairs.
    let found = benchmark_folder::read(&path.join("bench")).unwrap();
    assert_eq!(found.rows.iter().filter(|one| one.row.method == "control-mean").count(), 2 * 3);
    let mut held_out: Vec<(String, String)> =
        found.rows.iter().map(|one| (one.row.perturbation.clone(), one.split.clone())).collect();
    held_out.sort();
    held_out.dedup();
    let names: Vec<&str> = held_out.iter().map(|(perturbation, _)| perturbation.as_str()).collect();
    assert_eq!(names, ["drug A+drug B", "drug A+drug C", "drug B+drug C"]);
    assert_eq!(held_out.iter().map(|(_, split)| split).collect::<std::collections::BTreeSet<_>>().len(), 3);
    assert!(found.audit.is_clean() && found.audit.splits.len() == 3 && found.audit.n_models == 3 * 2 * 2);
    let own = found.standings.iter().find(|own| own.method == "control-mean").unwrap();
    assert_eq!((own.n_conditions, own.places["edist_l2"].less_reference.unwrap().n), (3, 3));
    let page = read(path, "report.html");
    assert!(page.contains("3 splits") && page.contains("fold-2") && page.contains("On these 3 held-out conditions"));
    let (scores, board) = (read(path, "scores.csv"), read(path, "leaderboard.csv"));
    let (status, said) = run(&["--folds", "3"]);
    assert!(status == 0 && ran(&said).is_empty() && !said.contains("] runs"), "{said}");
    assert_eq!((read(path, "scores.csv"), read(path, "leaderboard.csv")), (scores, board.clone()));

    // The tables of two folds under names of the user's: the same conditions, fitted under other names.
    let table = |fold: usize| path.join(format!("bench/splits/fold-{fold}/split.csv"));
    std::fs::copy(table(1), path.join("one.csv")).unwrap();
    std::fs::copy(table(2), path.join("two.csv")).unwrap();
    let (status, said) = run(&["--split", "one.csv", "--split", "other=two.csv"]);
    assert_eq!(status, 0, "{said}");
    let again = benchmark_folder::read(&path.join("bench")).unwrap();
    let value = |of: &scflow::metrics::benchmark::Benchmark, split: &str| -> Vec<f64> {
        let own = of.rows.iter().filter(|one| one.split == split && one.row.method != CEILING);
        own.map(|one| one.row.values["edist_l2"]).collect()
    };
    for (split, fold) in [("one", "fold-1"), ("other", "fold-2")] {
        assert!(value(&again, split).len() == 4 && value(&again, split) == value(&found, fold), "{split}");
    }
    // A table that changed touches its own split.
    std::fs::copy(table(3), path.join("two.csv")).unwrap();
    let (status, said) = run(&["--split", "one.csv", "--split", "other=two.csv"]);
    assert!(status == 0 && said.contains("[one preprocess] up to date"), "{said}");
    assert!(said.contains("[other preprocess] runs: its input `split` changed") && ran(&said).len() == 12, "{said}");

    let (status, said) = run(&["--folds", "4"]);
    assert!(status == 2 && said.contains("there are 3 conditions to hold out"), "{said}");
    let (status, said) = run(&["--folds", "2", "--split", "one.csv"]);
    assert!(status == 2 && said.contains("only one of"), "{said}");
    let (status, said) = run(&[]);
    assert!(status == 2 && said.contains("--folds 5"), "{said}");
}

#[test]
fn a_benchmark_that_was_killed_goes_on_to_the_same_scores() {
    let (folder, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let more = ["--methods", "cfm", "--steps", "400", "--allow-missing"];
    let (status, said) = benchmark(whole.path(), &more);
    assert_eq!(status, 0, "{said}");
    let mut child: Child = command(folder.path(), &[&HOLDOUT[..], &more].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = folder.path().join("bench/splits/holdout/cfm/seed-0/fit.log");
    let start = Instant::now();
    let is_training = || std::fs::read_to_string(&begun).is_ok_and(|said| said.contains("steps of"));
    while !is_training() && child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(120), "no fit began");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!folder.path().join("bench/scores.csv").exists());
    let (status, said) = benchmark(folder.path(), &more);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("[holdout preprocess] up to date"), "{said}");
    assert_eq!(read(folder.path(), "scores.csv"), read(whole.path(), "scores.csv"));
}

#[test]
fn what_cannot_be_compared_is_refused_before_anything_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let refused = |more: &[&str], parts: &[&str]| {
        let (status, said) = benchmark(path, more);
        assert_eq!(status, 2, "{said}");
        parts.iter().for_each(|part| assert!(said.contains(part), "{part}: {said}"));
        assert!(!path.join("bench/scores.csv").exists());
    };
    refused(&["--methods", "cfm,cfm"], &["methods", "twice"]);
    refused(&["--methods", "cfn"], &["cfn", "cfm"]);
    refused(&["--steps", "0"], &["steps", "at least one"]);
    refused(&["--covariate", "kind"], &["kind", "batch"]);
    std::fs::remove_dir_all(path.join("bench")).unwrap();
    std::fs::create_dir(path.join("bench")).unwrap();
    std::fs::write(path.join("bench/thesis.txt"), "mine").unwrap();
    refused(&["--methods", "cfm"], &["exists"]);
    assert!(path.join("bench/thesis.txt").exists());
}

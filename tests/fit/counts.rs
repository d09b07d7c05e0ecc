//! Methods that work on counts of genes, through the program.

use ndarray::{Array1, Axis};

use super::*;

const SIZE: [&str; 4] = ["--width", "64", "--cells-per-step", "64"];

fn fit_counts(folder: &Path, output: &str, more: &[&str]) -> (i32, String) {
    let input = prepared().to_str().unwrap();
    scflow(folder, &[&["fit", input, "-o", output, "--device", "cpu"], &SIZE[..], more].concat())
}

/// The mean log1p expression of the cells that have these values in two columns.
pub(super) fn mean(cells: &Cells, perturbation: &str, cell_type: &str) -> Array1<f32> {
    let (perturbations, types) = (texts(cells, "perturbation"), texts(cells, "cell_type"));
    let rows: Vec<usize> =
        (0..cells.n_cells()).filter(|&row| perturbations[row] == perturbation && types[row] == cell_type).collect();
    assert!(rows.len() > 10, "{} cells of {perturbation} in {cell_type}", rows.len());
    cells.x.select_rows(&rows).to_dense().mean_axis(Axis(0)).unwrap()
}

pub(super) fn correlation(one: &Array1<f32>, other: &Array1<f32>) -> f32 {
    let centred = |values: &Array1<f32>| values - values.mean().unwrap();
    let (a, b) = (centred(one), centred(other));
    a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt()
}

#[test]
fn scvi_and_cpa_go_from_fit_to_scores_and_know_what_an_unseen_pair_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let real = h5ad::read(prepared()).unwrap();
    for (name, more) in [("scvi", ["--steps", "1000", "--latent", "6"]), ("cpa", ["--steps", "2500", "--penalty", "0"])]
    {
        let options = [&["--method", name, "--seed", "3"][..], &more].concat();
        ok(fit_counts(path, name, &options));
        let cells = format!("{name}.h5ad");
        ok(scflow(path, &["predict", name, "--holdout", "-p", "control", "--cells", "200", "-o", &cells]));
        let made = h5ad::read(&path.join(&cells)).unwrap();
        let counts = &made.layers["counts"];
        assert!(counts.values().iter().all(|count| *count > 0.0 && count.fract() == 0.0), "{name}");
        let share = |counts: &scflow::cells::SparseMatrix| {
            counts.n_stored() as f64 / (counts.n_rows() * counts.n_columns()) as f64
        };
        assert!((share(counts) / share(&real.layers["counts"]) - 1.0).abs() < 0.1, "{name}: {}", share(counts));
        let types: std::collections::BTreeSet<String> = texts(&made, "cell_type").into_iter().collect();
        assert_eq!(types.len(), 2);
        for cell_type in &types {
            let change = |cells: &Cells| mean(cells, "drug A+drug B", cell_type) - mean(cells, "control", cell_type);
            let known = correlation(&change(&made), &change(&real));
            // Some fifty real cells of each: their own noise leaves the truth itself at about a half.
            assert!(known > 0.25, "{name} in {cell_type}: {known}");
        }
        ok(scflow(path, &["predict", name, "--holdout", "--cells", "60", "-o", &format!("held_{name}.h5ad")]));
        let (truth, scores) = (prepared().to_str().unwrap(), format!("scores_{name}"));
        let said = scflow(path, &["evaluate", &format!("held_{name}.h5ad"), "--truth", truth, "-o", &scores]);
        ok(said);
        assert!(std::fs::read_dir(path.join(scores)).unwrap().count() > 2);
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for (number, choices) in [
        "--method scvi --likelihood zinb",
        "--method scvi --source control --centre none",
        "--method cpa --likelihood zinb",
    ]
    .iter()
    .enumerate()
    {
        let choices: Vec<&str> = choices.split(' ').collect();
        let mut outputs = Vec::new();
        for round in ["a", "b"] {
            let (model, cells) = (format!("{number}{round}"), format!("{number}{round}.h5ad"));
            ok(fit_counts(path, &model, &[&["--steps", "6"], &choices[..]].concat()));
            ok(scflow(path, &["predict", &model, "--holdout", "--cells", "40", "-o", &cells]));
            outputs.push((files(&path.join(&model)), std::fs::read(path.join(&cells)).unwrap()));
        }
        assert!(outputs[0] == outputs[1], "{choices:?}");
        let names = &outputs[0].0;
        assert!(!names.contains_key("gene_decoder.safetensors"), "{choices:?}");
        assert_eq!(names.contains_key("guide.json"), !choices.contains(&"none"));
        assert_eq!(names.contains_key("control_cells.safetensors"), number > 0);
    }
}

#[test]
fn other_devices_compute_the_same_losses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for (number, choices) in ["--method scvi --likelihood zinb", "--method cpa"].iter().enumerate() {
        let choices: Vec<&str> = choices.split(' ').collect();
        let losses = |device: &str, rate: &str| -> Vec<f64> {
            let (input, model) = (prepared().to_str().unwrap(), format!("{device}{rate}{number}"));
            let fixed = ["fit", input, "-o", &model, "--steps", "20", "--device", device, "--learning-rate", rate];
            ok(scflow(path, &[&fixed[..], &SIZE, &choices].concat()));
            let table = std::fs::read_to_string(path.join(&model).join("history.csv")).unwrap();
            table.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect()
        };
        let (fused, composed, unfitted) = (losses("cpu", "5e-3"), losses("composed", "5e-3"), losses("cpu", "1e-12"));
        let largest_gap = |other: &[f64]| fused.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert_eq!((fused.len(), composed.len()), (20, 20));
        assert!(largest_gap(&composed) < 1e-3, "{choices:?}: {fused:?} {composed:?}");
        assert!(largest_gap(&unfitted) > 5e-3, "{choices:?}: {fused:?} {unfitted:?}");
    }
}

#[test]
fn choices_that_a_method_does_not_have_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let bad = |choices: &str| {
        let choices: Vec<&str> = choices.split(' ').collect();
        fit_counts(path, "bad", &[&["--steps", "3"], &choices[..]].concat())
    };
    refused(path, bad("--method scvi --coordinates scaled"), &["coordinates", "`scvi`"]);
    refused(path, bad("--method cpa --source control"), &["source", "`cpa`"]);
    refused(path, bad("--method scvi --adversary 1"), &["adversary", "`scvi`", "--method cpa"]);
    refused(path, bad("--method cfm --likelihood zinb"), &["likelihood", "`cfm`", "--method scvi"]);
    refused(path, bad("--method scvi --likelihood poisson"), &["poisson", "zinb"]);
    refused(path, bad("--method cpa --adversary=-1"), &["adversary"]);
    refused(path, bad("--method scvi --latent 0"), &["latent", "above zero"]);
    ok(fit_counts(path, "cpa", &["--method", "cpa", "--steps", "2"]));
    let predict = |more: &[&str]| scflow(path, &[&["predict", "cpa", "--holdout", "-o", "bad.h5ad"], more].concat());
    refused(path, predict(&["--temperature", "0.5"]), &["temperature", "`cpa`"]);
    refused(path, predict(&["--guidance", "2"]), &["guidance", "`cpa`"]);
    std::fs::remove_file(path.join("cpa/control_cells.safetensors")).unwrap();
    refused(path, predict(&[]), &["control_cells", "is missing"]);
}

//! The metrics against closed forms, against other routes to the same number, and against POT, scikit-learn and SciPy.

use std::collections::BTreeMap;
use std::sync::Arc;

use ndarray::{Array2, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use scflow::cells::SparseMatrix;
use scflow::embedding::neighbors::Neighbors;
use scflow::metrics::conditions::{self, Profile};
use scflow::metrics::genes::{Differential, GeneColumns, agreement};
use scflow::metrics::means::errors;
use scflow::metrics::outcome::Outcome;
use scflow::metrics::{deltas, energy, labels, mmd, spread, wasserstein};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/metrics.json")).unwrap()
}

fn number(golden: &Value, key: &str) -> f64 {
    golden[key].as_f64().unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

fn points(value: &Value) -> Array2<f32> {
    let rows: Vec<Vec<f64>> = value.as_array().unwrap().iter().map(numbers).collect();
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j] as f32)
}

fn cloud(n: usize, centre: f32, scale: f32, seed: u64) -> Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_fn((n, 3), |_| {
        let draw: f32 = StandardNormal.sample(&mut rng);
        centre + scale * draw
    })
}

#[track_caller]
fn close(got: f64, expected: f64, tolerance: f64) {
    assert!((got - expected).abs() <= tolerance * expected.abs().max(1.0), "got {got}, expected {expected}");
}

#[test]
fn distances_between_clouds_agree_with_python() {
    let golden = golden();
    let (first, second) = (points(&golden["first"]), points(&golden["second"]));
    let (first, second) = (first.view(), second.view());
    let gamma = mmd::gamma_median(first).unwrap();
    close(gamma, number(&golden, "gamma_median"), 1e-9);
    close(mmd::mmd2_rbf(first, second, gamma).unwrap(), number(&golden, "mmd2_rbf"), 1e-9);
    close(energy::energy(first, second).unwrap(), number(&golden, "energy"), 1e-7);
    close(wasserstein::w2_exact(first, second).unwrap(), number(&golden, "w2_exact"), 1e-9);
    close(spread::std_ratio(first, second).unwrap(), number(&golden, "std_ratio"), 1e-9);
}

/// The fractional parts of multiples of square roots: the same digits in any language.
fn roots(n: usize, step: f64) -> Array2<f32> {
    let roots = [2.0, 3.0, 5.0, 7.0, 11.0, 13.0, 17.0, 19.0_f64].map(|prime| prime.sqrt() * step);
    Array2::from_shape_fn((n, roots.len()), |(i, j)| (((i + 1) as f64 * roots[j]) % 1.0) as f32)
}

#[test]
fn distances_between_hundreds_of_cells_agree_with_python() {
    let golden: Value = serde_json::from_str(include_str!("golden/distances.json")).unwrap();
    let n = golden["n"].as_u64().unwrap() as usize;
    let (first, second) = (roots(n, 1.0), roots(n, 1.5).mapv(|value| (1.25 * f64::from(value) + 0.125) as f32));
    let (first, second) = (first.view(), second.view());
    let close_to = |got: f64, key: &str| close(got, number(&golden, key), 1e-7);
    close_to(wasserstein::w2_exact(first, second).unwrap(), "w2_exact");
    // The plan's marginals are uniform within 1e-6.
    let sinkhorn = wasserstein::w2_sinkhorn(first, second, 0.01).unwrap();
    close(sinkhorn, number(&golden, "w2_sinkhorn_eps0.01"), 1e-5);
    close_to(energy::energy(first, second).unwrap(), "edist_l2");
    close_to(energy::energy_squared(first, second).unwrap(), "edist_sq");
}

/// The mean of a function of squared distances over pairs of different points.
fn within(points: &Array2<f32>, of: impl Fn(f64) -> f64) -> f64 {
    let n = points.nrows();
    let squared = |i: usize, j: usize| -> f64 {
        points.row(i).iter().zip(points.row(j)).map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2)).sum()
    };
    let pairs = (0..n).flat_map(|i| (0..n).filter(move |&j| j != i).map(move |j| (i, j)));
    pairs.map(|(i, j)| of(squared(i, j))).sum::<f64>() / (n * (n - 1)) as f64
}

/// pertpy counts pairs of a cell with itself, scflow does not; but for these the numbers are the same.
#[test]
fn distances_are_those_of_pertpy_without_pairs_of_a_cell_with_itself() {
    let golden: Value = serde_json::from_str(include_str!("golden/pertpy.json")).unwrap();
    let size = |key: &str| golden[key].as_u64().unwrap() as usize;
    let (first, second) = (
        roots(size("n_first"), 1.0),
        roots(size("n_second"), 1.5).mapv(|value| (1.25 * f64::from(value) + 0.125) as f32),
    );
    let over_sizes =
        |of: &dyn Fn(&Array2<f32>) -> f64| of(&first) / first.nrows() as f64 + of(&second) / second.nrows() as f64;
    let (x, y) = (first.view(), second.view());
    // 2 E|x - y| - (1 - 1/n) E|x - x'| - (1 - 1/m) E|y - y'|: more, never below zero.
    let biased = energy::energy(x, y).unwrap() + over_sizes(&|points| within(points, f64::sqrt));
    close(biased, number(&golden, "edistance"), 1e-9);
    let biased = energy::energy_squared(x, y).unwrap() + over_sizes(&|points| within(points, |squared| squared));
    close(biased, number(&golden, "edistance_sqeuclidean"), 1e-9);
    // With its default kernel, pertpy's MMD is the squared distance of the means.
    close(biased / 2.0, number(&golden, "mmd_linear"), 1e-9);
    let gamma = number(&golden, "gamma");
    let kernel = |squared: f64| (-gamma * squared).exp();
    let biased = mmd::mmd2_rbf(x, y, gamma).unwrap() + over_sizes(&|points| 1.0 - within(points, kernel));
    close(biased, number(&golden, "mmd_rbf"), 1e-9);
}

#[test]
fn exact_transport_of_five_thousand_cells_agrees_with_pot_and_takes_less_than_thirty_seconds() {
    let golden: Value = serde_json::from_str(include_str!("golden/distances.json")).unwrap();
    let n = golden["n_large"].as_u64().unwrap() as usize;
    let (first, second) = (roots(n, 1.0), roots(n, 1.5).mapv(|value| (1.25 * f64::from(value) + 0.125) as f32));
    let start = std::time::Instant::now();
    close(wasserstein::w2_exact(first.view(), second.view()).unwrap(), number(&golden, "w2_exact_large"), 1e-9);
    assert!(start.elapsed().as_secs() < 30);
}

#[test]
fn means_and_labels_agree_with_python() {
    let golden = golden();
    let of = |key: &str| numbers(&golden[key]);
    let (real, generated, control) = (of("real"), of("generated"), of("control"));
    close(deltas::pearson_delta(&real, &generated, &control).unwrap(), number(&golden, "pearson_delta"), 1e-12);
    close(deltas::r2_mean(&real, &generated).unwrap(), number(&golden, "r2_mean"), 1e-12);
    let (p, q) = (of("counts_real"), of("counts_generated"));
    close(labels::kld(&p, &q).unwrap(), number(&golden, "kld"), 1e-12);
    close(labels::total_variation(&p, &q).unwrap(), number(&golden, "total_variation"), 1e-12);
}

#[test]
fn neighbours_agree_with_python() {
    let golden = golden();
    let found = Neighbors::exact(points(&golden["first"]).view(), 6).unwrap();
    for (row, expected) in golden["neighbors"].as_array().unwrap().iter().enumerate() {
        let expected: Vec<usize> = numbers(expected).into_iter().map(|index| index as usize).collect();
        assert_eq!(found.indices.row(row).to_vec(), expected);
    }
}

#[test]
fn the_wasserstein_distance_of_a_shifted_cloud_is_the_shift() {
    let first = cloud(200, 0.0, 1.0, 1);
    let mut second = &first + 0.75;
    second.invert_axis(Axis(0));
    close(wasserstein::w2_exact(first.view(), second.view()).unwrap(), 0.75 * 3.0_f64.sqrt(), 1e-6);
    close(wasserstein::w2_exact(first.view(), first.view()).unwrap(), 0.0, 1e-6);
}

#[test]
fn the_order_of_cells_does_not_matter() {
    let (first, second) = (cloud(60, 0.0, 1.0, 1), cloud(60, 1.0, 2.0, 2));
    let order: Vec<usize> = (0..60).map(|i| (i * 7) % 60).collect();
    let mixed = second.select(Axis(0), &order);
    let all = |other: &Array2<f32>| {
        let (first, other) = (first.view(), other.view());
        let gamma = mmd::gamma_median(first).unwrap();
        [
            mmd::mmd2_rbf(first, other, gamma).unwrap(),
            energy::energy(first, other).unwrap(),
            wasserstein::w2_exact(first, other).unwrap(),
            spread::std_ratio(first, other).unwrap(),
        ]
    };
    for (a, b) in all(&second).into_iter().zip(all(&mixed)) {
        close(a, b, 1e-10);
    }
}

#[test]
fn the_kernel_distance_of_gaussians_is_near_its_closed_form() {
    // E exp(-g |z|²) = (1 + 2 g s)^(-d/2) exp(-g |m|² / (1 + 2 g s)) for z ~ N(m, s I) in d dimensions; the difference of
    // two independent standard normal points has s = 2.
    let (n, shift, gamma) = (1500, 0.8_f32, 0.25);
    let (first, second) = (cloud(n, 0.0, 1.0, 3), cloud(n, shift, 1.0, 4));
    let factor = 1.0 + 2.0 * gamma * 2.0;
    let same = f64::powf(factor, -1.5);
    let cross = same * (-gamma * 3.0 * f64::from(shift).powi(2) / factor).exp();
    close(mmd::mmd2_rbf(first.view(), second.view(), gamma).unwrap(), 2.0 * (same - cross), 0.015);
}

#[test]
fn unbiased_distances_of_one_distribution_are_near_zero_and_collapse_is_seen() {
    let (first, second) = (cloud(1000, 0.0, 1.0, 5), cloud(1000, 0.0, 1.0, 6));
    let gamma = mmd::gamma_median(first.view()).unwrap();
    close(mmd::mmd2_rbf(first.view(), second.view(), gamma).unwrap(), 0.0, 0.003);
    close(energy::energy(first.view(), second.view()).unwrap(), 0.0, 0.01);
    close(spread::std_ratio(first.view(), second.view()).unwrap(), 1.0, 0.05);
    close(spread::std_ratio(first.view(), cloud(1000, 0.0, 0.1, 7).view()).unwrap(), 0.1, 0.05);
}

#[test]
fn equal_changes_have_no_correlation_and_say_so() {
    let means = [1.0, 2.0, 3.0];
    let error = deltas::pearson_delta(&means, &means, &means).unwrap_err().to_string();
    assert!(error.contains("change of mean expression"), "{error}");
    assert!(mmd::gamma_median(Array2::zeros((4, 2)).view()).is_err());
}

/// The small screen of cell-eval's golden numbers: real and predicted cells, with the rows of each perturbation.
struct Small {
    golden: Value,
    sides: [SparseMatrix; 2],
    labels: Vec<String>,
}

impl Small {
    fn read() -> Self {
        let golden: Value = serde_json::from_str(include_str!("golden/cell_eval.json")).unwrap();
        let side = |key: &str| {
            let rows: Vec<Vec<f64>> = golden[key].as_array().unwrap().iter().map(numbers).collect();
            let stored = |row: &Vec<f64>| {
                let counts = row.iter().enumerate().filter(|(_, count)| **count > 0.0);
                counts.map(|(gene, count)| (gene as u32, count.ln_1p() as f32)).collect()
            };
            SparseMatrix::from_rows(rows[0].len(), rows.iter().map(stored))
        };
        let labels =
            golden["labels"].as_array().unwrap().iter().map(|label| label.as_str().unwrap().to_owned()).collect();
        Self { sides: ["real", "predicted"].map(side), labels, golden }
    }

    fn rows(&self, name: &str) -> Vec<usize> {
        (0..self.labels.len()).filter(|&row| self.labels[row] == name).collect()
    }

    fn columns(&self, side: usize, name: &str) -> GeneColumns {
        GeneColumns::new(&self.sides[side], &self.rows(name), None)
    }

    fn score(&self, name: &str, metric: &str) -> f64 {
        self.golden["scores"][name][metric].as_f64().unwrap_or_else(|| panic!("{name} {metric}"))
    }

    fn names(&self) -> Vec<&str> {
        self.golden["scores"].as_object().unwrap().keys().map(String::as_str).collect()
    }
}

#[test]
fn rank_sum_tests_agree_with_pdex() {
    let small = Small::read();
    let test = Differential::between(&small.columns(0, "drug"), &small.columns(0, "control")).unwrap();
    let expected = &small.golden["drug"];
    for gene in 0..test.p_values.len() {
        close(test.p_values[gene], expected["p_value"][gene].as_f64().unwrap(), 1e-10);
        close(test.false_discovery_rates[gene], expected["fdr"][gene].as_f64().unwrap(), 1e-10);
        let change = &expected["log2_fold_change"][gene];
        match change.as_str() {
            Some(infinite) => assert_eq!(test.log2_fold_changes[gene], infinite.parse::<f64>().unwrap()),
            None => close(test.log2_fold_changes[gene], change.as_f64().unwrap(), 1e-6),
        }
    }
}

#[test]
fn means_and_significant_genes_agree_with_cell_eval() {
    let small = Small::read();
    let control = small.columns(0, "control");
    for name in small.names() {
        let [real, generated] = [0, 1].map(|side| small.columns(side, name));
        let near = |got: f64, metric: &str| close(got, small.score(name, metric), 2e-6);
        near(deltas::pearson_delta(&real.means, &generated.means, &control.means).unwrap(), "pearson_delta");
        // Changes that are equal but for rounding may share a rank or not.
        let ranks = deltas::spearman_delta(&real.means, &generated.means, &control.means).unwrap();
        close(ranks, small.score(name, "spearman_delta"), 1e-3);
        near(errors::mse(&real.means, &generated.means).unwrap(), "mse");
        near(errors::mae(&real.means, &generated.means).unwrap(), "mae_delta");
        let [real, generated] = [real, generated].map(|side| Differential::between(&side, &control).unwrap());
        for (k, suffix) in [(None, "N"), (Some(10), "10"), (Some(50), "50"), (Some(100), "100")] {
            near(agreement::overlap_at(&real, &generated, k), &format!("overlap_at_{suffix}"));
            near(agreement::precision_at(&real, &generated, k), &format!("precision_at_{suffix}"));
        }
        near(agreement::direction_match(&real, &generated).unwrap(), "de_direction_match");
        near(agreement::recall(&real, &generated).unwrap(), "de_sig_genes_recall");
        near(agreement::spearman_of_changes(&real, &generated).unwrap().unwrap(), "de_spearman_lfc_sig");
        near(agreement::pr_auc(&real, &generated).unwrap(), "pr_auc");
        near(agreement::roc_auc(&real, &generated).unwrap(), "roc_auc");
        near(real.significant().len() as f64, "de_nsig_counts_real");
        near(generated.significant().len() as f64, "de_nsig_counts_pred");
    }
}

#[test]
fn discrimination_agrees_with_cell_eval_and_perturbench() {
    let small = Small::read();
    let control = Arc::new(small.columns(0, "control").means);
    let genes: Vec<&str> =
        small.golden["genes"].as_array().unwrap().iter().map(|gene| gene.as_str().unwrap()).collect();
    let names = small.names();
    let profile = |name: &&str| Profile {
        group: ("model".into(), BTreeMap::new()),
        real: Arc::new(small.columns(0, name).means),
        generated: small.columns(1, name).means,
        control: control.clone(),
        targets: genes.iter().position(|gene| gene == name).into_iter().collect(),
    };
    let profiles: Vec<Profile> = names.iter().map(profile).collect();
    assert_eq!(profiles.iter().filter(|profile| !profile.targets.is_empty()).count(), 2);
    let mut outcomes = vec![Outcome::default(); profiles.len()];
    conditions::score(&profiles, &mut outcomes);
    for (name, outcome) in names.iter().zip(&outcomes) {
        let norms = ["l1", "l2", "cosine"].map(|norm| format!("discrimination_score_{norm}"));
        for metric in norms.iter().map(String::as_str).chain(["perturbench_rank"]) {
            close(outcome.values[metric], small.score(name, metric), 1e-12);
        }
    }
}

//! The metrics against closed forms, against other routes to the same number, and against POT, scikit-learn and SciPy.

use ndarray::{Array2, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use scflow::embedding::neighbors::Neighbors;
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
    let found = Neighbors::exact(points(&golden["first"]).view(), 5).unwrap();
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

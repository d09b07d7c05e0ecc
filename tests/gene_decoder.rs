//! The way back to genes: laws against SciPy, calibration on a simulated screen, reproducibility, refusals.

use ndarray::{Array1, Array2, Axis};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gamma, Poisson, StandardNormal};
use scflow::Error;
use scflow::cells::SparseMatrix;
use scflow::models::gene_decoder::{CountLaw, GeneDecoder, GeneDecoderParams};
use scflow::preprocess::normalize::log_normalize;
use serde_json::Value;

#[test]
fn laws_agree_with_scipy() {
    let golden: Value = serde_json::from_str(include_str!("golden/gene_decoder.json")).unwrap();
    let number = |value: &Value| value.as_f64().unwrap();
    let per_count = number(&golden["per_count"]);
    for case in golden["cases"].as_array().unwrap() {
        let law = CountLaw { mean: number(&case["mean"]), dispersion: number(&case["dispersion"]), rounding: 0.0 };
        for (u, expected) in golden["uniforms"].as_array().unwrap().iter().zip(case["quantiles"].as_array().unwrap()) {
            assert_eq!(law.quantile(number(u)), number(expected), "{law:?} at {u}");
        }
        assert!((law.zero_probability() - number(&case["zero"])).abs() < 1e-12, "{law:?}");
        let got = law.expectation(|count| (count * per_count).ln_1p());
        assert!((got / number(&case["log1p"]) - 1.0).abs() < 1e-3, "{law:?}: {got} {}", case["log1p"]);
    }
}

const TARGET_SUM: f64 = 1e4;

/// A screen in which cells of several conditions differ in a few programmes; library sizes exceed the panel's counts.
struct Screen {
    counts: SparseMatrix,
    libraries: Vec<f64>,
    groups: Vec<usize>,
    embedding: Array2<f32>,
}

fn screen(n_cells: usize, n_genes: usize, n_groups: usize, n_components: usize, seed: u64) -> Screen {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let normal = |rng: &mut ChaCha8Rng| -> f64 { StandardNormal.sample(rng) };
    let base = Array1::from_shape_simple_fn(n_genes, || -8.5 + 1.6 * normal(&mut rng));
    let programmes = Array2::from_shape_simple_fn((6, n_genes), || 0.35 * normal(&mut rng));
    let shifts = Array2::from_shape_simple_fn((n_groups, 6), || normal(&mut rng));
    let groups: Vec<usize> = (0..n_cells).map(|cell| cell % n_groups).collect();
    let libraries: Vec<f64> = (0..n_cells).map(|_| (9.0 + 0.35 * normal(&mut rng)).exp().round()).collect();
    let rows: Vec<Vec<(u32, f32)>> = (0..n_cells)
        .map(|cell| {
            let activity = Array1::from_shape_fn(6, |k| shifts[[groups[cell], k]] + 0.5 * normal(&mut rng));
            let log_rates = &base + &activity.dot(&programmes);
            (0..n_genes)
                .map(|gene| {
                    let wobble: f64 = Gamma::new(4.0, 0.25).unwrap().sample(&mut rng);
                    let mean = libraries[cell] * log_rates[gene].exp().min(0.05) * wobble;
                    let count = Poisson::new(mean.max(1e-12)).unwrap().sample(&mut rng);
                    (gene as u32, count as f32)
                })
                .collect()
        })
        .collect();
    let counts = SparseMatrix::from_rows(n_genes, rows);
    let expression = log_normalize(&counts, &libraries, TARGET_SUM).to_dense();
    Screen { embedding: components(&expression, n_components), counts, libraries, groups }
}

fn components(expression: &Array2<f32>, n_components: usize) -> Array2<f32> {
    let centred = expression - &expression.mean_axis(Axis(0)).unwrap();
    centred.dot(&principal_axes(&centred, n_components))
}

/// Leading principal axes by orthogonal iteration: (n_genes, n_components).
fn principal_axes(centred: &Array2<f32>, n_components: usize) -> Array2<f32> {
    let covariance = centred.t().dot(centred) / centred.nrows() as f32;
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut basis = Array2::from_shape_simple_fn((centred.ncols(), n_components), || rng.random_range(-1.0_f32..1.0));
    for _ in 0..15 {
        basis = covariance.dot(&basis);
        for k in 0..n_components {
            for before in 0..k {
                let overlap = basis.column(k).dot(&basis.column(before));
                let earlier = basis.column(before).to_owned();
                basis.column_mut(k).scaled_add(-overlap, &earlier);
            }
            let length = basis.column(k).dot(&basis.column(k)).sqrt();
            basis.column_mut(k).mapv_inplace(|value| value / length);
        }
    }
    basis
}

fn pearson(first: &Array1<f32>, second: &Array1<f32>) -> f32 {
    let centred = |values: &Array1<f32>| values - values.mean().unwrap();
    let (a, b) = (centred(first), centred(second));
    a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt()
}

fn params() -> GeneDecoderParams {
    GeneDecoderParams { target_sum: TARGET_SUM, steps: 150, ..GeneDecoderParams::default() }
}

fn small() -> (Screen, GeneDecoder) {
    let screen = screen(240, 90, 3, 8, 3);
    let params = GeneDecoderParams { steps: 20, ..params() };
    let decoder = GeneDecoder::fit(screen.embedding.view(), &screen.counts, &screen.libraries, &params).unwrap();
    (screen, decoder)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn generated_cells_have_the_means_zeros_and_variances_of_the_cells_they_stand_for() {
    let screen = screen(1600, 300, 4, 10, 1);
    let decoder = GeneDecoder::fit(screen.embedding.view(), &screen.counts, &screen.libraries, &params()).unwrap();
    // Library sizes as a caller has them: drawn anew, here a rotation of the cells' own.
    let mut libraries = screen.libraries.clone();
    libraries.rotate_left(401);
    let libraries = decoder.assign_library_sizes(screen.embedding.view(), &libraries, &screen.groups).unwrap();
    let counts = decoder.generate(screen.embedding.view(), &libraries, &screen.groups, 7).unwrap();
    let share = |counts: &SparseMatrix| counts.n_stored() as f64 / (counts.n_rows() * counts.n_columns()) as f64;
    let sparsity = share(&counts) / share(&screen.counts);
    assert!((sparsity - 1.0).abs() < 0.05, "share of non-zero entries, generated / real: {sparsity}");

    let real = log_normalize(&screen.counts, &screen.libraries, TARGET_SUM).to_dense();
    let generated = log_normalize(&counts, &libraries, TARGET_SUM).to_dense();
    for group in 0..4 {
        let cells: Vec<usize> = (0..1600).filter(|&cell| screen.groups[cell] == group).collect();
        let (real, generated) = (real.select(Axis(0), &cells), generated.select(Axis(0), &cells));
        let (mut means, mut zeros, mut variances) = (Vec::new(), Vec::new(), Vec::new());
        for (real, generated) in real.columns().into_iter().zip(generated.columns()) {
            let mean = f64::from(real.mean().unwrap());
            if mean > 0.05 {
                means.push((f64::from(generated.mean().unwrap()) / mean - 1.0).abs());
                variances.push(f64::from(generated.var(0.0) / real.var(0.0)));
                let share = |column: ndarray::ArrayView1<f32>| column.iter().filter(|&&v| v == 0.0).count() as f64;
                zeros.push((share(generated) - share(real)).abs() / cells.len() as f64);
            }
        }
        assert!(means.len() > 50, "{} genes", means.len());
        assert!(median(means.clone()) < 0.05, "condition {group}: means differ by {}", median(means));
        assert!(median(zeros.clone()) < 0.02, "condition {group}: zeros differ by {}", median(zeros));
        assert!((median(variances.clone()) - 1.0).abs() < 0.1, "condition {group}: {}", median(variances));
    }
}

/// The mean log1p expression of a condition must come out as the linear reconstruction says, in spite of the draws.
#[test]
fn the_delta_of_generated_cells_follows_the_reconstruction() {
    let screen = screen(900, 200, 3, 8, 2);
    let decoder = GeneDecoder::fit(screen.embedding.view(), &screen.counts, &screen.libraries, &params()).unwrap();
    // An unseen condition: the cells of one, moved half the way to another.
    let rows = |group: usize| -> Vec<usize> { (0..900).filter(|&cell| screen.groups[cell] == group).collect() };
    let mean = |group: usize| screen.embedding.select(Axis(0), &rows(group)).mean_axis(Axis(0)).unwrap();
    let moved = screen.embedding.select(Axis(0), &rows(1)) + &((mean(2) - mean(1)) * 0.5);
    let libraries: Vec<f64> = rows(0).iter().map(|&cell| screen.libraries[cell]).collect();
    let counts = decoder.generate(moved.view(), &libraries, &vec![0; moved.nrows()], 1).unwrap();
    let generated = log_normalize(&counts, &libraries, TARGET_SUM).to_dense().mean_axis(Axis(0)).unwrap();
    let real = log_normalize(&screen.counts, &screen.libraries, TARGET_SUM).to_dense();
    let real = |group: usize| real.select(Axis(0), &rows(group)).mean_axis(Axis(0)).unwrap();
    let control = real(0);
    let expected = (real(1) + real(2)) * 0.5 - &control;
    let delta = generated - &control;
    let correlation = pearson(&expected, &delta);
    assert!(correlation > 0.97, "{correlation}");
}

#[test]
fn a_seed_gives_the_same_counts_on_any_number_of_threads() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (screen, decoder) = small();
            decoder.generate(screen.embedding.view(), &screen.libraries, &screen.groups, 11).unwrap()
        })
    };
    let one = run(1);
    assert!(one.n_stored() > 0);
    assert_eq!(one, run(3));
    let (screen, decoder) = small();
    let other = decoder.generate(screen.embedding.view(), &screen.libraries, &screen.groups, 12).unwrap();
    assert_ne!(one, other);
}

#[test]
fn a_decoder_survives_its_arrays() {
    let (screen, decoder) = small();
    let mut arrays = decoder.to_arrays();
    let again = GeneDecoder::from_arrays(&arrays).unwrap();
    let draw = |decoder: &GeneDecoder| {
        decoder.generate(screen.embedding.view(), &screen.libraries, &screen.groups, 5).unwrap()
    };
    assert_eq!(decoder.rates(screen.embedding.view()).unwrap(), again.rates(screen.embedding.view()).unwrap());
    assert_eq!(draw(&decoder), draw(&again));
    arrays.insert("bias".into(), ndarray::ArrayD::zeros(vec![3]));
    assert!(matches!(GeneDecoder::from_arrays(&arrays), Err(Error::ShapeMismatch { .. })));
    arrays.remove("bias");
    assert!(matches!(GeneDecoder::from_arrays(&arrays), Err(Error::MissingKey { .. })));
}

#[test]
fn library_sizes_are_handed_out_within_groups_and_fit_the_cells() {
    let (screen, decoder) = small();
    let mut drawn = screen.libraries.clone();
    drawn.rotate_left(60); // a multiple of the number of groups: each group keeps its library sizes
    let assigned = decoder.assign_library_sizes(screen.embedding.view(), &drawn, &screen.groups).unwrap();
    let correlation = |sizes: &[f64]| {
        let centred = |sizes: &[f64]| -> Array1<f64> {
            let logs: Array1<f64> = sizes.iter().map(|size| size.ln()).collect();
            let mean = logs.mean().unwrap();
            logs - mean
        };
        let (a, b) = (centred(sizes), centred(&screen.libraries));
        a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt()
    };
    for group in 0..3 {
        let sorted = |sizes: &[f64]| {
            let mut own: Vec<f64> = (0..240).filter(|&cell| screen.groups[cell] == group).map(|c| sizes[c]).collect();
            own.sort_by(f64::total_cmp);
            own
        };
        assert_eq!(sorted(&assigned), sorted(&drawn));
    }
    let (before, after) = (correlation(&drawn), correlation(&assigned));
    assert!(before.abs() < 0.2 && after > 0.35, "{before} {after}");
}

#[test]
fn rates_far_outside_the_training_cells_stay_within_what_was_seen() {
    let (screen, decoder) = small();
    let far = &screen.embedding * 1e4;
    let largest = |rates: Array2<f32>| rates.iter().copied().fold(0.0_f32, f32::max);
    let seen = (0..240).flat_map(|cell| screen.counts.row(cell).1.iter().map(move |&count| (cell, count)));
    let seen = seen.map(|(cell, count)| f64::from(count) / screen.libraries[cell]).fold(0.0, f64::max);
    let rates = decoder.rates(far.view()).unwrap();
    assert!(rates.iter().all(|rate| rate.is_finite() && *rate > 0.0));
    assert!(f64::from(largest(rates)) < 1.05 * seen);
    assert!(decoder.generate(far.view(), &screen.libraries, &screen.groups, 1).is_ok());
}

#[test]
fn bad_input_is_refused() {
    let (screen, decoder) = small();
    let (embedding, counts, libraries) = (&screen.embedding, &screen.counts, &screen.libraries);
    let mut broken = embedding.clone();
    broken[[4, 2]] = f32::NAN;
    let error = GeneDecoder::fit(broken.view(), counts, libraries, &params()).unwrap_err();
    assert!(matches!(error, Error::BadValues { n_bad: 1, .. }) && error.to_string().contains("cell 4, component 2"));
    assert!(matches!(decoder.rates(broken.view()), Err(Error::BadValues { .. })));
    let error = decoder.generate(embedding.view(), libraries, &[0; 3], 1).unwrap_err();
    assert!(matches!(error, Error::ShapeMismatch { .. }));
    let narrow = embedding.slice(ndarray::s![.., ..3]);
    assert!(matches!(decoder.generate(narrow, libraries, &screen.groups, 1), Err(Error::ShapeMismatch { .. })));
    assert!(matches!(
        GeneDecoder::fit(embedding.view(), counts, &libraries[1..], &params()),
        Err(Error::ShapeMismatch { .. })
    ));
    let mut empty = libraries.clone();
    empty[9] = 0.0;
    let error = decoder.generate(embedding.view(), &empty, &screen.groups, 1).unwrap_err();
    assert!(matches!(error, Error::BadValues { .. }) && error.to_string().contains("cell 9: 0"));
    let mut logged = counts.clone();
    logged.values_mut().iter_mut().for_each(|value| *value = value.ln_1p());
    let error = GeneDecoder::fit(embedding.view(), &logged, libraries, &params()).unwrap_err();
    assert!(matches!(error, Error::WrongScale { .. }));
    let few: Vec<usize> = (0..10).collect();
    let error = GeneDecoder::fit(
        embedding.select(Axis(0), &few).view(),
        &counts.select_rows(&few),
        &libraries[..10],
        &params(),
    );
    assert!(matches!(error, Err(Error::TooFew { needed: 18, got: 10, .. })));
    let params = GeneDecoderParams { target_sum: 0.0, ..params() };
    let error = GeneDecoder::fit(embedding.view(), counts, libraries, &params);
    assert!(matches!(error, Err(Error::InvalidParameter { .. })));
}

/// Norman et al. 2019: a panel of 500 genes at 3 % non-zero entries, where the components nearly tell the counts.
#[test]
fn a_real_held_out_pair_keeps_its_zeros_and_its_delta() {
    const HELD_OUT: &str = "MAPK1+TGFBR2";
    let Some(path) = crate::data::file("norman19_k562_combo.h5ad") else { return };
    let cells = scflow::io::h5ad::read(&path).unwrap();
    let labels = cells.obs.texts("obs", "perturbation").unwrap();
    let libraries = cells.obs.floats("obs", "total_counts").unwrap();
    let rows = |wanted: &dyn Fn(&str) -> bool| -> Vec<usize> {
        (0..labels.len()).filter(|&cell| wanted(&labels[cell])).collect()
    };
    let (training, held_out) = (rows(&|label| label != HELD_OUT), rows(&|label| label == HELD_OUT));
    let control = rows(&|label| label == "control");
    let expression = log_normalize(&cells.x, &libraries, TARGET_SUM).to_dense();
    let mean = |rows: &[usize]| expression.select(Axis(0), rows).mean_axis(Axis(0)).unwrap();
    let centre = mean(&training);
    let basis = principal_axes(&(expression.select(Axis(0), &training) - &centre), 50);
    let embedding = (&expression - &centre).dot(&basis);
    let of = |rows: &[usize]| rows.iter().map(|&cell| libraries[cell]).collect::<Vec<f64>>();
    let decoder = GeneDecoder::fit(
        embedding.select(Axis(0), &training).view(),
        &cells.x.select_rows(&training),
        &of(&training),
        &params(),
    )
    .unwrap();
    let generated_from = embedding.select(Axis(0), &held_out);
    let groups = vec![0; held_out.len()];
    let mut drawn = of(&held_out);
    drawn.rotate_left(37);
    let drawn = decoder.assign_library_sizes(generated_from.view(), &drawn, &groups).unwrap();
    let counts = decoder.generate(generated_from.view(), &drawn, &groups, 1).unwrap();
    let sparsity = counts.n_stored() as f64 / cells.x.select_rows(&held_out).n_stored() as f64;
    assert!((sparsity - 1.0).abs() < 0.1, "share of non-zero entries, generated / real: {sparsity}");
    let generated = log_normalize(&counts, &drawn, TARGET_SUM).to_dense().mean_axis(Axis(0)).unwrap();
    let control = mean(&control);
    let correlation = pearson(&(mean(&held_out) - &control), &(generated - &control));
    assert!(correlation > 0.95, "{correlation}");
}

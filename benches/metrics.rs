//! How long the distances between large clouds take, and how much memory: exact optimal transport of 5,000 × 5,000
//! cells, kernel and energy distance of 20,000 × 20,000.
//!
//! `cargo bench --bench metrics` prints one line of JSON for each. `-- transport 2000` or `-- kernel 5000` measures one
//! of them at another size; memory is the greatest that the process ever held, so measure one at a time for it.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::time::Instant;

use ndarray::Array2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use scflow::metrics::{energy::energy, mmd::mmd2_rbf, wasserstein::w2_exact};
use serde_json::json;

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const N_DIMS: usize = 50;

/// Cells in principal components: three groups, standard deviations that fall as 1/(1 + c/5), moved by `shift`.
fn cloud(n: usize, shift: f32, seed: u64) -> Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_fn((n, N_DIMS), |(cell, component)| {
        let draw: f32 = StandardNormal.sample(&mut rng);
        let group = if component % 3 == cell % 3 { 4.0 } else { 0.0 };
        let spread = 1.0 / (1.0 + component as f32 / 5.0);
        spread * (2.0 * draw + group + shift)
    })
}

/// The greatest memory that the process has held, in MiB; none where the system does not tell.
fn peak_mebibytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

fn measure(name: &str, n: usize, compute: impl FnOnce() -> f64) {
    let start = Instant::now();
    let value = compute();
    let seconds = start.elapsed().as_secs_f64();
    let line = json!({"name": name, "n_cells": n, "value": value, "seconds": seconds, "peak_mib": peak_mebibytes()});
    println!("{line}");
}

fn transport(n: usize) {
    for (name, shift) in [("w2_exact, one law", 0.0), ("w2_exact, moved", 1.0)] {
        let (first, second) = (cloud(n, 0.0, 1), cloud(n, shift, 2));
        measure(name, n, || w2_exact(first.view(), second.view()).unwrap());
    }
}

fn kernel(n: usize) {
    let (first, second) = (cloud(n, 0.0, 1), cloud(n, 1.0, 2));
    measure("edist_l2", n, || energy(first.view(), second.view()).unwrap());
    measure("mmd2_rbf", n, || mmd2_rbf(first.view(), second.view(), 0.01).unwrap());
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let size = words.iter().find_map(|word| word.parse().ok());
    let asked =
        |name: &str| words.iter().any(|word| word == name) || words.iter().all(|word| word.parse::<usize>().is_ok());
    if asked("transport") {
        transport(size.unwrap_or(5000));
    }
    if asked("kernel") {
        kernel(size.unwrap_or(20_000));
    }
}

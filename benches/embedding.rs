//! How long neighbours, fuzzy graph, Leiden and UMAP take, and how they grow with the number of cells.
//!
//! `cargo bench --bench embedding -- [--json] [--approximate] WHAT…`, where each WHAT is a number of simulated cells (30000,
//! 100000 and 400000 if none is given) or an .h5ad with `obsm["X_pca"]`. Simulated cells lie in 50 dimensions: twenty kinds,
//! each a curved sheet of four latent dimensions with noise around it. Files are compared with scanpy side by side by
//! timing `sc.pp.neighbors(a, n_neighbors=15, use_rep="X_pca")`, `sc.tl.leiden(a, flavor="igraph", n_iterations=2,
//! directed=False)` and `sc.tl.umap(a)` on the same file.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::time::Instant;

use ndarray::{Array1, Array2, ArrayView2, s};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use scflow::embedding::fuzzy::FuzzyGraph;
use scflow::embedding::leiden::{LeidenParams, leiden};
use scflow::embedding::neighbors::Neighbors;
use scflow::embedding::umap::{UmapParams, umap};
use scflow::io::h5ad;
use scflow::numbers::normal;
use serde_json::{Value, json};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const N_NEIGHBORS: usize = 15;
const N_DIMS: usize = 50;
const N_KINDS: usize = 20;
/// Latent dimensions of a kind, and waves that fold them into all others.
const N_LATENT: usize = 4;
const N_WAVES: usize = 30;

/// Cells whose dimensions have less and less spread, as principal components do: (n_cells, 50).
fn simulated(n_cells: usize) -> Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let scale = Array1::from_shape_fn(N_DIMS, |axis| 8.0 / (1.0 + axis as f32).sqrt());
    let middles = normal(N_KINDS, N_DIMS, &mut rng) * &scale;
    let folds: Vec<(Array2<f32>, Array2<f32>)> = (0..N_KINDS)
        .map(|_| (normal(N_LATENT, N_WAVES, &mut rng), normal(N_WAVES, N_DIMS, &mut rng) / (N_WAVES as f32).sqrt()))
        .collect();
    let mut cells = normal(n_cells, N_DIMS, &mut rng) * 0.35;
    let latents = normal(n_cells, N_LATENT, &mut rng);
    for (row, mut cell) in cells.outer_iter_mut().enumerate() {
        // Kinds of unequal size: the minimum of two draws.
        let kind = rng.random_range(0..N_KINDS).min(rng.random_range(0..N_KINDS));
        let (there, back) = &folds[kind];
        let waves = latents.slice(s![row, ..]).dot(there).mapv(f32::tanh);
        cell += &(&middles.row(kind) + &(waves.dot(back) * &scale * 0.7));
    }
    cells
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let result = work();
    (result, (1000.0 * start.elapsed().as_secs_f64()).round() / 1000.0)
}

/// The peak of resident memory of this process so far, in GiB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| (100.0 * kib / 1_048_576.0).round() / 100.0)
}

fn measure(name: &str, points: ArrayView2<f32>, always_approximate: bool) -> Value {
    let n = points.nrows();
    let ((neighbors, recall), of_neighbors) = timed(|| {
        if always_approximate {
            let (neighbors, recall) = Neighbors::approximate(points, N_NEIGHBORS, 0).unwrap();
            (neighbors, Some(recall))
        } else {
            Neighbors::find(points, N_NEIGHBORS, 0).unwrap()
        }
    });
    let (graph, of_fuzzy) = timed(|| FuzzyGraph::new(&neighbors));
    let ((labels, modularity), of_leiden) = timed(|| leiden(&graph, &LeidenParams::for_points(n)).unwrap());
    let (_, of_umap) = timed(|| umap(&graph, points, &UmapParams::for_points(n)).unwrap());
    json!({
        "what": name,
        "cells": n,
        "neighbors": of_neighbors,
        "fuzzy": of_fuzzy,
        "leiden": of_leiden,
        "umap": of_umap,
        "recall": recall,
        "clusters": labels.iter().max().map_or(0, |most| most + 1),
        "modularity": modularity,
        "peak_gib": peak(),
    })
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let mut what: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|argument| !argument.starts_with("--")).collect();
    if what.is_empty() {
        what = vec!["30000", "100000", "400000"];
    }
    for what in what {
        let points = match what.parse() {
            Ok(n_cells) => simulated(n_cells),
            Err(_) => h5ad::read(what.as_ref()).unwrap().obsm["X_pca"].clone(),
        };
        let found = measure(what, points.view(), has("--approximate"));
        if has("--json") {
            println!("{found}");
        } else {
            let seconds = |step: &str| found[step].as_f64().unwrap_or(f64::NAN);
            println!(
                "{what}: {} cells; seconds: neighbours {:.2}, fuzzy graph {:.2}, Leiden {:.2}, UMAP {:.2}; recall {}; {} clusters, \
                 modularity {:.4}; peak {} GiB",
                found["cells"],
                seconds("neighbors"),
                seconds("fuzzy"),
                seconds("leiden"),
                seconds("umap"),
                found["recall"].as_f64().map_or("1, exact".to_owned(), |recall| format!("{recall:.3}")),
                found["clusters"],
                seconds("modularity"),
                found["peak_gib"],
            );
        }
    }
}

//! How fast the engine trains and generates, and how near it comes to the machine's own matrix products.
//!
//! `cargo bench --bench engine -- --json` prints one line of JSON. The shapes are those of a CaLMFlow on 50 principal
//! components: 8 steps of flow time, width 64, 2 blocks, 4 heads, 4 Gaussians, minibatches of 128 cells under 32 prompts
//! whose words are summed.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::time::Instant;

use candle_core::{Device, Tensor};
use ndarray::Array2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use scflow::conditions::prompt::Phrasing;
use scflow::conditions::{Condition, Perturbation};
use scflow::language::transformer::TransformerParams;
use scflow::models::calmflow::{CalmFlowObjective, CalmFlowParams, DecoderKind};
use scflow::models::fitted_flow::FittedFlow;
use scflow::models::method::{Draws, Fitting};
use scflow::training::{State, TrainingParams, fit};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const N_DIMS: usize = 50;
const N_CONDITIONS: usize = 32;
const CELLS_EACH: usize = 60;

fn params(width: usize, n_layers: usize, n_cells: usize) -> CalmFlowParams {
    CalmFlowParams {
        n_members: 1,
        n_steps: 8,
        transformer: TransformerParams { width, n_layers, n_heads: 4 },
        n_cells,
        n_prompts: N_CONDITIONS,
        ..CalmFlowParams::of(DecoderKind::Mixture)
    }
}

/// Noise cells of a control and 31 single perturbations.
fn objective(params: CalmFlowParams) -> CalmFlowObjective {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let label = |number: usize| if number == 0 { "control".to_owned() } else { format!("gene{number}") };
    let conditions: Vec<Condition> = (0..N_CONDITIONS * CELLS_EACH)
        .map(|cell| Condition::new(Perturbation::parse(&label(cell / CELLS_EACH), "control").unwrap(), BTreeMap::new()))
        .collect();
    let points = Array2::from_shape_simple_fn((conditions.len(), N_DIMS), || StandardNormal.sample(&mut rng));
    let phrasing = Phrasing::new(&["a cell with {perturbation}".into()], &[], Default::default()).unwrap();
    CalmFlowObjective::new(points.view(), &conditions, phrasing.into(), params, None, 0, &Device::Cpu).unwrap()
}

/// Seconds of the fastest of several rounds of `n_steps` training steps, per step.
fn seconds_per_step(objective: &CalmFlowObjective, n_steps: usize) -> f64 {
    let mut state = State::new(objective.slots());
    let mut best = f64::INFINITY;
    for round in 0..5 {
        let n_steps = (round + 1) * n_steps;
        let training =
            TrainingParams { n_steps, learning_rate: 1e-3, weight_decay: 0.1, clip: 1.0, accumulate: 1, seed: 0 };
        let (start, done) = (Instant::now(), state.step);
        fit(objective, &mut state, &training, &mut |_, _| Ok(())).unwrap();
        best = best.min(start.elapsed().as_secs_f64() / (n_steps - done) as f64);
    }
    best
}

/// The machine's rate of square matrix products of size 1024, in operations per second.
fn matmul_rate() -> f64 {
    let n = 1024;
    let a = Tensor::ones((n, n), candle_core::DType::F32, &Device::Cpu).unwrap();
    let mut best = f64::INFINITY;
    for _ in 0..8 {
        let start = Instant::now();
        a.matmul(&a).unwrap();
        best = best.min(start.elapsed().as_secs_f64());
    }
    2.0 * (n as f64).powi(3) / best
}

/// Operations of the matrix products of one training step: forward, and two of the same size backward.
fn operations(params: &CalmFlowParams) -> f64 {
    let width = params.transformer.width as f64;
    let n_tokens = (params.n_cells * params.n_steps) as f64;
    let block = 12.0 * width * width;
    let output = width * (params.n_mixture * (2 * N_DIMS + 1)) as f64;
    3.0 * 2.0 * n_tokens * (params.transformer.n_layers as f64 * block + N_DIMS as f64 * width + output)
}

fn main() {
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    // SAFETY: no other thread has been started yet. The tensor library reads these at every call.
    unsafe {
        std::env::set_var("RAYON_NUM_THREADS", n_threads.to_string());
        std::env::set_var("CANDLE_NUM_THREADS", "1");
    }
    let small = params(64, 2, 128);
    let fitted = objective(small);
    let train = small.n_cells as f64 / seconds_per_step(&fitted, 20);

    let model = fitted.to_model().unwrap();
    let n_generated = 2048;
    // The network's own cells: an anchor would have it make as many again, to see where it puts them.
    let free = Draws { anchor: Some(0.0), ..Draws::default() };
    let condition = Condition::new(Perturbation::parse("gene1 + gene2", "control").unwrap(), BTreeMap::new());
    let mut best = f64::INFINITY;
    for seed in 0..5 {
        let start = Instant::now();
        model.generate(&condition, n_generated, free, seed).unwrap();
        best = best.min(start.elapsed().as_secs_f64());
    }
    let generate = n_generated as f64 / best;

    let wide = params(256, 2, 128);
    let rate = operations(&wide) / seconds_per_step(&objective(wide), 4);
    let machine = matmul_rate();
    if std::env::args().any(|argument| argument == "--json") {
        println!(
            "{}",
            serde_json::json!({
                "threads": n_threads,
                "train_cells_per_second": train.round(),
                "generate_cells_per_second": generate.round(),
                "matmul_fraction": (1000.0 * rate / machine).round() / 1000.0,
                "matmul_gflops": (machine / 1e8).round() / 10.0,
            })
        );
    } else {
        println!("{n_threads} threads");
        println!("training    {train:9.0} cells per second");
        println!("generation  {generate:9.0} cells per second");
        println!(
            "width 256   {:9.1} % of {:.1} GFLOP/s of plain matrix products",
            100.0 * rate / machine,
            machine / 1e9
        );
    }
}

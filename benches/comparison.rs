//! How well every method and every formulation tells conditions that were held out, at equal CPU seconds.
//!
//! `cargo bench --bench comparison -- --budget 15 --seeds 3 NAME=PREPARED.h5ad … > rows.csv` fits each setting to the training
//! cells of each screen on one thread, generates the held-out conditions, and prints one row per condition;
//! `--settings methods|formulations` chooses the settings, `--only "a;b"` some of them by name, `--first-seed 3` goes on
//! where three seeds ended, `--part 1/2` does half of the fits, and
//! `cargo bench --bench comparison -- --summarise rows.csv` prints the means over conditions with the spread over seeds.
//! `benches/comparison.sh` does all of it. Everything is measured in principal components.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Device;
use ndarray::{Array1, Array2, ArrayView2, Axis};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use scflow::cells::SparseMatrix;
use scflow::conditions::Condition;
use scflow::conditions::prompt::Phrasing;
use scflow::embedding::pca::Pca;
use scflow::flow::Coupling;
use scflow::io::h5ad;
use scflow::metrics::{energy::energy, mmd::gamma_median, mmd::mmd2_rbf, spread::std_ratio};
use scflow::models::calmflow::{DecoderKind, PromptUse};
use scflow::models::coordinates::Coordinates;
use scflow::models::guide::{Centre, Guide};
use scflow::models::method::{Asked, Begun, Draws};
use scflow::models::registry::{Given, Method};
use scflow::models::source::Source;
use scflow::models::training_data::{TrainingCounts, TrainingData};
use scflow::prepared::Prepared;
use scflow::stages::fit::FitParams;
use scflow::training::{State, fit};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Cells that are generated for a condition.
const N_GENERATED: usize = 1000;
/// Steps whose CPU time is measured, after a few that are not.
const N_MEASURED: usize = 30;
const N_COLD: usize = 3;
const HEADER: &str = "screen,setting,seed,steps,seconds,condition,edist_l2,mmd2_rbf_median,std_ratio,pearson_delta";

/// A setting: its name, the choices of the fit, and the ways in which cells are drawn, each with a name of its own.
struct Setting {
    name: &'static str,
    params: FitParams,
    draws: Vec<(&'static str, Draws)>,
}

fn setting(name: &'static str, change: impl FnOnce(&mut FitParams)) -> Setting {
    let mut params = FitParams::default();
    change(&mut params);
    Setting { name, params, draws: vec![(name, Draws::default())] }
}

impl Setting {
    /// The same fit, with cells drawn in one more way.
    fn also(mut self, name: &'static str, draws: Draws) -> Self {
        self.draws.push((name, draws));
        self
    }
}

/// The methods with equal information, and flow matching with what only CaLMFlow does of its own accord.
fn methods() -> Vec<Setting> {
    let of = |name, method| setting(name, |params| params.method = method);
    let anchored = Draws { anchor: Some(0.5), ..Draws::default() };
    vec![
        of("calmflow", Method::Calmflow),
        of("cfm", Method::Cfm).also("cfm anchored", anchored),
        of("cfm-ot", Method::CfmOt).also("cfm-ot anchored", anchored),
        of("cfm-sb", Method::CfmSb).also("cfm-sb anchored", anchored),
        setting("cfm whitened", |params| {
            params.method = Method::Cfm;
            params.coordinates = Some(Coordinates::Whitened);
        }),
        setting("calmflow variational", |params| params.decoder = Some(DecoderKind::Variational)),
    ]
}

/// CaLMFlow with one choice changed.
fn formulations() -> Vec<Setting> {
    let anchored = |anchor| Draws { anchor: Some(anchor), ..Draws::default() };
    let mut guided = setting("guidance 1.5", |params| params.condition_dropout = 0.1);
    guided.draws[0].1.guidance = 1.5;
    vec![
        setting("default", |_| ())
            .also("anchor 0", anchored(0.0))
            .also("anchor 1", anchored(1.0))
            .also("temperature 0.8", Draws { temperature: 0.8, ..Draws::default() }),
        setting("coordinates scaled", |params| params.coordinates = Some(Coordinates::Scaled)),
        setting("variational decoder", |params| params.decoder = Some(DecoderKind::Variational)),
        setting("centre none", |params| params.centre = Centre::None),
        setting("centre additive", |params| params.centre = Centre::Additive),
        setting("straight path", |params| params.sigma = Some(0.0)),
        setting("coupling exact", |params| params.coupling = Some(Coupling::Exact)),
        setting("coupling entropic", |params| params.coupling = Some(Coupling::Entropic)),
        setting("source control", |params| params.source = Source::Control),
        setting("members 1", |params| params.members = Some(1)),
        setting("time steps 4", |params| params.time_steps = Some(4)),
        setting("time steps 8", |params| params.time_steps = Some(8)),
        setting("spatial tokens 2", |params| params.spatial_tokens = Some(2)),
        setting("trajectories 4", |params| params.trajectories = Some(4)),
        setting("mixture components 1", |params| params.mixture_components = Some(1)),
        setting("mixture components 8", |params| params.mixture_components = Some(8)),
        setting("prompt prefix", |params| params.prompt_use = Some(PromptUse::Prefix)),
        setting("prompt both", |params| params.prompt_use = Some(PromptUse::Both)),
        setting("average .99", |params| params.average = 0.99),
        setting("no inputs", |params| params.inputs = false),
        setting("evidence tokens", |params| {
            params.evidence = true;
            params.prompt_use = Some(PromptUse::Both);
        }),
        setting("window 1", |params| params.window = Some(1)),
        setting("history noise .05", |params| params.history_noise = Some(0.05)),
        setting("width 128", |params| params.width = Some(128)),
        guided,
    ]
}

/// A prepared screen as the comparison needs it.
struct Screen {
    name: String,
    embedding: Array2<f32>,
    conditions: Vec<Condition>,
    held_out: Vec<(Condition, Array2<f32>)>,
    pca: Pca,
    target_sum: f64,
    counts: SparseMatrix,
    genes: Vec<String>,
    library_sizes: Vec<f64>,
    covariates: Vec<String>,
}

impl TrainingCounts for Screen {
    fn library_sizes(&self) -> &[f64] {
        &self.library_sizes
    }

    fn rows(&self, cells: &[usize]) -> scflow::Result<SparseMatrix> {
        Ok(self.counts.select_rows(cells))
    }
}

impl Screen {
    fn read(argument: &str) -> Self {
        let (name, path) = argument.split_once('=').expect("screens are given as NAME=PREPARED.h5ad");
        let prepared = Prepared::new(h5ad::read(Path::new(path)).unwrap()).unwrap();
        let rows = prepared.training_rows();
        let training = prepared.rows_by_condition(true);
        let held_out = prepared.rows_by_condition(false).into_iter().filter(|(held, _)| !training.contains_key(held));
        let cells =
            |(condition, rows): (Condition, Vec<usize>)| (condition, prepared.embedding().select(Axis(0), &rows));
        Self {
            name: name.into(),
            held_out: held_out.map(cells).collect(),
            embedding: prepared.embedding().select(Axis(0), &rows),
            conditions: rows.iter().map(|&row| prepared.conditions[row].clone()).collect(),
            pca: prepared.pca().unwrap(),
            target_sum: prepared.settings.target_sum,
            counts: prepared.cells.layers["counts"].select_rows(&rows),
            genes: prepared.cells.var.index.clone(),
            library_sizes: rows.iter().map(|&row| prepared.library_sizes().unwrap()[row]).collect(),
            covariates: prepared.settings.covariates.clone(),
        }
    }

    fn controls(&self, condition: &Condition) -> Array2<f32> {
        let fits = |other: &Condition| other.perturbation.is_control() && other.covariates == condition.covariates;
        let rows: Vec<usize> = (0..self.conditions.len()).filter(|&row| fits(&self.conditions[row])).collect();
        self.embedding.select(Axis(0), &rows)
    }

    /// Prints how near cells are to the real ones of a condition.
    fn print(&self, of: &str, condition: &Condition, real: ArrayView2<f32>, generated: ArrayView2<f32>) {
        let control = self.controls(condition).mean_axis(Axis(0)).unwrap();
        let mean = |cells: ArrayView2<f32>| self.pca.loadings.dot(&(cells.mean_axis(Axis(0)).unwrap() - &control));
        println!(
            "{},{of},{},{:.5},{:.5},{:.4},{:.4}",
            self.name,
            condition.to_string().replace(',', ";"),
            energy(real, generated).unwrap(),
            mmd2_rbf(real, generated, gamma_median(real).unwrap()).unwrap(),
            std_ratio(real, generated).unwrap(),
            correlation(&mean(real), &mean(generated)),
        );
    }

    /// Control cells moved by closed forms, and the two halves of the real cells.
    fn references(&self) {
        let additive = Guide::fit(
            self.embedding.view(),
            &self.conditions,
            Centre::Additive,
            Coordinates::Scaled,
            &Default::default(),
            None,
            0,
        )
        .unwrap();
        let interaction = Guide::fit(
            self.embedding.view(),
            &self.conditions,
            Centre::Interaction,
            Coordinates::Scaled,
            &Default::default(),
            None,
            0,
        )
        .unwrap();
        for (condition, real) in &self.held_out {
            let controls = self.controls(condition);
            let own = controls.mean_axis(Axis(0)).unwrap();
            self.print("control,0,0,0", condition, real.view(), controls.view());
            for (name, guide) in [("additive-shift", &additive), ("interaction-shift", &interaction)] {
                let moved = &controls + &(&guide.view(condition).unwrap().centre - &own);
                self.print(&format!("{name},0,0,0"), condition, real.view(), moved.view());
            }
            let mut rows: Vec<usize> = (0..real.nrows()).collect();
            rows.shuffle(&mut ChaCha8Rng::seed_from_u64(0));
            let (first, second) = rows.split_at(rows.len() / 2);
            let (first, second) = (real.select(Axis(0), first), real.select(Axis(0), second));
            self.print("split-half,0,0,0", condition, first.view(), second.view());
        }
    }

    fn run(&self, setting: &Setting, seed: u64, budget: f64) {
        let phrasing = Phrasing::new(&[], &self.covariates, Default::default()).unwrap();
        let params = FitParams { seed, ..setting.params.clone() };
        let choices = params.choices().unwrap();
        let data = TrainingData {
            embedding: self.embedding.view(),
            conditions: &self.conditions,
            counts: self,
            genes: &self.genes,
            pca: &self.pca,
            target_sum: self.target_sum,
        };
        let Begun::Training(fitting) =
            choices.begin(&data, phrasing.into(), Given::Nothing, seed, &Device::Cpu).unwrap()
        else {
            panic!("a closed form is not trained; it stands among the references")
        };
        let mut training = params.training();
        let mut state = State::with_average(fitting.slots(), params.average).unwrap();
        let start =
            state.to_tensors().unwrap().into_iter().map(|(name, tensor)| (name, tensor.copy().unwrap())).collect();
        let mut from = 0.0;
        training.n_steps = N_COLD + N_MEASURED;
        fit(&*fitting, &mut state, &training, &mut |progress, _| {
            from = if progress.step == N_COLD { cpu_seconds() } else { from };
            Ok(())
        })
        .unwrap();
        training.n_steps = (budget * N_MEASURED as f64 / (cpu_seconds() - from)) as usize;
        state.restore(&start).unwrap();
        let (started, n_steps) = (cpu_seconds(), training.n_steps);
        fit(&*fitting, &mut state, &training, &mut |_, _| Ok(())).unwrap();
        state.exchange_average().unwrap();
        let seconds = cpu_seconds() - started;
        let model = fitting.model().unwrap();
        for (condition, real) in &self.held_out {
            for (name, draws) in &setting.draws {
                let sizes = vec![self.target_sum; N_GENERATED];
                let (n_cells, draws) = (N_GENERATED, *draws);
                let asked = Asked { condition, n_cells, library_sizes: &sizes, draws, seed };
                let generated = model.make(&asked).unwrap().into_components(&self.pca, self.target_sum).unwrap();
                let of = format!("{name},{seed},{n_steps},{seconds:.1}");
                self.print(&of, condition, real.view(), generated.view());
            }
        }
    }
}

fn correlation(a: &Array1<f32>, b: &Array1<f32>) -> f64 {
    let centred = |x: &Array1<f32>| x.mapv(f64::from) - x.mapv(f64::from).mean().unwrap();
    let (a, b) = (centred(a), centred(b));
    a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt()
}

/// Seconds of computing of this process; Linux counts them in hundredths.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// Means over conditions, with the standard deviation over seeds, as a table in Markdown.
fn summarise(path: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    let mut rows = BTreeMap::<(String, String), BTreeMap<String, Vec<[f64; 5]>>>::new();
    let mut order = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with("screen,")) {
        let fields: Vec<&str> = line.split(',').collect();
        let number = |place: usize| fields[place].parse::<f64>().unwrap();
        let key = (fields[0].to_owned(), fields[1].to_owned());
        if !order.contains(&key) {
            order.push(key.clone());
        }
        let values = [number(6), number(7), number(8), number(9), number(3)];
        rows.entry(key).or_default().entry(fields[2].to_owned()).or_default().push(values);
    }
    println!(
        "| screen | setting | edist_l2 (seeds) | mmd2_rbf_median | std_ratio | pearson_delta | steps |\n|---|---|---|---|---|---|---|"
    );
    order.sort_by(|a, b| a.0.cmp(&b.0));
    for key in &order {
        let of_seed = |rows: &Vec<[f64; 5]>| {
            [0, 1, 2, 3, 4].map(|k| rows.iter().map(|row| row[k]).sum::<f64>() / rows.len() as f64)
        };
        let seeds: Vec<[f64; 5]> = rows[key].values().map(of_seed).collect();
        let mean = [0, 1, 2, 3, 4].map(|k| seeds.iter().map(|seed| seed[k]).sum::<f64>() / seeds.len() as f64);
        let each: Vec<String> = seeds.iter().map(|seed| format!("{:.4}", seed[0])).collect();
        let (screen, setting) = key;
        println!(
            "| {screen} | {setting} | {:.4} ({}) | {:.4} | {:.3} | {:.3} | {:.0} |",
            mean[0],
            each.join(" "),
            mean[1],
            mean[2],
            mean[3],
            mean[4]
        );
    }
}

fn main() {
    // SAFETY: no other thread has been started yet. The libraries read these when they first compute.
    unsafe {
        std::env::set_var("RAYON_NUM_THREADS", "1");
        std::env::set_var("CANDLE_NUM_THREADS", "1");
    }
    let (mut first_seed, mut n_seeds) = (0, 3);
    let (mut budget, mut part, mut settings, mut only) = (15.0, (0, 1), methods(), String::new());
    let mut screens = Vec::new();
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().expect("a value");
        match argument.as_str() {
            "--summarise" => return summarise(&value()),
            "--budget" => budget = value().parse().unwrap(),
            "--seeds" => n_seeds = value().parse().unwrap(),
            "--first-seed" => first_seed = value().parse().unwrap(),
            "--only" => only = value(),
            "--settings" if value() == "formulations" => settings = formulations(),
            "--settings" => (),
            "--part" => {
                let text = value();
                let (number, of) = text.split_once('/').expect("a part such as 1/2");
                part = (number.parse::<usize>().unwrap() - 1, of.parse().unwrap());
            }
            _ => screens.push(Screen::read(&argument)),
        }
    }
    if part.0 == 0 {
        println!("{HEADER}");
    }
    let mut number = 0;
    for seed in first_seed..first_seed + n_seeds {
        for screen in &screens {
            if seed == first_seed && part.0 == 0 {
                screen.references();
            }
            for setting in
                settings.iter().filter(|setting| only.is_empty() || only.split(';').any(|one| one == setting.name))
            {
                number += 1;
                if number % part.1 == part.0 {
                    screen.run(setting, seed, budget);
                }
            }
        }
    }
}

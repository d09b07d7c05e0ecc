//! What the tests of every method share: a small screen, and what any method must do with it.

use candle_core::{Device, Tensor};
use ndarray::{Array2, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::fitted_flow::FittedFlow;
use super::method::{Begun, Draws, FittedMethod, Fitting};
use super::registry::{Choices, Given};
use super::training_data::{TrainingCounts, TrainingData};
use crate::cells::SparseMatrix;
use crate::conditions::Condition;
use crate::conditions::prompt::Phrasing;
use crate::embedding::pca::Pca;
use crate::language::gradients::Gradients;
use crate::language::kernels::values;
use crate::training::{State, TrainingParams, fit};

pub(super) fn condition(text: &str) -> Condition {
    Condition::parse(text, "control").unwrap()
}

/// Forty cells of each of four conditions, in two groups, so that the law is no Gaussian; their second dimension is the
/// number of perturbations.
pub(super) fn cells() -> (Array2<f32>, Vec<Condition>) {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let labels = ["control", "A", "B", "A+B"];
    let conditions: Vec<Condition> = labels.iter().flat_map(|label| vec![condition(label); 40]).collect();
    let points = Array2::from_shape_fn((conditions.len(), 3), |(row, column)| {
        let noise: f32 = StandardNormal.sample(&mut rng);
        let side = if row % 2 == 0 { 2.0 } else { -2.0 };
        let effect = conditions[row].perturbation.components().len() as f32;
        [side + 0.3 * noise, effect + 0.5 * noise, noise][column]
    });
    (points, conditions)
}

pub(super) fn phrasing() -> Phrasing {
    Phrasing::new(&["a cell with {perturbation}".into()], &[], Default::default()).unwrap()
}

pub(super) fn training(n_steps: usize) -> TrainingParams {
    TrainingParams { n_steps, learning_rate: 2e-3, weight_decay: 0.01, clip: 1.0, accumulate: 1, seed: 3 }
}

/// Counts of cells that have none.
struct NoCounts;

impl TrainingCounts for NoCounts {
    fn library_sizes(&self) -> &[f64] {
        &[]
    }

    fn rows(&self, _: &[usize]) -> crate::Result<SparseMatrix> {
        panic!("these cells have no counts")
    }
}

/// Fits a closed form to cells as principal components.
pub(super) fn begin(choices: Choices, cells: &Array2<f32>, conditions: &[Condition]) -> Box<dyn FittedMethod> {
    let pca = Pca { mean: vec![], loadings: Array2::zeros((0, 0)), variance: vec![], variance_ratio: vec![] };
    let embedding = cells.view();
    let data = TrainingData { embedding, conditions, counts: &NoCounts, genes: &[], pca: &pca, target_sum: 1e4 };
    match choices.begin(&data, phrasing().into(), Given::Nothing, 0, &Device::Cpu).unwrap() {
        Begun::Fitted(method) => method,
        Begun::Training(_) => panic!("a closed form is not trained"),
    }
}

/// Trains, and returns where the training stands.
pub(super) fn train(objective: &dyn Fitting, n_steps: usize) -> State {
    let mut state = State::new(objective.slots());
    fit(objective, &mut state, &training(n_steps), &mut |_, _| Ok(())).unwrap();
    state
}

/// Compares the gradient of every trainable tensor with finite differences along it.
pub(super) fn check_gradients(objective: &dyn Fitting) {
    // Away from the start, where some tensors are zero and their neighbours have no gradient yet.
    let state = train(objective, 5);
    let loss = || objective.loss(&mut ChaCha8Rng::seed_from_u64(7)).unwrap();
    let grads = Gradients::of(&loss()).unwrap();
    for slot in &state.slots {
        let tensor = slot.variable.as_tensor();
        let grad = grads.get(tensor).unwrap_or_else(|| panic!("{} has no gradient", slot.name));
        let norm = grad.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        assert!(norm > 0.0, "{} has a zero gradient", slot.name);
        // The directional derivative along the gradient itself is the norm of the gradient.
        let start = values(tensor).unwrap();
        let size = start.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt().max(1.0);
        let moved = |by: f64| {
            let moved: Vec<f32> = start.iter().zip(grad).map(|(v, g)| v + (by * f64::from(*g) / norm) as f32).collect();
            slot.variable.set(&Tensor::from_vec(moved, tensor.shape(), &Device::Cpu).unwrap()).unwrap();
            f64::from(loss().to_scalar::<f32>().unwrap())
        };
        // Central differences of two widths, extrapolated to width zero (Richardson 1911).
        let step = 5e-3 * size;
        let difference = |step: f64| (moved(step) - moved(-step)) / (2.0 * step);
        let slope = (4.0 * difference(0.5 * step) - difference(step)) / 3.0;
        slot.variable.set(&Tensor::from_vec(start, tensor.shape(), &Device::Cpu).unwrap()).unwrap();
        // Single precision leaves about 1e-6 of the loss as noise on each side.
        let noise = 6e-6 * f64::from(loss().to_scalar::<f32>().unwrap()).abs().max(1.0) / step;
        assert!((slope - norm).abs() < 0.03 * norm + noise, "{}: {slope} {norm}", slot.name);
    }
}

/// Compares a training in one go with one that goes on from a saved state, bit by bit.
pub(super) fn check_going_on<F: Fitting>(objective: impl Fn() -> F) {
    let state = train(&objective(), 12);
    let first = objective();
    let mut half = State::new(first.slots());
    let mut saved = None;
    fit(&first, &mut half, &training(12), &mut |progress, state| {
        if progress.step == 5 {
            saved = Some(state.to_tensors()?.into_iter().map(|(k, t)| (k, t.copy().unwrap())).collect());
        }
        Ok(())
    })
    .unwrap();
    let second = objective();
    let mut rest = State::new(second.slots());
    rest.restore(&saved.unwrap()).unwrap();
    assert_eq!(rest.step, 5);
    fit(&second, &mut rest, &training(12), &mut |_, _| Ok(())).unwrap();
    for (a, b) in state.slots.iter().zip(&rest.slots) {
        assert_eq!(values(&a.variable).unwrap(), values(&b.variable).unwrap(), "{}", a.name);
    }
    assert_eq!(state.losses, rest.losses);
}

/// The pair has cells in both groups and none between, with the right mean and spread; a seed gives the same cells.
pub(super) fn check_two_modes(model: &dyn FittedFlow, draws: Draws) {
    let name = model.name();
    let generate = || model.generate(&condition("B+A"), 600, draws, 11).unwrap();
    let points = generate();
    assert_eq!(points, generate());
    let first = points.column(0);
    let near = |centre: f32| first.iter().filter(|value| (*value - centre).abs() < 1.0).count();
    let said = format!("{name}: {} {} {}", near(2.0), near(0.0), near(-2.0));
    assert!(near(2.0) > 200 && near(-2.0) > 200 && near(0.0) < 60, "{said}");
    let mean = points.mean_axis(Axis(0)).unwrap();
    assert!((mean[1] - 2.0).abs() < 0.15, "{name} {mean}");
    assert!((points.std_axis(Axis(0), 0.0)[1] - 0.5).abs() < 0.12, "{name}");
}

/// More guidance makes the pair differ more from the control, if the model was fitted with hidden conditions.
pub(super) fn check_guidance(model: &dyn FittedFlow, guidances: &[f32]) {
    let generate = |text: &str, guidance: f32| {
        model.generate(&condition(text), 40, Draws { guidance, ..Draws::default() }, 1).unwrap()
    };
    assert_eq!(generate("A+B", 1.0), model.generate(&condition("A+B"), 40, Draws::default(), 1).unwrap());
    let mean = |text: &str, guidance: f32| generate(text, guidance).mean_axis(Axis(0)).unwrap()[1];
    let effects: Vec<f32> =
        guidances.iter().map(|&guidance| mean("A+B", guidance) - mean("control", guidance)).collect();
    assert!(effects.is_sorted_by(|one, next| one < next), "{}: {effects:?}", model.name());
}

/// An anchor moves all cells of a condition alike, from the mean and spread that the model gives to the estimates.
pub(super) fn check_anchor(model: &dyn FittedFlow) {
    let (guide, pair, name) = (&model.reader().guide, condition("A+B"), model.name());
    let generate = |n_cells: usize, anchor: f32| {
        let draws = Draws { anchor: Some(anchor), ..Draws::default() };
        model.generate(&pair, n_cells, draws, 4).unwrap()
    };
    let mean = |cells: &Array2<f32>| cells.mean_axis(Axis(0)).unwrap();
    let spread = |cells: &Array2<f32>| cells.var_axis(Axis(0), 1.0).sum().sqrt();
    let [own, half, drawn] = [0.0, 0.5, 1.0].map(|anchor| generate(3000, anchor));
    let (estimate, expected) = (guide.view(&pair).unwrap().centre, guide.expected_spread(&pair).unwrap());
    // The first dimension has a deviation of two: the mean of 3000 cells, and that of those which were measured, vary.
    let gap = mean(&drawn) - &estimate;
    assert!(gap.iter().all(|gap| gap.abs() < 0.2), "{name}: {gap}");
    assert!((spread(&drawn) / expected - 1.0).abs() < 0.04, "{name}: {} {expected}", spread(&drawn));
    let gap = mean(&half) - (mean(&own) + mean(&drawn)) / 2.0;
    assert!(gap.iter().all(|gap| gap.abs() < 0.05), "{name}: {gap}");
    let middle = (spread(&own) * spread(&drawn)).sqrt();
    assert!((spread(&half) / middle - 1.0).abs() < 1e-3, "{name}: {} {middle}", spread(&half));
    assert!((spread(&own) / expected - 1.0).abs() > 1e-3 || mean(&own) != mean(&drawn), "{name} was not drawn at all");
}

/// Without an estimate there is nothing to draw towards.
pub(super) fn check_refused_anchor(model: &dyn FittedFlow) {
    let anchored = Draws { anchor: Some(0.5), ..Draws::default() };
    let error = model.generate(&condition("A"), 5, anchored, 0).unwrap_err().to_string();
    assert!(error.contains("anchor") && error.contains("--centre"), "{error}");
}

/// A model that never saw a hidden condition refuses guidance.
pub(super) fn check_refused_guidance(model: &dyn FittedFlow) {
    let guided = Draws { guidance: 2.0, ..Draws::default() };
    let error = model.generate(&condition("A"), 5, guided, 0).unwrap_err().to_string();
    assert!(error.contains("--condition-dropout"), "{error}");
}

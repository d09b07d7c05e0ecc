//! The network as a whole: gradients, the cache, fitting, determinism.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use ndarray::{Array2, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::*;
use crate::conditions::prompt::Template;
use crate::conditions::{Condition, Perturbation};
use crate::language::gradients::Gradients;
use crate::language::kernels::values;
use crate::language::transformer::TransformerParams;
use crate::models::method::{Draws, FittedMethod, Fitting};
use crate::training::{Objective, State, TrainingParams, fit};

fn condition(text: &str) -> Condition {
    Condition::new(Perturbation::parse(text, "control").unwrap(), BTreeMap::new())
}

/// Cells of two groups per condition, so that the law is no Gaussian.
fn cells(n_each: usize, labels: &[&str]) -> (Array2<f32>, Vec<Condition>) {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let conditions: Vec<Condition> = labels.iter().flat_map(|label| vec![condition(label); n_each]).collect();
    let points = Array2::from_shape_fn((conditions.len(), 3), |(row, column)| {
        let noise: f32 = StandardNormal.sample(&mut rng);
        let side = if row % 2 == 0 { 2.0 } else { -2.0 };
        let effect = conditions[row].perturbation.components().len() as f32;
        [side + 0.3 * noise, effect + 0.5 * noise, noise][column]
    });
    (points, conditions)
}

fn params(decoder: DecoderKind, prompt_use: PromptUse) -> CalmFlowParams {
    CalmFlowParams {
        prompt_use,
        transformer: TransformerParams { width: 16, n_layers: 2, n_heads: 2 },
        n_steps: 3,
        n_spatial: 2,
        n_trajectories: 2,
        n_mixture: 2,
        n_cells: 32,
        n_prompts: 4,
        ..CalmFlowParams::of(decoder)
    }
}

fn objective(params: CalmFlowParams) -> CalmFlowObjective {
    let (points, conditions) = cells(40, &["control", "A", "B", "A+B"]);
    let template = Template::parse("a cell with {perturbation}", &[]).unwrap();
    CalmFlowObjective::new(points.view(), &conditions, template, params, 3).unwrap()
}

fn training(n_steps: usize) -> TrainingParams {
    TrainingParams { n_steps, learning_rate: 2e-3, weight_decay: 0.01, clip: 1.0, seed: 3 }
}

#[test]
fn every_trainable_tensor_has_the_gradient_of_finite_differences() {
    let everything = CalmFlowParams {
        evidence: true,
        window: Some(2),
        history_noise: 0.1,
        condition_dropout: 0.3,
        ..params(DecoderKind::Mixture, PromptUse::Both)
    };
    for params in [
        params(DecoderKind::Mixture, PromptUse::Both),
        params(DecoderKind::Mixture, PromptUse::Sum),
        params(DecoderKind::Variational, PromptUse::Prefix),
        everything,
    ] {
        let objective = objective(params);
        let mut state = State::new(objective.slots());
        // Away from the start, where some tensors are zero and their neighbours have no gradient yet.
        fit(&objective, &mut state, &training(5), &mut |_, _| Ok(())).unwrap();
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
                let moved: Vec<f32> =
                    start.iter().zip(grad).map(|(v, g)| v + (by * f64::from(*g) / norm) as f32).collect();
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
}

#[test]
fn the_cache_gives_what_whole_sequences_give() {
    for (prompt_use, evidence, window) in
        [(PromptUse::Sum, false, None), (PromptUse::Both, false, Some(2)), (PromptUse::Both, true, Some(1))]
    {
        let params = CalmFlowParams { evidence, window, ..params(DecoderKind::Mixture, prompt_use) };
        let objective = objective(params);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let minibatch = objective.draw_minibatch(&mut rng).unwrap();
        let (prompts, trajectories) = objective.pack(&minibatch, &mut rng).unwrap();
        let network = objective.network();
        let conditioning = network.read_prompts(&prompts).unwrap();
        let whole = network.hidden(&trajectories.present().unwrap(), &prompts, &conditioning).unwrap();
        let whole = whole.reshape((trajectories.n_sequences, 3, 2 * 32)).unwrap();
        let mut cache = network.cache(&prompts, &conditioning).unwrap();
        for step in 0..3 {
            let now: Vec<f32> = (0..trajectories.n_sequences * 2)
                .flat_map(|i| trajectories.state(i / 2, step, i % 2).to_vec())
                .collect();
            let now = Tensor::from_vec(now, (trajectories.n_sequences * 2, 3), &Device::Cpu).unwrap();
            let hidden = network.extend(&now, step, &mut cache, &conditioning).unwrap();
            let expected = values(&whole.narrow(1, step, 1).unwrap().contiguous().unwrap()).unwrap();
            let worst = values(&hidden).unwrap().iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-4, "step {step}: {worst}");
        }
    }
}

#[test]
fn a_fit_goes_on_from_a_saved_state_to_the_same_bytes() {
    let params = params(DecoderKind::Mixture, PromptUse::Both);
    let whole = objective(params);
    let mut state = State::new(whole.slots());
    fit(&whole, &mut state, &training(12), &mut |_, _| Ok(())).unwrap();
    let first = objective(params);
    let mut half = State::new(first.slots());
    let mut saved = None;
    fit(&first, &mut half, &training(12), &mut |progress, state| {
        if progress.step == 5 {
            saved = Some(state.to_tensors()?.into_iter().map(|(k, t)| (k, t.copy().unwrap())).collect());
        }
        Ok(())
    })
    .unwrap();
    let second = objective(params);
    let mut rest = State::new(second.slots());
    rest.restore(&saved.unwrap()).unwrap();
    assert_eq!(rest.step, 5);
    fit(&second, &mut rest, &training(12), &mut |_, _| Ok(())).unwrap();
    for (a, b) in state.slots.iter().zip(&rest.slots) {
        assert_eq!(values(&a.variable).unwrap(), values(&b.variable).unwrap(), "{}", a.name);
    }
    assert_eq!(state.losses, rest.losses);
}

#[test]
fn the_mixture_learns_a_law_with_two_modes_and_a_seed_gives_the_same_cells() {
    let params = CalmFlowParams {
        // Four conditions are too few for the estimate with interactions.
        centre: crate::models::guide::Centre::Additive,
        n_spatial: 1,
        n_trajectories: 1,
        n_mixture: 4,
        n_cells: 64,
        ..params(DecoderKind::Mixture, PromptUse::Sum)
    };
    let objective = objective(params);
    let mut state = State::new(objective.slots());
    fit(&objective, &mut state, &training(1500), &mut |_, _| Ok(())).unwrap();
    let model = objective.to_model().unwrap();
    let generate = || model.generate(&condition("B+A"), 600, Draws::default(), 11).unwrap();
    let points = generate();
    assert_eq!(points, generate());
    let first = points.column(0);
    let near = |centre: f32| first.iter().filter(|value| (*value - centre).abs() < 1.0).count();
    assert!(near(2.0) > 200 && near(-2.0) > 200 && near(0.0) < 60, "{} {} {}", near(2.0), near(0.0), near(-2.0));
    let mean = points.mean_axis(Axis(0)).unwrap();
    assert!((mean[1] - 2.0).abs() < 0.15, "{mean}");
    assert!((points.std_axis(Axis(0), 0.0)[1] - 0.5).abs() < 0.12);
}

#[test]
fn the_variational_decoder_overfits_a_single_minibatch() {
    struct OneMinibatch(CalmFlowObjective);
    impl Objective for OneMinibatch {
        fn loss(&self, _: &mut ChaCha8Rng) -> crate::Result<Tensor> {
            self.0.loss(&mut ChaCha8Rng::seed_from_u64(1))
        }
    }
    let params = CalmFlowParams { beta: 0.0, ..params(DecoderKind::Variational, PromptUse::Prefix) };
    let objective = OneMinibatch(objective(params));
    let mut state = State::new(objective.0.slots());
    fit(&objective, &mut state, &training(600), &mut |_, _| Ok(())).unwrap();
    let (first, last) = (state.losses[0], state.losses[599]);
    assert!(last < first / 20.0, "{first} {last}");
}

#[test]
fn unknown_components_are_refused_with_near_names() {
    let model = objective(params(DecoderKind::Mixture, PromptUse::Sum)).to_model().unwrap();
    let error = model.generate(&condition("A+C"), 5, Draws::default(), 0).unwrap_err().to_string();
    assert!(error.contains("`C` is unknown"), "{error}");
}

#[test]
fn guidance_goes_from_the_law_of_all_conditions_through_that_of_one() {
    for decoder in [DecoderKind::Mixture, DecoderKind::Variational] {
        let params = CalmFlowParams {
            centre: crate::models::guide::Centre::None,
            condition_dropout: 0.3,
            ..params(decoder, PromptUse::Both)
        };
        let objective = objective(params);
        let mut state = State::new(objective.slots());
        fit(&objective, &mut state, &training(100), &mut |_, _| Ok(())).unwrap();
        let model = objective.to_model().unwrap();
        let generate = |text: &str, guidance: f32| {
            model.generate(&condition(text), 40, Draws { guidance, ..Draws::default() }, 1).unwrap()
        };
        // Where cells are measured from one point, nothing but the condition tells these apart.
        if decoder == DecoderKind::Variational {
            assert_eq!(generate("A+B", 0.0), generate("control", 0.0));
        }
        assert_eq!(generate("A+B", 1.0), model.generate(&condition("A+B"), 40, Draws::default(), 1).unwrap());
        let effect = |guidance: f32| {
            let mean = |text: &str| generate(text, guidance).mean_axis(Axis(0)).unwrap()[1];
            mean("A+B") - mean("control")
        };
        let [none, one, two] = [0.0, 1.0, 2.0].map(effect);
        assert!(none < one && one < two, "{decoder:?}: {none} {one} {two}");
    }
    let model = objective(params(DecoderKind::Mixture, PromptUse::Sum)).to_model().unwrap();
    let guided = Draws { guidance: 2.0, ..Draws::default() };
    let error = model.generate(&condition("A"), 5, guided, 0).unwrap_err().to_string();
    assert!(error.contains("--condition-dropout"), "{error}");
}

//! Gradients, definitions, fitting, determinism.

use candle_core::{Device, Tensor};
use ndarray::{Array2, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::*;
use crate::conditions::Condition;
use crate::conditions::prompt::Template;
use crate::flow::{Solver, Spread};
use crate::language::gradients::Gradients;
use crate::language::kernels::values;
use crate::models::guide::Centre;
use crate::models::method::{Draws, FittedMethod, Fitting};
use crate::models::registry;
use crate::models::source::Source;
use crate::training::{Objective, State, TrainingParams, fit};

const VARIANTS: [Variant; 3] = [Variant::Cfm, Variant::CfmOt, Variant::CfmSb];

fn condition(text: &str) -> Condition {
    Condition::parse(text, "control").unwrap()
}

/// Cells of two groups per condition, so that the law is no Gaussian.
fn cells(n_each: usize) -> (Array2<f32>, Vec<Condition>) {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let labels = ["control", "A", "B", "A+B"];
    let conditions: Vec<Condition> = labels.iter().flat_map(|label| vec![condition(label); n_each]).collect();
    let points = Array2::from_shape_fn((conditions.len(), 3), |(row, column)| {
        let noise: f32 = StandardNormal.sample(&mut rng);
        let side = if row % 2 == 0 { 2.0 } else { -2.0 };
        let effect = conditions[row].perturbation.components().len() as f32;
        [side + 0.3 * noise, effect + 0.5 * noise, noise][column]
    });
    (points, conditions)
}

fn params(variant: Variant) -> CfmParams {
    CfmParams { width: 16, n_layers: 2, n_cells: 32, n_prompts: 4, ..CfmParams::of(variant) }
}

fn objective(params: CfmParams) -> CfmObjective {
    let (points, conditions) = cells(40);
    let template = Template::parse("a cell with {perturbation}", &[]).unwrap();
    CfmObjective::new(points.view(), &conditions, template, params, 3).unwrap()
}

fn training(n_steps: usize) -> TrainingParams {
    TrainingParams { n_steps, learning_rate: 2e-3, weight_decay: 0.01, clip: 1.0, seed: 3 }
}

fn fitted(params: CfmParams, n_steps: usize) -> (CfmObjective, State) {
    let objective = objective(params);
    let mut state = State::new(objective.slots());
    fit(&objective, &mut state, &training(n_steps), &mut |_, _| Ok(())).unwrap();
    (objective, state)
}

#[test]
fn every_trainable_tensor_has_the_gradient_of_finite_differences() {
    for (variant, centre, source) in [
        (Variant::Cfm, Centre::Additive, Source::Noise),
        (Variant::CfmOt, Centre::Interaction, Source::Control),
        (Variant::CfmSb, Centre::None, Source::Noise),
    ] {
        // Away from the start, where some tensors are zero.
        let (objective, state) = fitted(CfmParams { centre, source, ..params(variant) }, 5);
        let loss = || objective.loss(&mut ChaCha8Rng::seed_from_u64(7)).unwrap();
        let grads = Gradients::of(&loss()).unwrap();
        for slot in &state.slots {
            let tensor = slot.variable.as_tensor();
            let grad = grads.get(tensor).unwrap_or_else(|| panic!("{} has no gradient", slot.name));
            let norm = grad.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            assert!(norm > 0.0, "{} has a zero gradient", slot.name);
            let start = values(tensor).unwrap();
            let size = start.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt().max(1.0);
            let step = 5e-3 * size;
            let moved = |sign: f64| {
                let moved: Vec<f32> =
                    start.iter().zip(grad).map(|(v, g)| v + (sign * step * f64::from(*g) / norm) as f32).collect();
                slot.variable.set(&Tensor::from_vec(moved, tensor.shape(), &Device::Cpu).unwrap()).unwrap();
                f64::from(loss().to_scalar::<f32>().unwrap())
            };
            // The directional derivative along the gradient itself is the norm of the gradient.
            let slope = (moved(1.0) - moved(-1.0)) / (2.0 * step);
            slot.variable.set(&Tensor::from_vec(start, tensor.shape(), &Device::Cpu).unwrap()).unwrap();
            let noise = 2e-6 * f64::from(loss().to_scalar::<f32>().unwrap()).abs().max(1.0) / step;
            assert!((slope - norm).abs() < 0.03 * norm + noise, "{variant:?} {}: {slope} {norm}", slot.name);
        }
    }
}

#[test]
fn a_variant_decides_coupling_and_path() {
    let [cfm, ot, sb] = VARIANTS.map(CfmParams::of);
    assert_eq!((cfm.spread(), ot.spread()), (Spread::Constant { sigma: 0.0 }, Spread::Constant { sigma: 0.0 }));
    assert_eq!(sb.spread(), Spread::Bridge { sigma: 0.5 });
    assert!(cfm.n_prompts > ot.n_prompts && ot.n_cells / ot.n_prompts == 32);
    assert!(CfmParams { sigma: 0.0, ..sb }.check().unwrap_err().to_string().contains("cfm-ot"));
}

#[test]
fn a_law_with_two_modes_is_learned_and_a_seed_gives_the_same_cells() {
    for variant in VARIANTS {
        let n_prompts = if variant == Variant::Cfm { 4 } else { 2 };
        let (objective, _) = fitted(CfmParams { width: 48, n_cells: 128, n_prompts, ..params(variant) }, 1500);
        let model = objective.to_model().unwrap();
        let generate = || model.generate(&condition("B+A"), 600, Draws::default(), 11).unwrap();
        let points = generate();
        assert_eq!(points, generate());
        let first = points.column(0);
        let near = |centre: f32| first.iter().filter(|value| (*value - centre).abs() < 1.0).count();
        let said = format!("{variant:?}: {} {} {}", near(2.0), near(0.0), near(-2.0));
        assert!(near(2.0) > 200 && near(-2.0) > 200 && near(0.0) < 60, "{said}");
        let mean = points.mean_axis(Axis(0)).unwrap();
        assert!((mean[1] - 2.0).abs() < 0.15, "{variant:?} {mean}");
        assert!((points.std_axis(Axis(0), 0.0)[1] - 0.5).abs() < 0.12, "{variant:?}");
    }
}

#[test]
fn a_fit_goes_on_from_a_saved_state_to_the_same_bytes() {
    let params = params(Variant::CfmSb);
    let (_, state) = fitted(params, 12);
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
    fit(&second, &mut rest, &training(12), &mut |_, _| Ok(())).unwrap();
    for (a, b) in state.slots.iter().zip(&rest.slots) {
        assert_eq!(values(&a.variable).unwrap(), values(&b.variable).unwrap(), "{}", a.name);
    }
    assert_eq!(state.losses, rest.losses);
}

#[test]
fn a_model_put_together_again_gives_the_same_cells() {
    for source in [Source::Noise, Source::Control] {
        let (objective, _) = fitted(CfmParams { source, ..params(Variant::CfmOt) }, 5);
        let model: Box<dyn FittedMethod> = objective.model().unwrap();
        let (name, params) = (model.name(), model.params().unwrap());
        let again = registry::restore(name, params.clone(), model.reader().clone(), model.tensors().clone()).unwrap();
        let generate = |model: &dyn FittedMethod| model.generate(&condition("A"), 70, Draws::default(), 1).unwrap();
        assert_eq!(generate(&*model), generate(&*again));
        assert_eq!(again.name(), "cfm-ot");
        if source == Source::Control {
            let mut reader = model.reader().clone();
            reader.controls = None;
            let error = registry::restore(name, params.clone(), reader, model.tensors().clone()).err().unwrap();
            assert!(error.to_string().contains("control_cells"), "{error}");
        }
        let broken = registry::restore("cfm2", params, model.reader().clone(), model.tensors().clone()).err().unwrap();
        assert!(broken.to_string().contains("`cfm2`"), "{broken}");
    }
}

#[test]
fn solvers_agree_and_temperature_scales_the_noise_of_the_source() {
    let model = fitted(params(Variant::Cfm), 300).0.to_model().unwrap();
    let generate = |draws: Draws| model.generate(&condition("A"), 200, draws, 1).unwrap();
    let exact = generate(Draws { solver: Some(Solver::Dopri5 { tolerance: 1e-5 }), ..Draws::default() });
    for (solver, tolerated) in [
        (Solver::Dopri5 { tolerance: 1e-3 }, 2e-2),
        (Solver::Heun { n_steps: 60 }, 1e-2),
        (Solver::Euler { n_steps: 500 }, 5e-2),
    ] {
        let gap = (generate(Draws { solver: Some(solver), ..Draws::default() }) - &exact).mapv(|gap| gap * gap);
        let gap = gap.mean().unwrap().sqrt();
        assert!(gap < tolerated, "{solver:?}: {gap}");
    }
    let cold = generate(Draws { temperature: 0.0, ..Draws::default() });
    assert!(cold.std_axis(Axis(0), 0.0).iter().all(|spread| *spread < 1e-4));
}

#[test]
fn flows_from_control_cells_start_at_control_cells() {
    let (objective, _) = fitted(CfmParams { source: Source::Control, ..params(Variant::CfmOt) }, 800);
    let model = objective.to_model().unwrap();
    let points = model.generate(&condition("A+B"), 300, Draws::default(), 2).unwrap();
    let mean = points.mean_axis(Axis(0)).unwrap();
    assert!((mean[1] - 2.0).abs() < 0.3, "{mean}");
    // Forty control cells, each taken once before any is taken again, and nothing else is random.
    let mut rows: Vec<Vec<u32>> = points
        .rows()
        .into_iter()
        .map(|row| row.iter().map(|value| (value * 100.0).round() as i32 as u32).collect())
        .collect();
    rows.sort();
    rows.dedup();
    assert!(rows.len() <= 60, "{}", rows.len());
    let warm = Draws { temperature: 0.5, ..Draws::default() };
    let error = model.generate(&condition("A"), 3, warm, 0).unwrap_err().to_string();
    assert!(error.contains("--source control"), "{error}");
}

#[test]
fn guidance_goes_from_the_law_of_all_conditions_through_that_of_one() {
    let params = CfmParams { centre: Centre::None, condition_dropout: 0.3, ..params(Variant::Cfm) };
    let model = fitted(params, 200).0.to_model().unwrap();
    let generate = |text: &str, guidance: f32| {
        model.generate(&condition(text), 40, Draws { guidance, ..Draws::default() }, 1).unwrap()
    };
    // Where cells are measured from one point, nothing but the condition tells these apart.
    assert_eq!(generate("A+B", 0.0), generate("control", 0.0));
    let effect = |guidance: f32| {
        let mean = |text: &str| generate(text, guidance).mean_axis(Axis(0)).unwrap()[1];
        mean("A+B") - mean("control")
    };
    let [one, two] = [1.0, 2.0].map(effect);
    assert!(0.0 < one && one < two, "{one} {two}");
    let plain = fitted(self::params(Variant::Cfm), 3).0.to_model().unwrap();
    let guided = Draws { guidance: 2.0, ..Draws::default() };
    let error = plain.generate(&condition("A"), 5, guided, 0).unwrap_err().to_string();
    assert!(error.contains("--condition-dropout"), "{error}");
}

//! Gradients, definitions, fitting, determinism.

use candle_core::Device;
use ndarray::Axis;

use super::*;
use crate::flow::{Solver, Spread};
use crate::models::fitted_flow::FittedFlow;
use crate::models::guide::Centre;
use crate::models::method::{Asked, Draws, FittedMethod, Made};
use crate::models::registry;
use crate::models::source::Source;
use crate::models::trial::{self, condition};

const VARIANTS: [Variant; 3] = [Variant::Cfm, Variant::CfmOt, Variant::CfmSb];

fn params(variant: Variant) -> CfmParams {
    CfmParams { width: 16, n_layers: 2, n_cells: 32, n_prompts: 4, ..CfmParams::of(variant) }
}

fn objective(params: CfmParams) -> CfmObjective {
    let (points, conditions) = trial::cells();
    CfmObjective::new(points.view(), &conditions, trial::phrasing().into(), params, 3, &Device::Cpu).unwrap()
}

fn fitted(params: CfmParams, n_steps: usize) -> CfmObjective {
    let objective = objective(params);
    trial::train(&objective, n_steps);
    objective
}

#[test]
fn every_trainable_tensor_has_the_gradient_of_finite_differences() {
    for (variant, centre, source) in [
        (Variant::Cfm, Centre::Additive, Source::Noise),
        (Variant::CfmOt, Centre::Interaction, Source::Control),
        (Variant::CfmSb, Centre::None, Source::Noise),
    ] {
        let score = variant == Variant::CfmSb;
        trial::check_gradients(&objective(CfmParams { centre, source, n_members: 2, score, ..params(variant) }));
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
        let score = variant == Variant::CfmSb;
        let objective = fitted(CfmParams { width: 48, n_cells: 128, n_prompts, score, ..params(variant) }, 1500);
        let model = objective.to_model().unwrap();
        trial::check_two_modes(&model, Draws::default());
        let stochastic = Draws { solver: Some(Solver::EulerMaruyama { n_steps: 100 }), ..Draws::default() };
        if score {
            trial::check_two_modes(&model, stochastic);
        } else {
            let error = FittedFlow::generate(&model, &condition("A"), 3, stochastic, 0).unwrap_err().to_string();
            assert!(error.contains("--score"), "{error}");
        }
    }
}

#[test]
fn a_fit_goes_on_from_a_saved_state_to_the_same_bytes() {
    trial::check_going_on(|| objective(CfmParams { n_members: 2, ..params(Variant::CfmSb) }));
}

#[test]
fn a_model_put_together_again_gives_the_same_cells() {
    for source in [Source::Noise, Source::Control] {
        let objective = fitted(CfmParams { source, n_members: 3, ..params(Variant::CfmOt) }, 5);
        let model = objective.to_model().unwrap();
        let (name, params) = (FittedFlow::name(&model), FittedFlow::params(&model).unwrap());
        let restore = |name: &str| registry::restore(name, params.clone(), model.record().unwrap(), &Device::Cpu);
        let again = restore(name).unwrap();
        let condition = condition("A");
        let asked = Asked { condition: &condition, n_cells: 70, library_sizes: &[], draws: Draws::default(), seed: 1 };
        let made = |model: &dyn FittedMethod| match model.make(&asked).unwrap() {
            Made::Components(cells) => cells,
            Made::Counts { .. } => panic!("a flow makes components"),
        };
        assert_eq!(made(&model), made(&*again));
        assert_eq!(again.name(), "cfm-ot");
        if source == Source::Control {
            let mut reader = model.reader().clone();
            reader.controls = None;
            let own = CfmParams { source, n_members: 3, ..self::params(Variant::CfmOt) };
            let error = Cfm::new(reader, own, model.tensors().clone()).err().unwrap();
            assert!(error.to_string().contains("control_cells"), "{error}");
        }
        let broken = restore("cfm2").err().unwrap();
        assert!(broken.to_string().contains("`cfm2`"), "{broken}");
    }
}

#[test]
fn solvers_agree_and_temperature_scales_the_noise_of_the_source() {
    let model = fitted(params(Variant::Cfm), 300).to_model().unwrap();
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
    let objective = fitted(CfmParams { source: Source::Control, ..params(Variant::CfmOt) }, 800);
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
fn an_anchor_draws_the_mean_towards_the_estimate() {
    trial::check_anchor(&fitted(params(Variant::Cfm), 40).to_model().unwrap());
}

#[test]
fn guidance_goes_from_the_law_of_all_conditions_through_that_of_one() {
    let params = CfmParams { centre: Centre::None, condition_dropout: 0.3, ..params(Variant::Cfm) };
    let model = fitted(params, 200).to_model().unwrap();
    let unguided = Draws { guidance: 0.0, ..Draws::default() };
    let generate = |text: &str| model.generate(&condition(text), 40, unguided, 1).unwrap();
    // Where cells are measured from one point, nothing but the condition tells these apart.
    assert_eq!(generate("A+B"), generate("control"));
    trial::check_guidance(&model, &[0.0, 1.0, 2.0]);
    trial::check_refused_anchor(&model);
    trial::check_refused_guidance(&fitted(self::params(Variant::Cfm), 3).to_model().unwrap());
}

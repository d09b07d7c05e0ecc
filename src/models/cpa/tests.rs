//! Gradients, the rule of composition, adversaries, fitting, determinism.

use candle_core::{Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::network::Network;
use super::*;
use crate::language::kernels::values;
use crate::language::parameters::Parameters;
use crate::models::counts::{CountData, CountLikelihood, trial};
use crate::models::guide::Centre;
use crate::models::method::{Draws, FittedMethod, Fitting};
use crate::models::registry;
use crate::models::trial::{check_going_on, check_gradients, condition, train};
use crate::training::Objective;

const SMALL: CpaParams = CpaParams {
    likelihood: CountLikelihood::Nb,
    centre: Centre::None,
    n_latent: 4,
    width: 12,
    n_layers: 1,
    adversary_width: 6,
    adversary: 1.0,
    penalty: 3.0,
    n_cells: 256,
};

fn objective(params: CpaParams) -> CpaObjective {
    trial::with_data(|data| CpaObjective::new(data, params, 3, &Device::Cpu).unwrap())
}

/// A weight of −1 reverses nothing, so that the slope is that of the value; the choice itself is refused to users.
#[test]
fn every_trainable_tensor_has_the_gradient_of_finite_differences() {
    for likelihood in [CountLikelihood::Nb, CountLikelihood::Zinb] {
        let params = CpaParams { likelihood, centre: Centre::Additive, penalty: 0.0, ..SMALL };
        // The penalty is checked where adversaries are: its value jumps where an encoder's step turns a unit on or off.
        let mut unreversed = objective(params);
        unreversed.params.adversary = -1.0;
        check_gradients(&unreversed);
    }
}

/// latent = basal + Σ e_component + Σ e_covariate, in the network and in what is added to a control cell's basal state.
#[test]
fn a_latent_is_the_basal_state_plus_the_embeddings_of_the_condition() {
    let model = objective(SMALL).to_model().unwrap();
    let shift = |text: &str| model.shift(&condition(text)).unwrap();
    let (pair, a, b, none) = (shift("B+A | t=y"), shift("A | t=y"), shift("B | t=y"), shift("control | t=y"));
    for d in 0..4 {
        assert!((pair[d] - (a[d] + b[d] - none[d])).abs() < 1e-6);
        assert!(pair[d] != a[d]);
    }
    trial::with_data(|data| {
        let data = CountData::read(data, Centre::None, 0).unwrap();
        let network =
            Network::new(&mut Parameters::draw(1, 0, &Device::Cpu), &SMALL, &data.shape, Some(&data.start)).unwrap();
        let batch = data.cells.batch(vec![0, 130, 200]);
        let basal = network.encode(&batch.log_counts(&Device::Cpu).unwrap()).unwrap();
        let latents = network.compose(&basal, &batch.told(&Device::Cpu).unwrap()).unwrap();
        let embeddings = network.embeddings.to_vec2::<f32>().unwrap();
        let codes = batch.codes(&Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(codes[1].iter().sum::<f32>(), 2.0);
        let (basal, latents) = (basal.to_vec2::<f32>().unwrap(), latents.to_vec2::<f32>().unwrap());
        for cell in 0..3 {
            for d in 0..4 {
                let sum: f32 = codes[cell].iter().zip(&embeddings).map(|(code, embedding)| code * embedding[d]).sum();
                assert!((latents[cell][d] - basal[cell][d] - sum).abs() < 1e-6);
            }
        }
    });
}

/// The adversaries' loss, on basal states and on none of their own: what an encoder that minds them hides.
#[test]
fn an_encoder_that_minds_the_adversaries_hides_the_perturbation_from_them() {
    let known = |adversary: f64| {
        let objective = objective(CpaParams { adversary, penalty: 0.0, ..SMALL });
        train(&objective, 800);
        let batch = objective.data.cells.draw(480, &mut ChaCha8Rng::seed_from_u64(1));
        let basal = objective.network.encode(&batch.log_counts(&Device::Cpu).unwrap()).unwrap();
        let codes = batch.codes(&Device::Cpu).unwrap();
        objective.adversaries.loss(&basal, &codes, 0.0, 0.0).unwrap().unwrap().to_scalar::<f32>().unwrap()
    };
    let (open, hidden) = (known(0.0), known(3.0));
    assert!(hidden > 1.3 * open, "{open} {hidden}");
}

#[test]
fn cells_of_conditions_that_were_and_were_not_measured_have_their_laws() {
    // What basal states know of the perturbation a change of embeddings does not undo: the published weight hides it.
    let objective = objective(CpaParams { width: 32, adversary: 5.0, ..SMALL });
    train(&objective, 800);
    trial::check_cells(&objective.to_model().unwrap());
}

#[test]
fn a_fit_goes_on_from_a_saved_state_to_the_same_bytes() {
    check_going_on(|| objective(SMALL));
}

#[test]
fn a_model_put_together_again_gives_the_same_cells() {
    let model = objective(SMALL).model().unwrap();
    let again = registry::restore("cpa", model.params().unwrap(), model.record().unwrap(), &Device::Cpu).unwrap();
    let make = |model: &dyn FittedMethod| trial::counts(model, "A+B", 70, 5, Draws::default()).unwrap();
    assert_eq!(make(&*model), make(&*again));
}

#[test]
fn draws_that_it_does_not_have_are_refused() {
    let model = objective(SMALL).to_model().unwrap();
    trial::check_refusals(&model);
    let cold = Draws { temperature: 0.5, ..Draws::default() };
    let error = trial::counts(&model, "A", 5, 0, cold).unwrap_err().to_string();
    assert!(error.contains("temperature") && error.contains("`cpa`"), "{error}");
    assert!(CpaParams { adversary: -1.0, ..SMALL }.check().unwrap_err().is_mistake());
}

/// What the adversaries add is zero at no weight only if there are none.
#[test]
fn the_loss_has_the_adversaries_part() {
    let objective = objective(SMALL);
    let loss = objective.loss(&mut ChaCha8Rng::seed_from_u64(0)).unwrap().to_scalar::<f32>().unwrap();
    let batch = objective.data.cells.batch((0..256).collect());
    let basal = objective.network.encode(&batch.log_counts(&Device::Cpu).unwrap()).unwrap();
    let codes: Tensor = batch.codes(&Device::Cpu).unwrap();
    let part = objective.adversaries.loss(&basal, &codes, 1.0, 3.0).unwrap().unwrap();
    assert!(loss > values(&part).unwrap()[0]);
}

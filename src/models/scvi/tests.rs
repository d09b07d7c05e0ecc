//! Gradients, scvi-tools' numbers, fitting, determinism.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::network::Network;
use super::*;
use crate::cells::SparseMatrix;
use crate::conditions::Condition;
use crate::language::kernels::values;
use crate::language::parameters::Parameters;
use crate::models::counts::{Codes, CountCells, CountLikelihood, Depth, Shape, Told, negative_log_likelihood, trial};
use crate::models::guide::Centre;
use crate::models::method::{Asked, Draws, FittedMethod, Fitting};
use crate::models::registry;
use crate::models::source::Source;
use crate::models::trial::{check_going_on, check_gradients, condition, train};
use crate::training::Objective;

const SMALL: ScviParams = ScviParams {
    likelihood: CountLikelihood::Nb,
    centre: Centre::None,
    source: Source::Control,
    n_latent: 3,
    width: 12,
    n_layers: 2,
    dropout: 0.1,
    warm_up: 0.3,
    n_cells: 96,
};

fn objective(params: ScviParams) -> ScviObjective {
    trial::with_data(|data| ScviObjective::new(data, params, 3, &Device::Cpu).unwrap())
}

#[test]
fn every_trainable_tensor_has_the_gradient_of_finite_differences() {
    for (likelihood, centre) in [(CountLikelihood::Nb, Centre::Additive), (CountLikelihood::Zinb, Centre::None)] {
        check_gradients(&objective(ScviParams { likelihood, centre, ..SMALL }));
    }
}

#[test]
fn the_weight_of_the_divergence_rises_with_the_steps() {
    assert_eq!([0.0, 0.15, 0.3, 0.9].map(|done| SMALL.divergence_weight(done)), [0.0, 0.5, 1.0, 1.0]);
    let objective = objective(SMALL);
    let loss = |done: f64| -> f32 {
        let parts = objective.parts_at(done, &mut ChaCha8Rng::seed_from_u64(2)).unwrap();
        parts.into_iter().map(|part| part().unwrap().to_scalar::<f32>().unwrap()).sum()
    };
    assert!(loss(0.0) < loss(0.15) && loss(0.15) < loss(0.3));
    assert!((loss(0.3) + loss(0.0) - 2.0 * loss(0.15)).abs() < 1e-5);
    assert_eq!(loss(0.3), loss(1.0));
}

fn floats(value: &Value) -> Vec<f32> {
    match value {
        Value::Array(values) => values.iter().flat_map(floats).collect(),
        value => vec![value.as_f64().unwrap() as f32],
    }
}

/// The parts of the loss for weights, counts and noise that scvi-tools was given too.
#[test]
fn likelihood_and_divergence_are_those_of_scvi_tools_for_the_same_weights() {
    let golden: Value = serde_json::from_str(include_str!("../../../tests/golden/scvi.json")).unwrap();
    let golden = &golden["vae"];
    let rows: Vec<Vec<f32>> = golden["counts"].as_array().unwrap().iter().map(floats).collect();
    let (n_cells, n_genes) = (rows.len(), rows[0].len());
    let sparse = |row: &Vec<f32>| row.iter().enumerate().map(|(gene, count)| (gene as u32, *count)).collect();
    let counts = Arc::new(SparseMatrix::from_rows(n_genes, rows.iter().map(sparse)));
    let sizes = counts.row_sums();
    // One covariate with a value for each code.
    let of = |code: usize| Condition::parse(&format!("control | batch=b{code}"), "control").unwrap();
    let codes = Codes::fit(&(0..golden["n_codes"].as_u64().unwrap() as usize).map(of).collect::<Vec<_>>());
    let conditions: Vec<Condition> = floats(&golden["codes"]).into_iter().map(|code| of(code as usize)).collect();
    let told = Told { codes, guide: None };
    let cells = CountCells::new(counts, &sizes, &conditions, &told).unwrap();
    let shape = Shape { n_genes, depth: Depth { factor: 1.0, has_rest: false }, told };
    let noise = Tensor::from_vec(floats(&golden["noise"]), (n_cells, 2), &Device::Cpu).unwrap();
    for (name, likelihood) in [("nb", CountLikelihood::Nb), ("zinb", CountLikelihood::Zinb)] {
        let golden = &golden["losses"][name];
        let mut tensors = HashMap::new();
        let vector = |values: Vec<f32>| Tensor::from_vec(values.clone(), values.len(), &Device::Cpu).unwrap();
        for (layer, numbers) in golden["layers"].as_object().unwrap() {
            let shape: Vec<usize> = floats(&numbers["shape"]).into_iter().map(|n| n as usize).collect();
            let weight = Tensor::from_vec(floats(&numbers["weight"]), shape, &Device::Cpu).unwrap();
            tensors.insert(format!("{layer}.weight"), weight);
            tensors.insert(format!("{layer}.bias"), vector(floats(&numbers["bias"])));
        }
        for layer in ["encoder.0", "encoder.1", "decoder.0", "decoder.1"] {
            tensors.insert(format!("{layer}.norm.gain"), vector(vec![1.0; 5]));
            tensors.insert(format!("{layer}.norm.bias"), vector(vec![0.0; 5]));
        }
        tensors.insert("log_inverse_dispersion".into(), vector(floats(&golden["log_inverse_dispersion"])));
        let params = ScviParams { likelihood, n_latent: 2, width: 5, n_layers: 2, ..SMALL };
        let network = Network::new(&mut Parameters::take(tensors, &Device::Cpu), &params, &shape, None).unwrap();
        for cell in 0..n_cells {
            let batch = cells.batch(vec![cell]);
            let told = batch.told(&Device::Cpu).unwrap();
            let latents = network.encode(&batch.log_counts(&Device::Cpu).unwrap(), &told, None).unwrap();
            let outputs = network.decode(&latents.at(&noise.narrow(0, cell, 1).unwrap()).unwrap(), &told).unwrap();
            let loss = negative_log_likelihood(&outputs, &batch, 1.0).unwrap().to_scalar::<f32>().unwrap();
            let close = |got: f32, expected: f32, what: &str| {
                assert!((got - expected).abs() < 1e-4 * expected.abs().max(1.0), "{name} {what}: {got} {expected}");
            };
            close(loss * n_genes as f32, floats(&golden["reconstruction"])[cell], "reconstruction");
            close(
                latents.divergence().unwrap().to_scalar().unwrap(),
                floats(&golden["divergence"])[cell],
                "divergence",
            );
            for (what, tensor) in [("mean", &latents.mean), ("variance", &latents.variance)] {
                let expected = &floats(&golden[what])[2 * cell..2 * cell + 2];
                values(tensor).unwrap().iter().zip(expected).for_each(|(got, expected)| close(*got, *expected, what));
            }
        }
    }
}

#[test]
fn cells_of_conditions_that_were_and_were_not_measured_have_their_laws() {
    for (source, centre) in
        [(Source::Control, Centre::None), (Source::Noise, Centre::None), (Source::Noise, Centre::Interaction)]
    {
        let params = ScviParams { source, centre, width: 32, n_layers: 1, dropout: 0.0, ..SMALL };
        let objective = objective(params);
        train(&objective, 600);
        trial::check_cells(&objective.to_model().unwrap());
    }
}

#[test]
fn a_fit_goes_on_from_a_saved_state_to_the_same_bytes() {
    check_going_on(|| objective(SMALL));
}

#[test]
fn a_model_put_together_again_gives_the_same_cells_and_needs_what_it_decodes() {
    let model = objective(ScviParams { likelihood: CountLikelihood::Zinb, centre: Centre::Interaction, ..SMALL })
        .model()
        .unwrap();
    let restore = |record| registry::restore("scvi", model.params().unwrap(), record, &Device::Cpu);
    let again = restore(model.record().unwrap()).unwrap();
    let make = |model: &dyn FittedMethod| trial::counts(model, "A+B", 70, 5, Draws::default()).unwrap();
    assert_eq!(make(&*model), make(&*again));
    let mut record = model.record().unwrap();
    record.take_tensors("control_cells.safetensors", &Device::Cpu).unwrap();
    let error = restore(record).err().unwrap().to_string();
    assert!(error.contains("control_cells"), "{error}");
}

#[test]
fn draws_that_only_flows_have_are_refused_and_so_are_unknown_conditions() {
    let model = objective(SMALL).to_model().unwrap();
    trial::check_refusals(&model);
    let cold = Draws { temperature: 0.0, ..Draws::default() };
    assert_ne!(
        trial::counts(&model, "A", 20, 1, cold).unwrap(),
        trial::counts(&model, "A", 20, 1, Draws::default()).unwrap()
    );
    let unknown = condition("D");
    let asked = Asked { condition: &unknown, n_cells: 1, library_sizes: &[50.0], draws: cold, seed: 0 };
    assert!(model.make(&asked).unwrap_err().is_mistake());
}

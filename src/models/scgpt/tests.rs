//! Gradients, what is learned, order, determinism.

use candle_core::Device;
use ndarray::{Array1, Array2, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::network::{Network, Tokens};
use super::pairs::{PairedCells, flags};
use super::panel::Panel;
use super::*;
use crate::Result;
use crate::cells::SparseMatrix;
use crate::conditions::Condition;
use crate::flow::Solver;
use crate::language::encoder::EncoderParams;
use crate::language::kernels::values;
use crate::language::parameters::Parameters;
use crate::models::counts::{Codes, Told, trial};
use crate::models::guide::Centre;
use crate::models::method::{Asked, Draws, FittedMethod, Fitting, Made, Makes};
use crate::models::registry;
use crate::models::trial::{check_going_on, check_gradients, condition, train};
use crate::training::Objective;

const SMALL: ScgptParams = ScgptParams {
    centre: Centre::None,
    encoder: EncoderParams { width: 16, n_layers: 2, n_heads: 2, n_hidden: 64 },
    batch_norm: false,
    allow_unknown_genes: false,
    n_genes: 6,
    n_cells: 32,
};

fn objective(params: ScgptParams) -> ScgptObjective {
    trial::with_data(|data| ScgptObjective::new(data, params, None, 3, &Device::Cpu).unwrap())
}

fn make(model: &dyn FittedMethod, of: &Condition, n_cells: usize, draws: Draws) -> Result<Array2<f32>> {
    let asked = Asked { condition: of, n_cells, library_sizes: &vec![200.0; n_cells], draws, seed: 5 };
    match model.make(&asked)? {
        Made::Components(points) => Ok(points),
        Made::Counts { .. } => panic!("`scgpt` makes components"),
    }
}

fn cells(model: &dyn FittedMethod, of: &str, n_cells: usize) -> Array2<f32> {
    make(model, &condition(of), n_cells, Draws::default()).unwrap()
}

#[test]
fn every_trainable_tensor_has_the_gradient_of_finite_differences() {
    for centre in [Centre::None, Centre::Additive] {
        // All genes, so that the flagged one is among them.
        check_gradients(&objective(ScgptParams { centre, n_genes: 20, ..SMALL }));
    }
}

#[test]
fn parts_add_up_to_the_loss_and_do_not_depend_on_how_cells_are_split() {
    let objective = objective(ScgptParams { n_cells: 10, ..SMALL });
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let parts = objective.parts(&mut rng.clone()).unwrap();
    assert_eq!(parts.len(), 3);
    let sum: f32 = parts.into_iter().map(|part| part().unwrap().to_scalar::<f32>().unwrap()).sum();
    assert!((objective.loss(&mut rng).unwrap().to_scalar::<f32>().unwrap() - sum).abs() < 1e-5);
    assert!(sum > 0.0);
}

/// The effects of A and B were never measured together in y.
#[test]
fn effects_add_up_in_a_combination_that_was_not_measured() {
    let objective = objective(ScgptParams { n_genes: 9, ..SMALL });
    train(&objective, 500);
    let model = objective.to_model().unwrap();
    let measured = |of: &str| -> Array1<f32> {
        trial::with_data(|data| {
            let rows: Vec<usize> =
                (0..data.conditions.len()).filter(|&row| data.conditions[row] == condition(of)).collect();
            data.embedding.select(Axis(0), &rows).mean_axis(Axis(0)).unwrap()
        })
    };
    let control = measured("control | t=y");
    let effects = measured("A | t=y") + measured("B | t=y") - &control * 2.0;
    let made = cells(&model, "A+B | t=y", 60).mean_axis(Axis(0)).unwrap() - control;
    assert!(effects[0] > 1.5 && effects[1] > 1.5, "{effects}");
    for direction in [0, 1] {
        let share = made[direction] / effects[direction];
        assert!((share - 1.0).abs() < 0.3, "of effects {effects}, {made} were made");
    }
}

#[test]
fn the_order_of_components_of_genes_and_of_cells_does_not_matter() {
    let model = objective(SMALL).to_model().unwrap();
    assert_eq!(cells(&model, "A+B | t=y", 20), cells(&model, "B+A | t=y", 20));
    trial::with_data(|data| {
        let (panel, columns) = Panel::of(data).unwrap();
        assert_eq!((columns, panel.perturbed(&condition("B+A"))), ((0..9).collect(), vec![1]));
        let mut parameters = Parameters::draw(1, 0, &Device::Cpu);
        let params = ScgptParams { ..SMALL };
        let network = Network::new(&mut parameters, &params, &panel, 2, vec![0.5; 9]).unwrap();
        let of = |genes: &[u32], n_cells: usize| {
            let value = |cell: usize, gene: u32| (cell as f32 + 1.0) * gene as f32 * 0.3;
            let tokens = Tokens {
                genes,
                expression: (0..n_cells).flat_map(|cell| genes.iter().map(move |&gene| value(cell, gene))).collect(),
                perturbed: flags(genes, &[1]).repeat(n_cells),
                told: [1.0, 0.0].repeat(n_cells),
            };
            values(&network.forward(&tokens, &Device::Cpu).unwrap()).unwrap()
        };
        let (one, other, alone) = (of(&[0, 1, 5, 7], 2), of(&[7, 1, 0, 5], 2), of(&[0, 1, 5, 7], 1));
        for (place, there) in [2, 1, 3, 0, 6, 5, 7, 4].into_iter().enumerate() {
            assert!((one[place] - other[there]).abs() < 1e-5, "{one:?} {other:?}");
        }
        assert!(one[..4].iter().zip(&alone).all(|(one, alone)| (one - alone).abs() < 1e-5), "{one:?} {alone:?}");
        // Genes see each other: another neighbour changes them.
        assert!((of(&[0, 1, 5, 8], 1)[0] - alone[0]).abs() > 1e-6);
    });
}

#[test]
fn genes_are_read_in_even_groups_that_hold_each_once() {
    let panel: Panel = serde_json::from_str(r#"{"n_genes": 11, "targets": {}}"#).unwrap();
    let groups = panel.groups(4);
    assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 3]);
    let mut all = groups.concat();
    all.sort_unstable();
    assert_eq!(all, (0..11).collect::<Vec<u32>>());
    assert_eq!(panel.groups(100).len(), 1);
}

#[test]
fn a_fit_goes_on_from_a_saved_state_to_the_same_bytes() {
    check_going_on(|| objective(SMALL));
}

#[test]
fn a_model_put_together_again_gives_the_same_cells() {
    let model = objective(ScgptParams { centre: Centre::Interaction, ..SMALL }).model().unwrap();
    assert_eq!(model.makes(), Makes::Components);
    let restore = |record| registry::restore("scgpt", model.params().unwrap(), record, &Device::Cpu);
    let again = restore(model.record().unwrap()).unwrap();
    // More cells than there are controls: they come again.
    let made = cells(&*model, "A+B | t=y", 130);
    assert_eq!(made, cells(&*again, "A+B | t=y", 130));
    assert_eq!(made.row(0), made.row(60));
    assert_ne!(made.row(0), made.row(1));
    for name in ["control_cells.safetensors", "projection.safetensors"] {
        let mut record = model.record().unwrap();
        record.take_tensors(name, &Device::Cpu).unwrap();
        let error = restore(record).err().unwrap().to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn what_it_does_not_have_and_does_not_know_is_refused() {
    let model = objective(SMALL).to_model().unwrap();
    let own = Draws::default();
    for (name, draws) in [
        ("temperature", Draws { temperature: 0.5, ..own }),
        ("guidance", Draws { guidance: 2.0, ..own }),
        ("anchor", Draws { anchor: Some(0.5), ..own }),
        ("solver", Draws { solver: Some(Solver::default()), ..own }),
    ] {
        let error = make(&model, &condition("A | t=y"), 3, draws).unwrap_err();
        assert!(error.is_mistake() && error.to_string().contains(name), "{error}");
    }
    for unknown in ["D | t=y", "A | t=z"] {
        assert!(make(&model, &condition(unknown), 3, own).unwrap_err().is_mistake());
    }
    let conditions = ["control | t=x", "A | t=y"].map(condition);
    let told = Told { codes: Codes::fit(&conditions), guide: None };
    let panel: Panel = serde_json::from_str(r#"{"n_genes": 1, "targets": {}}"#).unwrap();
    let expression = SparseMatrix::from_rows(1, [vec![(0, 1.0)], vec![]]);
    let without_controls = PairedCells::new(expression, &conditions, &told, &panel).err().unwrap();
    assert!(without_controls.to_string().contains("control cells"), "{without_controls}");
    assert!(ScgptParams { n_genes: 0, ..SMALL }.check().is_err());
}

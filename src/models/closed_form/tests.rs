//! Every closed form against what a hand computes, and what drawing may and may not do.

use ndarray::{Array1, Array2, arr1, arr2};

use super::*;
use crate::conditions::Condition;
use crate::models::method::{Asked, Draws, FittedMethod, Made};
use crate::models::registry::{self, Choices};
use crate::models::trial::{self, begin};

const FORMS: [ClosedForm; 6] = [
    ClosedForm::ControlMean,
    ClosedForm::PerturbedMean,
    ClosedForm::Additive,
    ClosedForm::Linear,
    ClosedForm::AdditiveShift,
    ClosedForm::InteractionShift,
];

/// Control cells (0, 0), (2, 0), (1, 3); A moves by (4, 0), B by (0, 6); A+B was not measured.
fn screen() -> (Array2<f32>, Vec<Condition>) {
    let cells = [("control", 0.0, 0.0), ("control", 2.0, 0.0), ("control", 1.0, 3.0), ("A", 5.0, 0.0), ("A", 5.0, 2.0)];
    let cells = cells.into_iter().chain([("B", 1.0, 7.0)]);
    let (mut values, mut conditions) = (Vec::new(), Vec::new());
    for (label, x, y) in cells {
        values.extend([x, y]);
        conditions.push(trial::condition(label));
    }
    (Array2::from_shape_vec((conditions.len(), 2), values).unwrap(), conditions)
}

fn fitted(form: ClosedForm) -> Box<dyn FittedMethod> {
    let (cells, conditions) = screen();
    begin(Choices::ClosedForm(form), &cells, &conditions)
}

fn made(method: &dyn FittedMethod, text: &str, n_cells: usize) -> Array2<f32> {
    let condition = trial::condition(text);
    let asked = Asked { condition: &condition, n_cells, library_sizes: &[], draws: Draws::default(), seed: 4 };
    let Made::Components(cells) = method.make(&asked).unwrap() else { panic!("components") };
    cells
}

#[test]
fn a_mean_method_gives_every_cell_the_mean_that_a_hand_computes() {
    for (form, label, expected) in [
        (ClosedForm::ControlMean, "A+B", [1.0, 1.0]),
        // Two cells of A and one of B.
        (ClosedForm::PerturbedMean, "A+B", [11.0 / 3.0, 3.0]),
        (ClosedForm::PerturbedMean, "control", [1.0, 1.0]),
        (ClosedForm::Additive, "A+B", [5.0, 7.0]),
        (ClosedForm::Additive, "A", [5.0, 1.0]),
        (ClosedForm::Additive, "control", [1.0, 1.0]),
    ] {
        let cells = made(&*fitted(form), label, 5);
        assert_eq!(cells.nrows(), 5);
        for cell in cells.rows() {
            let gap = &cell - &arr1(&expected);
            assert!(gap.iter().all(|gap: &f32| gap.abs() < 1e-6), "{form:?} {label}: {cell}");
        }
    }
}

#[test]
fn the_linear_method_solves_its_normal_equations() {
    // Changes: control (0, 0), A (4, 0), B (0, 6), and P is their coordinates, so that Y − b = U·S·Vᵀ with P = Uᵀ·Y.
    let cells = made(&*fitted(ClosedForm::Linear), "A+B", 2);
    let changes = arr2(&[[0.0, 4.0, 0.0], [0.0, 0.0, 6.0]]);
    let b = arr1(&[4.0 / 3.0, 2.0]);
    let centred = &changes - &b.clone().insert_axis(ndarray::Axis(1));
    // Both directions are kept, so U may be any basis of the plane. On the left G·Gᵀ = C·Cᵀ gives
    // G(GᵀG + λ)⁻¹Gᵀ = C·Cᵀ(C·Cᵀ + λ)⁻¹; on the right stands Yᵀ(Y·Yᵀ + λ)⁻¹.
    let inverse = |m: Array2<f64>| {
        let determinant = m[[0, 0]] * m[[1, 1]] - m[[0, 1]] * m[[1, 0]];
        arr2(&[[m[[1, 1]], -m[[0, 1]]], [-m[[1, 0]], m[[0, 0]]]]) / determinant
    };
    let ridge = Array2::<f64>::eye(2) * 0.1;
    let gram = centred.dot(&centred.t());
    let left = gram.dot(&inverse(&gram + &ridge));
    let right = changes.t().dot(&inverse(changes.dot(&changes.t()) + &ridge));
    let expected: Array1<f64> = arr1(&[1.0, 1.0]) + &b + left.dot(&centred).dot(&right).dot(&arr1(&[4.0, 6.0]));
    for cell in cells.rows() {
        let gap = cell.mapv(f64::from) - &expected;
        assert!(gap.iter().all(|gap| gap.abs() < 1e-5), "{cell} {expected}");
    }
}

#[test]
fn a_shift_moves_each_control_cell_once_before_any_is_moved_again() {
    let sorted = |cells: Array2<f32>| {
        let mut cells: Vec<[i32; 2]> =
            cells.rows().into_iter().map(|cell| [0, 1].map(|axis| (cell[axis] * 1000.0).round() as i32)).collect();
        cells.sort_unstable();
        cells
    };
    let method = fitted(ClosedForm::AdditiveShift);
    let once = [[4000, 6000], [5000, 9000], [6000, 6000]];
    assert_eq!(sorted(made(&*method, "A+B", 3)), once);
    assert_eq!(sorted(made(&*method, "A+B", 6)), [0, 0, 1, 1, 2, 2].map(|cell| once[cell]));
    // The interaction's own mean, whatever it is, with the spread of the control cells.
    let (cells, conditions) = trial::cells();
    let method = begin(Choices::ClosedForm(ClosedForm::InteractionShift), &cells, &conditions);
    let moved = made(&*method, "A+B", 40);
    let controls = cells.slice(ndarray::s![..40, ..]);
    let spread = |cells: ndarray::ArrayView2<f32>| cells.std_axis(ndarray::Axis(0), 0.0);
    let gap = spread(moved.view()) - spread(controls);
    assert!(gap.iter().all(|gap| gap.abs() < 1e-4), "{gap}");
    assert!((moved.column(1).mean().unwrap() - 2.0).abs() < 0.2 && method.choice().is_some());
}

#[test]
fn a_closed_form_put_together_again_gives_the_same_cells_and_refuses_what_it_does_not_have() {
    for form in FORMS {
        let method = fitted(form);
        assert_eq!(method.name(), form.name());
        let record = method.record().unwrap();
        let device = candle_core::Device::Cpu;
        let again = registry::restore(form.name(), method.params().unwrap(), record.clone(), &device).unwrap();
        assert_eq!(made(&*method, "A+B", 4), made(&*again, "A+B", 4));
        let other = if form == ClosedForm::Linear { "additive" } else { "linear" };
        assert!(registry::restore(other, method.params().unwrap(), record, &device).is_err(), "{form:?}");
        let condition = trial::condition("A+B");
        let asked = |draws: Draws| Asked { condition: &condition, n_cells: 2, library_sizes: &[], draws, seed: 0 };
        for draws in [
            Draws { temperature: 0.5, ..Draws::default() },
            Draws { guidance: 2.0, ..Draws::default() },
            Draws { anchor: Some(0.5), ..Draws::default() },
            Draws { solver: Some(crate::flow::Solver::default()), ..Draws::default() },
        ] {
            let error = method.make(&asked(draws)).unwrap_err();
            assert!(error.is_mistake() && error.to_string().contains(form.name()), "{error}");
        }
    }
}

//! Couplings against POT, conditional paths against automatic differentiation, and losses and samples of a velocity field
//! against TorchCFM.

use ndarray::{Array1, Array2, Axis, concatenate};
use scflow::flow::{Solver, Spread};
use scflow::transport::{entropic, exact};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/flow.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

fn matrix(value: &Value) -> Array2<f64> {
    let rows: Vec<Vec<f64>> = value.as_array().unwrap().iter().map(numbers).collect();
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(row, column)| rows[row][column])
}

#[test]
fn plans_are_those_of_pot() {
    let golden = golden();
    let costs = matrix(&golden["costs"]);
    for case in golden["plans"].as_array().unwrap() {
        let regularisation = case["regularisation"].as_f64().unwrap();
        let plan = entropic::plan(costs.view(), regularisation, 1e-12).unwrap();
        let gap = (plan - matrix(&case["plan"])).iter().fold(0.0_f64, |most, gap| most.max(gap.abs()));
        assert!(gap < 1e-8, "{regularisation}: {gap}");
    }
    let columns: Vec<f64> = exact::assignment(costs.view()).unwrap().into_iter().map(|column| column as f64).collect();
    assert_eq!(columns, numbers(&golden["assignment"]));
}

#[test]
fn points_and_velocities_are_those_of_automatic_differentiation() {
    let golden = golden();
    let sigma = golden["sigma"].as_f64().unwrap() as f32;
    let of = |key: &str| numbers(&golden[key]);
    let (times, x0, x1, noise) = (of("times"), of("x0"), of("x1"), of("noise"));
    for (name, spread) in [("constant", Spread::Constant { sigma }), ("bridge", Spread::Bridge { sigma })] {
        let (xt, ut) = (numbers(&golden["spreads"][name]["xt"]), numbers(&golden["spreads"][name]["ut"]));
        for i in 0..times.len() {
            let (x, u) = spread.point(times[i] as f32, x0[i] as f32, x1[i] as f32, noise[i] as f32);
            assert!((f64::from(x) - xt[i]).abs() < 1e-6, "{name} {i}: {x} {}", xt[i]);
            assert!((f64::from(u) - ut[i]).abs() < 1e-5 * ut[i].abs().max(1.0), "{name} {i}: {u} {}", ut[i]);
        }
    }
}

/// TorchCFM's perceptron with its weights: x and t → velocity, three hidden layers with SELU.
struct Field {
    layers: Vec<(Array2<f64>, Array1<f64>)>,
}

impl Field {
    fn read(golden: &Value) -> Self {
        let layer = |number: usize| {
            let of = |name: &str| numbers(&golden["weights"][format!("net.{number}.{name}")]);
            let (weight, bias) = (of("weight"), Array1::from_vec(of("bias")));
            let n_inputs = weight.len() / bias.len();
            (Array2::from_shape_vec((bias.len(), n_inputs), weight).unwrap(), bias)
        };
        Self { layers: [0, 2, 4, 6].map(layer).into() }
    }

    fn velocity(&self, x: &Array2<f64>, times: &[f64]) -> Array2<f64> {
        const SCALE: f64 = 1.050_700_987_355_480_5;
        const ALPHA: f64 = 1.673_263_242_354_377_2;
        let selu = |x: f64| SCALE * if x > 0.0 { x } else { ALPHA * x.exp_m1() };
        let times = Array2::from_shape_vec((times.len(), 1), times.to_vec()).unwrap();
        let start = concatenate(Axis(1), &[x.view(), times.view()]).unwrap();
        self.layers.iter().enumerate().fold(start, |x, (layer, (weight, bias))| {
            let next = x.dot(&weight.t()) + bias;
            if layer + 1 < self.layers.len() { next.mapv(selu) } else { next }
        })
    }
}

fn pairs(value: &Value) -> Array2<f64> {
    let values = numbers(value);
    Array2::from_shape_vec((values.len() / 2, 2), values).unwrap()
}

#[test]
fn points_targets_and_losses_are_those_of_torchcfm() {
    let golden: Value = serde_json::from_str(include_str!("golden/torchcfm.json")).unwrap();
    let field = Field::read(&golden);
    let sigma = golden["sigma"].as_f64().unwrap() as f32;
    let straight = Spread::Constant { sigma: 0.0 };
    for (name, spread) in [("cfm", straight), ("cfm-ot", straight), ("cfm-sb", Spread::Bridge { sigma })] {
        let of = |key: &str| pairs(&golden["variants"][name][key]);
        let [x0, x1, noise, xt, ut] = ["x0", "x1", "noise", "xt", "ut"].map(of);
        let times = numbers(&golden["variants"][name]["t"]);
        let (mut own_xt, mut own_ut) = (xt.clone(), ut.clone());
        for ((row, column), x) in own_xt.indexed_iter_mut() {
            let at = |array: &Array2<f64>| array[[row, column]] as f32;
            let (point, target) = spread.point(times[row] as f32, at(&x0), at(&x1), at(&noise));
            (*x, own_ut[[row, column]]) = (f64::from(point), f64::from(target));
        }
        let furthest = |own: &Array2<f64>, other: &Array2<f64>| {
            own.iter().zip(other).fold(0.0_f64, |most, (a, b)| most.max((a - b).abs() / b.abs().max(1.0)))
        };
        assert!(furthest(&own_xt, &xt) < 1e-5, "{name}: {}", furthest(&own_xt, &xt));
        assert!(furthest(&own_ut, &ut) < 1e-4, "{name}: {}", furthest(&own_ut, &ut));
        let loss = (field.velocity(&own_xt, &times) - &own_ut).mapv(|gap| gap * gap).mean().unwrap();
        let expected = golden["variants"][name]["loss"].as_f64().unwrap();
        assert!((loss / expected - 1.0).abs() < 1e-5, "{name}: {loss} {expected}");
    }
    let of = |key: &str| numbers(&golden["variants"]["cfm-sb"][key]);
    for (t, expected) in of("t").into_iter().zip(of("lambda")) {
        let own = f64::from(Spread::Bridge { sigma }.weight_of_score(t as f32));
        assert!((own - expected).abs() < 1e-5 * expected.max(1.0), "{t}: {own} {expected}");
    }
}

#[test]
fn samples_of_a_field_are_those_of_torchcfm() {
    let golden: Value = serde_json::from_str(include_str!("golden/torchcfm.json")).unwrap();
    let field = Field::read(&golden);
    let velocity = |t: f32, x: &Array2<f32>| {
        let times = vec![f64::from(t); x.nrows()];
        Ok(field.velocity(&x.mapv(f64::from), &times).mapv(|value| value as f32))
    };
    let start = pairs(&golden["x0"]).mapv(|value| value as f32);
    // Both adaptive solvers end some thousandths from the exact solution, on a toy that is ten wide.
    for (name, solver, most) in
        [("dopri5", Solver::Dopri5 { tolerance: 1e-5 }, 5e-3), ("euler", Solver::Euler { n_steps: 20 }, 1e-4)]
    {
        let samples = solver.solve(start.clone(), &velocity).unwrap().mapv(f64::from);
        let gap = (samples - pairs(&golden["samples"][name])).iter().fold(0.0_f64, |most, gap| most.max(gap.abs()));
        assert!(gap < most, "{name}: {gap}");
    }
}

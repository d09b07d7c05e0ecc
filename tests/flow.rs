//! Couplings against POT, conditional paths against automatic differentiation.

use ndarray::Array2;
use scflow::flow::Spread;
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

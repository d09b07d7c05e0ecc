//! `scflow simulate`: what the screens are good for, and the command line.

use std::collections::BTreeMap;

use ndarray::Array2;
use scflow::conditions::{Condition, Perturbation};
use scflow::models::reference::Effects;
use scflow::synthetic::{Interactions, Screen, ScreenDesign, simulate};

/// log1p of counts per 2,000: (n_cells, n_genes).
fn log_normalized(screen: &Screen) -> Array2<f32> {
    let mut dense = screen.cells.x.to_dense();
    for mut row in dense.rows_mut() {
        let scale = 2000.0 / row.sum();
        row.mapv_inplace(|value| (value * scale).ln_1p());
    }
    dense
}

/// Over all pairs: the squared residual of the additive estimate, and of the control mean, as shares of the squared
/// effect. Both come from two halves of the cells, whose noise is independent and cancels.
fn residuals(interactions: Interactions) -> (f64, f64) {
    let design = ScreenDesign {
        cells: 5000,
        genes: 600,
        singles: 4,
        pairs: 6,
        cell_types: 2,
        interactions,
        ..Default::default()
    };
    let screen = simulate(&design).unwrap();
    let values = log_normalized(&screen);
    let labels = screen.cells.obs.texts("obs", "perturbation").unwrap();
    let conditions: Vec<Condition> = labels
        .iter()
        .map(|label| Condition {
            perturbation: Perturbation::parse(label, "control").unwrap(),
            covariates: BTreeMap::new(),
        })
        .collect();
    let residual_of_half = |half: usize| {
        let training: Vec<bool> = (0..labels.len()).map(|row| row % 2 == half).collect();
        let effects = Effects::fit(values.view(), &conditions, &training).unwrap();
        let mut residuals = Vec::new();
        for pair in &screen.truth.pairs {
            let rows: Vec<usize> =
                (0..labels.len()).filter(|&row| training[row] && labels[row] == pair.perturbation).collect();
            let real = values.select(ndarray::Axis(0), &rows).mean_axis(ndarray::Axis(0)).unwrap();
            let condition = &conditions[rows[0]];
            let additive = effects.additive(condition).unwrap();
            let control = effects.control_mean(&condition.covariates).unwrap();
            residuals.push((&real - &additive, &real - &control));
        }
        residuals
    };
    let (first, second) = (residual_of_half(0), residual_of_half(1));
    let pairs = first.iter().zip(&second);
    pairs.fold((0.0, 0.0), |sums, (a, b)| (sums.0 + f64::from(a.0.dot(&b.0)), sums.1 + f64::from(a.1.dot(&b.1))))
}

#[test]
fn the_additive_estimate_beats_the_control_and_fails_only_where_parts_interact() {
    let [none, readable, hidden] = [Interactions::None, Interactions::Readable, Interactions::Hidden]
        .map(residuals)
        .map(|(additive, control)| additive / control);
    assert!(none < 0.03, "{none}");
    assert!((0.1..0.6).contains(&readable), "{readable}");
    assert!((0.1..0.6).contains(&hidden), "{hidden}");
}

//! The estimate as a whole, on screens whose rule is known.

use ndarray::{Array1, Array2};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::*;
use crate::conditions::Perturbation;

const N_DIMS: usize = 6;

fn condition(text: &str) -> Condition {
    Condition::parse(text, "control").unwrap()
}

/// Cells of every single and pair of seven components in three cell types.
struct Screen {
    cells: Array2<f32>,
    conditions: Vec<Condition>,
    truth: BTreeMap<Condition, Array1<f64>>,
}

fn screen(synergy: f64, noise: f64) -> Screen {
    screen_of(synergy, noise, 12)
}

/// A pair does `synergy` times the product of its parts' doses beyond their sum; cell type t follows with strength 1 + t / 4.
/// There are 12 cells of each pair, `n_alone` of each single and control.
fn screen_of(synergy: f64, noise: f64, n_alone: usize) -> Screen {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let mut normal = |n| Array1::<f64>::from_shape_simple_fn(n, || StandardNormal.sample(&mut rng));
    let programmes: Vec<Array1<f64>> = (0..3).map(|_| normal(N_DIMS)).collect();
    let doses: Vec<Array1<f64>> = (0..7).map(|_| normal(2)).collect();
    let single = |i: usize| &programmes[0] * doses[i][0] + &programmes[1] * doses[i][1];
    let mut effects = vec![("control".to_owned(), Array1::zeros(N_DIMS))];
    for b in 0..7 {
        effects.push((format!("p{b}"), single(b)));
        for a in 0..b {
            let product = doses[a][0] * doses[b][1] + doses[a][1] * doses[b][0];
            effects.push((format!("p{b} + p{a}"), single(a) + single(b) + &programmes[2] * (synergy * product)));
        }
    }
    let (mut rows, mut conditions, mut truth) = (Vec::new(), Vec::new(), BTreeMap::new());
    for kind in 0..3 {
        for (name, effect) in &effects {
            let condition = condition(&format!("{name} | cell_type=t{kind}"));
            let mean = effect * (1.0 + kind as f64 / 4.0) + kind as f64;
            for _ in 0..if condition.perturbation.components().len() > 1 { 12 } else { n_alone } {
                let cell = &mean + &(normal(N_DIMS) * noise);
                rows.extend(cell.iter().map(|&value| value as f32));
                conditions.push(condition.clone());
            }
            truth.insert(condition, mean);
        }
    }
    let cells = Array2::from_shape_vec((conditions.len(), N_DIMS), rows).unwrap();
    Screen { cells, conditions, truth }
}

impl Screen {
    fn fit_to(&self, keep: impl Fn(&Condition) -> bool) -> InteractionEffects {
        let rows: Vec<usize> = (0..self.conditions.len()).filter(|&row| keep(&self.conditions[row])).collect();
        let conditions: Vec<Condition> = rows.iter().map(|&row| self.conditions[row].clone()).collect();
        InteractionEffects::fit(self.cells.select(ndarray::Axis(0), &rows).view(), &conditions, 0).unwrap()
    }
}

fn distance(estimate: &Array1<f32>, truth: &Array1<f64>) -> f64 {
    estimate.iter().zip(truth).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn a_screen_of_sums_is_told_to_be_additive() {
    // Where singles are as noisy as pairs, an "interaction" may mend a single effect that is off in all of its pairs.
    let screen = screen_of(0.0, 0.5, 200);
    let pair = condition("p1 + p4 | cell_type=t1");
    let fitted = screen.fit_to(|other| other.perturbation != pair.perturbation);
    assert_eq!(fitted.choice().rule, Rule::Additive, "{:?}", fitted.choice());
    assert_eq!(fitted.parts(&pair).unwrap().interaction, Array1::<f32>::zeros(N_DIMS));
    assert!(distance(&fitted.estimate(&pair).unwrap(), &screen.truth[&pair]) < 0.6);
}

#[test]
fn a_planted_rule_is_recovered_on_a_pair_that_was_left_out() {
    let screen = screen(1.0, 0.2);
    let mut errors = (0.0, 0.0);
    for left_out in ["p0 + p6", "p2 + p5", "p1 + p3"] {
        let pair = condition(&format!("{left_out} | cell_type=t2"));
        let fitted = screen.fit_to(|other| other.perturbation != pair.perturbation);
        assert_ne!(fitted.choice().rule, Rule::Additive, "{:?}", fitted.choice());
        let parts = fitted.parts(&pair).unwrap();
        errors.0 += distance(&parts.mean(), &screen.truth[&pair]);
        errors.1 += distance(&(&parts.control + &parts.effect), &screen.truth[&pair]);
    }
    assert!(errors.0 < 0.4 * errors.1, "{errors:?}");
}

#[test]
fn an_effect_that_was_measured_elsewhere_is_mapped_to_the_covariates() {
    let screen = screen(0.0, 0.1);
    let unseen = condition("p3 | cell_type=t2");
    let fitted = screen.fit_to(|other| *other != unseen);
    let parts = fitted.parts(&unseen).unwrap();
    assert_eq!((parts.parts_measured, parts.whole_measured), (0.0, 0.5));
    // Without the map the effect would be 25 % short.
    let effect = &screen.truth[&unseen] - &screen.truth[&condition("control | cell_type=t2")];
    assert!(distance(&parts.mean(), &screen.truth[&unseen]) < 0.1 * effect.dot(&effect).sqrt());
}

#[test]
fn the_order_of_cells_and_components_changes_nothing() {
    let screen = screen(1.0, 0.3);
    let held_out = |other: &Condition| other.perturbation != condition("p0+p1").perturbation;
    let fitted = screen.fit_to(held_out);
    let reversed = Screen {
        cells: screen.cells.slice(ndarray::s![..;-1, ..]).to_owned(),
        conditions: screen.conditions.iter().rev().cloned().collect(),
        truth: BTreeMap::new(),
    };
    let again = reversed.fit_to(held_out);
    let (one, other) = (condition("p0 + p1 | cell_type=t0"), condition("p1+p0|cell_type=t0"));
    let gap = fitted.estimate(&one).unwrap() - again.estimate(&other).unwrap();
    assert!(gap.iter().all(|gap| gap.abs() < 1e-4), "{gap}");
}

#[test]
fn a_file_gives_the_same_estimates() {
    let screen = screen(1.0, 0.3);
    let fitted = screen.fit_to(|other| other.perturbation != condition("p0+p1").perturbation);
    let text = serde_json::to_string(&fitted).unwrap();
    assert_eq!(serde_json::from_str::<InteractionEffects>(&text).unwrap(), fitted);
    assert!(serde_json::from_str::<InteractionEffects>(&text.replacen("\"ridge\"", "\"rigde\"", 1)).is_err());
}

#[test]
fn what_is_left_out_does_not_depend_on_its_own_cells() {
    let screen = screen(1.0, 0.2);
    let fitted = screen.fit_to(|_| true);
    for text in ["p2 + p5 | cell_type=t1", "p3 | cell_type=t0"] {
        let left_out = condition(text);
        let is_out = |other: &Condition| match left_out.perturbation.components().len() {
            1 => *other == left_out,
            _ => other.perturbation == left_out.perturbation,
        };
        let mut changed =
            Screen { cells: screen.cells.clone(), conditions: screen.conditions.clone(), truth: BTreeMap::new() };
        for (mut cell, other) in changed.cells.rows_mut().into_iter().zip(&screen.conditions) {
            if is_out(other) {
                cell += 0.5;
            }
        }
        let other = changed.fit_to(|_| true);
        assert_eq!((other.choice().rule, other.shrunk.ridge), (fitted.choice().rule, fitted.shrunk.ridge));
        let (before, after) = (fitted.leave_out(&left_out).unwrap(), other.leave_out(&left_out).unwrap());
        assert!((&before - &after).iter().all(|gap| gap.abs() < 1e-4), "{text}: {before} {after}");
        let moved = fitted.estimate(&left_out).unwrap() - other.estimate(&left_out).unwrap();
        assert!(moved.iter().any(|gap| gap.abs() > 0.1), "{text}: {moved}");
        // It is what a fit without these cells says.
        let without = screen.fit_to(|other| !is_out(other));
        if without.choice().rule == fitted.choice().rule && without.choice().share == fitted.choice().share {
            let gap = without.estimate(&left_out).unwrap() - before;
            assert!(gap.iter().all(|gap| gap.abs() < 0.05), "{text}: {gap}");
        }
    }
}

#[test]
fn three_components_are_the_sum_of_their_pairs() {
    let screen = screen(1.0, 0.2);
    let fitted = screen.fit_to(|_| true);
    let of = |text: &str| {
        let perturbation = Perturbation::parse(text, "control").unwrap();
        fitted.rules.interaction(Rule::Mean, &perturbation).unwrap()
    };
    let gap = of("p0+p1+p2") - of("p0+p1") - of("p0+p2") - of("p1+p2");
    assert!(gap.iter().all(|gap| gap.abs() < 1e-6), "{gap}");
    assert!(fitted.estimate(&condition("p0+p1+p2 | cell_type=t0")).is_ok());
}

#[test]
fn unknown_names_are_refused_with_near_ones() {
    let fitted = screen(0.0, 0.5).fit_to(|_| true);
    let error = fitted.estimate(&condition("p33 | cell_type=t0")).unwrap_err();
    assert!(error.is_mistake() && error.to_string().contains("`p3`"), "{error}");
    let error = fitted.estimate(&condition("p3 | cell_type=t9")).unwrap_err();
    assert!(error.is_mistake() && error.to_string().contains("covariates"), "{error}");
}

#[test]
fn a_screen_of_one_stratum_draws_means_towards_each_other() {
    let conditions: Vec<Condition> = ["control", "control", "A", "B", "B"].map(condition).to_vec();
    let cells = ndarray::arr2(&[[0.0_f32, 1.0], [2.0, 1.0], [3.0, 1.0], [1.0, 5.0], [1.0, 7.0]]);
    let fitted = InteractionEffects::fit(cells.view(), &conditions, 0).unwrap();
    // By hand: μ = (5/3, 8/3), σ² = (1, 1), τ² = (2/3, 23/3); the control comes to (1.2857, 1.1020), A to (2.2, 1.1923),
    // B to (1.2857, 5.7959).
    let near = |a: Array1<f32>, b: [f32; 2]| assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4), "{a} {b:?}");
    near(fitted.estimate(&condition("A+B")).unwrap(), [2.2, 5.886_19]);
    near(fitted.leave_out(&condition("A")).unwrap(), [2.2, 1.192_31]);
}

#[test]
fn an_effect_elsewhere_is_read_from_the_strata_with_like_controls() {
    // Two kinds of cells, three strata of each, that answer to the one perturbation in opposite ways.
    let unseen = condition("A | t=s0");
    let (mut rows, mut conditions) = (Vec::new(), Vec::new());
    for stratum in 0..6 {
        let (kind, answer) = if stratum % 2 == 0 { (0.0, 3.0) } else { (10.0, -3.0) };
        for (name, effect) in [("control", 0.0), ("A", answer)] {
            for side in [-0.5_f32, 0.5] {
                let condition = condition(&format!("{name} | t=s{stratum}"));
                if condition != unseen {
                    rows.extend([kind + 0.3 * stratum as f32 + side, effect + 0.1 * stratum as f32, side]);
                    conditions.push(condition);
                }
            }
        }
    }
    let cells = Array2::from_shape_vec((conditions.len(), 3), rows).unwrap();
    let fitted = InteractionEffects::fit(cells.view(), &conditions, 0).unwrap();
    assert!(fitted.shrunk.likeness.bandwidth.is_some());
    let parts = fitted.parts(&unseen).unwrap();
    assert!((parts.effect[1] - 3.0).abs() < 0.3, "{}", parts.effect);
    // So is what is left out in training.
    let left_out = fitted.leave_out(&condition("A | t=s2")).unwrap()
        - &fitted.parts(&condition("control | t=s2")).unwrap().control;
    assert!((left_out[1] - 3.0).abs() < 0.3, "{left_out}");
}

#[test]
fn a_component_that_is_introduced_is_summed_and_a_single_is_also_met_as_others_tell_of_it() {
    let Screen { cells, conditions, .. } = screen(0.5, 0.1);
    let mut fitted = InteractionEffects::fit(cells.view(), &conditions, 0).unwrap();
    let singles = fitted.singles();
    assert_eq!(singles.keys().map(String::as_str).collect::<Vec<_>>(), ["p0", "p1", "p2", "p3", "p4", "p5", "p6"]);
    let kind = conditions[0].covariates.clone();
    let asked = |text: &str| Condition::new(Perturbation::parse(text, "control").unwrap(), kind.clone());
    assert!(fitted.parts(&asked("p1 + new")).is_err());
    let known = fitted.parts(&asked("p1")).unwrap();
    let effect = Array1::from_shape_fn(N_DIMS, |dim| dim as f32);
    fitted.introduce("new", &effect);
    fitted.introduce("p1", &effect);
    assert_eq!(fitted.parts(&asked("p1")).unwrap(), known);
    let (new, pair) = (fitted.parts(&asked("new")).unwrap(), fitted.parts(&asked("p1 + new")).unwrap());
    let gap = &pair.effect - &known.effect - &new.effect;
    assert!(gap.iter().all(|gap| gap.abs() < 1e-4) && pair.interaction == Array1::<f32>::zeros(N_DIMS), "{gap}");
    assert_eq!((new.parts_measured, pair.parts_measured, pair.whole_measured), (0.0, 0.5, 0.0));

    let before = fitted.views(&asked("p2")).unwrap();
    fitted.expect(&BTreeMap::from([("p2".to_owned(), effect)]));
    let views = fitted.views(&asked("p2")).unwrap();
    assert_eq!(views[1..], before[..]);
    assert_eq!((views[0].parts_measured, views[0].whole_measured), (0.0, 0.0));
    assert_eq!(views[0].effect, new.effect);
    assert_eq!(fitted.views(&asked("p3")).unwrap().len(), before.len());
}

//! What was measured of the parts of a condition, as numbers: means and standard deviations of cells.

use std::collections::BTreeMap;

use ndarray::{Array1, ArrayView2, Axis, concatenate};
use serde::{Deserialize, Serialize};

use super::guide::{Guide, View};
use crate::conditions::{Between, Condition, Perturbation};

type Covariates = BTreeMap<String, String>;

/// Mean and standard deviation of cells in principal components: (n_dims) each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Moments {
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

/// Moments of the training controls, and of every component alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<(Condition, Moments)>", into = "Vec<(Condition, Moments)>")]
pub struct Evidence {
    alone: BTreeMap<Condition, Moments>,
}

impl From<Vec<(Condition, Moments)>> for Evidence {
    fn from(list: Vec<(Condition, Moments)>) -> Self {
        Self { alone: list.into_iter().collect() }
    }
}

impl From<Evidence> for Vec<(Condition, Moments)> {
    fn from(evidence: Evidence) -> Self {
        evidence.alone.into_iter().collect()
    }
}

impl Evidence {
    /// Takes the moments of training cells.
    ///
    /// **Shapes** `embedding`: (n_cells, n_dims); one condition per cell.
    pub fn fit(embedding: ArrayView2<f32>, conditions: &[Condition]) -> Self {
        let mut rows = BTreeMap::<&Condition, Vec<usize>>::new();
        for (row, condition) in conditions.iter().enumerate() {
            if condition.perturbation.components().len() < 2 {
                rows.entry(condition).or_default().push(row);
            }
        }
        let moments = |(condition, rows): (&Condition, Vec<usize>)| {
            let cells = embedding.select(Axis(0), &rows).mapv(f64::from);
            let list = |values: Array1<f64>| values.iter().map(|value| *value as f32).collect();
            let mean = list(cells.mean_axis(Axis(0)).unwrap_or_default());
            (condition.clone(), Moments { mean, deviation: list(cells.std_axis(Axis(0), 0.0)) })
        };
        Self { alone: rows.into_iter().map(moments).collect() }
    }

    /// Numbers of a row: mean, standard deviation, and whether it is of the control.
    pub fn n_numbers(n_dims: usize) -> usize {
        2 * n_dims + 1
    }

    /// A row for the control and one for each component, in flow units around the centre of the condition: (n_numbers) each.
    ///
    /// A component that was not measured alone with these covariates takes the mean of its effects, and of its standard
    /// deviations, with others, on top of the control here; one that was measured alone nowhere has no row.
    pub fn rows(&self, condition: &Condition, view: &View, guide: &Guide) -> Vec<Array1<f32>> {
        let like = |perturbation: Perturbation| Condition::new(perturbation, condition.covariates.clone());
        let control = self.alone.get(&like(Perturbation::control()));
        let row = |moments: &Moments, is_control: bool| {
            let mean = Array1::from(moments.mean.clone()).insert_axis(Axis(0));
            let mean = guide.standard().standardise(mean.view(), &view.centre).remove_axis(Axis(0));
            let deviation = guide.standard().relative(&Array1::from(moments.deviation.clone()));
            let mark = Array1::from(vec![f32::from(u8::from(is_control))]);
            // Pieces of one dimension always join.
            concatenate(Axis(0), &[mean.view(), deviation.view(), mark.view()]).unwrap_or_default()
        };
        let mut rows: Vec<Array1<f32>> = control.iter().map(|moments| row(moments, true)).collect();
        for component in condition.perturbation.components() {
            rows.extend(self.of_component(component, &condition.covariates).iter().map(|moments| row(moments, false)));
        }
        rows
    }

    /// The moments of a component: measured, from other covariates, or between those of the doses around it ([`Between`]).
    fn of_component(&self, component: &str, covariates: &Covariates) -> Option<Moments> {
        let known = |component: &str| {
            let like = |perturbation: Perturbation| Condition::new(perturbation, covariates.clone());
            let control = self.alone.get(&like(Perturbation::control()));
            let here = self.alone.get(&like(Perturbation::single(component)));
            here.cloned().or_else(|| self.transferred(component, control))
        };
        known(component).or_else(|| {
            let labels = self.alone.keys().flat_map(|condition| condition.perturbation.components());
            let Between { lower, upper, share } = Between::of(component, labels)?;
            let (lower, upper, share) = (known(&lower)?, known(&upper)?, share as f32);
            let mix = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (1.0 - share) * a + share * b).collect();
            Some(Moments { mean: mix(&lower.mean, &upper.mean), deviation: mix(&lower.deviation, &upper.deviation) })
        })
    }

    /// The moments that a component should have here, by what it does with other covariates.
    fn transferred(&self, component: &str, control: Option<&Moments>) -> Option<Moments> {
        let control = control?;
        let elsewhere: Vec<(&Moments, &Moments)> = self
            .alone
            .iter()
            .filter(|(alone, _)| alone.perturbation.components() == [component])
            .filter_map(|(alone, moments)| {
                let there = Condition::new(Perturbation::control(), alone.covariates.clone());
                Some((moments, self.alone.get(&there)?))
            })
            .collect();
        if elsewhere.is_empty() {
            return None;
        }
        let share = 1.0 / elsewhere.len() as f32;
        let mut moments = Moments { mean: control.mean.clone(), deviation: vec![0.0; control.mean.len()] };
        for (here, there) in elsewhere {
            for d in 0..moments.mean.len() {
                moments.mean[d] += share * (here.mean[d] - there.mean[d]);
                moments.deviation[d] += share * here.deviation[d];
            }
        }
        Some(moments)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::models::coordinates::Coordinates;
    use crate::models::guide::Centre;

    #[test]
    fn a_dose_between_two_has_moments_between_theirs() {
        let labels = ["control", "A @ 1 uM", "A @ 100 uM"];
        let conditions: Vec<Condition> =
            labels.iter().flat_map(|label| vec![Condition::parse(label, "control").unwrap(); 2]).collect();
        let cells = ndarray::array![[0.0_f32], [0.0], [1.0], [3.0], [10.0], [14.0]];
        let evidence = Evidence::fit(cells.view(), &conditions);
        let moments = |label: &str| evidence.of_component(label, &Covariates::new());
        let between = moments("A @ 10 uM").unwrap();
        assert!((between.mean[0] - 7.0).abs() < 1e-5 && (between.deviation[0] - 1.5).abs() < 1e-5, "{between:?}");
        assert_eq!(moments("A @ 1 uM").unwrap().mean, [2.0]);
        assert!(moments("A @ 200 uM").is_none());
    }

    #[test]
    fn the_control_and_every_component_that_was_measured_have_a_row() {
        let condition = |text: &str| Condition::parse(text, "control").unwrap();
        let (mut cells, mut conditions) = (Vec::new(), Vec::new());
        for (name, value) in
            [("control | t=x", 1.0), ("control | t=y", 2.0), ("A | t=x", 4.0), ("B | t=y", 7.0), ("A+C | t=y", 9.0)]
        {
            for side in [-0.5_f32, 0.5] {
                cells.extend([value + side, side]);
                conditions.push(condition(name));
            }
        }
        let cells = Array2::from_shape_vec((conditions.len(), 2), cells).unwrap();
        let evidence = Evidence::fit(cells.view(), &conditions);
        let guide =
            Guide::fit(cells.view(), &conditions, Centre::None, Coordinates::Scaled, &Default::default(), None, 0)
                .unwrap();
        let asked = condition("A+B+C | t=x");
        let view = guide.view(&asked).unwrap();
        let rows = evidence.rows(&asked, &view, &guide);
        // Control, A as measured, B moved here from t=y; C was never alone.
        let zeros = Array1::zeros(2);
        let scale = 1.0 / guide.standard().standardise(ndarray::array![[1.0_f32, 1.0]].view(), &zeros)[[0, 0]];
        let means: Vec<f32> = rows.iter().map(|row| row[0] * scale + view.centre[0]).collect();
        assert_eq!(rows.len(), 3);
        for (got, expected) in means.iter().zip([1.0, 4.0, 1.0 + 7.0 - 2.0]) {
            assert!((got - expected).abs() < 1e-4, "{means:?}");
        }
        assert!(rows.iter().all(|row| (row[2] * scale - 0.5).abs() < 1e-4));
        assert_eq!(rows.iter().map(|row| row[4]).collect::<Vec<_>>(), [1.0, 0.0, 0.0]);
        assert!(evidence.rows(&condition("A @ 1 uM | t=x"), &view, &guide).len() == 1);
        let text = serde_json::to_string(&evidence).unwrap();
        assert_eq!(serde_json::from_str::<Evidence>(&text).unwrap(), evidence);
    }
}

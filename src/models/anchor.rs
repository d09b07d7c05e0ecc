//! The law that a flow gives a condition, drawn towards what is known of the condition without it.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::guide::Guide;
use crate::conditions::{Condition, Perturbation};

/// Standard deviations beyond which a measured cell does not count: a stray one must not move all others.
const FURTHEST: f32 = 6.0;
/// Cells of a condition from which its spread is taken.
const FEWEST_CELLS: usize = 20;

/// How far the cells of training conditions lie from their means: the root of the summed variance over components, with
/// n − 1.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(Condition, f32)>", into = "Vec<(Condition, f32)>")]
pub struct Spreads(BTreeMap<Condition, f32>);

impl Spreads {
    /// Takes note of a condition with this sum of squared distances; nothing with too few cells.
    pub fn add(&mut self, condition: &Condition, n_cells: usize, squares: f64) {
        if n_cells >= FEWEST_CELLS && squares > 0.0 {
            self.0.insert(condition.clone(), (squares / (n_cells - 1) as f64).sqrt() as f32);
        }
    }

    /// The spread to expect: that of the condition if it was measured, otherwise that of control cells with its covariates, as
    /// perturbations move cells far more than they spread them; nothing if neither is known.
    pub fn expected(&self, condition: &Condition) -> Option<f32> {
        let control = || Condition::new(Perturbation::control(), condition.covariates.clone());
        self.0.get(condition).or_else(|| self.0.get(&control())).copied()
    }
}

impl From<Vec<(Condition, f32)>> for Spreads {
    fn from(list: Vec<(Condition, f32)>) -> Self {
        Self(list.into_iter().collect())
    }
}

impl From<Spreads> for Vec<(Condition, f32)> {
    fn from(spreads: Spreads) -> Self {
        spreads.0.into_iter().collect()
    }
}

/// Moves the cells of each member of a model so that their mean is (1 − a)·(the members' mean) + a·(the estimate), and
/// stretches them around it so that their spread is (the members')^(1 − a)·(the expected)^a. The mean of the members is that
/// of their means, their spread the geometric mean of theirs: what they disagree on is not taken for spread.
pub(super) struct Anchor {
    members: Vec<Member>,
    /// The mean that all are given, from the estimate, in flow coordinates: (n_dims).
    mean: Array1<f32>,
}

struct Member {
    /// Where it puts cells: (n_dims).
    mean: Array1<f32>,
    stretch: f32,
}

impl Anchor {
    /// From cells that each member gives to a condition, in flow coordinates: (n_cells, n_dims).
    pub(super) fn measure(members: Vec<Array2<f32>>, guide: &Guide, condition: &Condition, share: f32) -> Self {
        let (n_members, n_dims) = (members.len() as f32, guide.n_dims());
        let measured: Vec<(Array1<f32>, f32)> =
            members.into_iter().map(|cells| mean_and_spread(cells, guide)).collect();
        let mut mean = Array1::zeros(n_dims);
        measured.iter().for_each(|(of_member, _)| mean += of_member);
        mean *= (1.0 - share) / n_members;
        // Logarithms of the spreads of members that have one.
        let logs: Vec<f32> = measured.iter().map(|(_, spread)| spread.ln()).filter(|log| log.is_finite()).collect();
        let common = logs.iter().sum::<f32>() / logs.len() as f32;
        let wanted = match guide.expected_spread(condition) {
            Some(expected) => ((1.0 - share) * common + share * expected.ln()).exp(),
            None => common.exp(),
        };
        let member = |(mean, spread): (Array1<f32>, f32)| Member {
            mean,
            stretch: if spread > 0.0 { wanted / spread } else { 1.0 },
        };
        Self { members: measured.into_iter().map(member).collect(), mean }
    }

    /// Cells of a member in flow coordinates → the same, moved: (n_cells, n_dims).
    pub(super) fn draw(&self, member: usize, cells: ArrayView2<f32>) -> Array2<f32> {
        let member = &self.members[member];
        (&cells - &member.mean) * member.stretch + &self.mean
    }
}

/// The mean of cells in flow coordinates, and how far they lie from it as principal components.
fn mean_and_spread(cells: Array2<f32>, guide: &Guide) -> (Array1<f32>, f32) {
    let n_dims = cells.ncols();
    let cells = cells.mapv_into(|value| value.clamp(-FURTHEST, FURTHEST));
    let mean = cells.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(n_dims));
    let here = guide.standard().restore((cells - &mean).view(), &Array1::zeros(n_dims));
    let variance = here.iter().map(|&gap| f64::from(gap).powi(2)).sum::<f64>() / here.nrows().max(1) as f64;
    (mean, variance.sqrt() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unmeasured_condition_is_expected_to_spread_like_its_controls() {
        let condition = |text: &str| Condition::parse(text, "control").unwrap();
        let mut spreads = Spreads::default();
        spreads.add(&condition("control | t=x"), 101, 900.0);
        spreads.add(&condition("A | t=x"), 26, 400.0);
        spreads.add(&condition("B | t=x"), 5, 400.0);
        for (text, expected) in
            [("control | t=x", Some(3.0)), ("A | t=x", Some(4.0)), ("B | t=x", Some(3.0)), ("A + B | t=y", None)]
        {
            assert_eq!(spreads.expected(&condition(text)), expected, "{text}");
        }
    }
}

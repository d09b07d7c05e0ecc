//! Mean effects of all conditions of one method, and the metrics over them.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;

use super::collapse::collapse_index;
use super::discrimination::{Norm, discrimination, logfc_rank};
use crate::metrics::outcome::Outcome;

/// What the metrics over conditions need to know of one condition of one method.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Conditions are held against others of the same method with the same covariates only.
    pub group: (String, BTreeMap<String, String>),
    /// Mean expression of real cells: (n_genes).
    pub real: Arc<Vec<f64>>,
    /// Mean expression of generated cells: (n_genes).
    pub generated: Vec<f64>,
    /// Mean expression of the training control cells: (n_genes).
    pub control: Arc<Vec<f64>>,
    /// Genes that bear the names of the perturbation's components: their own change gives the condition away.
    pub targets: Vec<usize>,
}

impl Profile {
    /// Changes from the control: real, generated.
    pub fn effects(&self) -> [Vec<f64>; 2] {
        let change = |means: &[f64]| means.iter().zip(self.control.iter()).map(|(mean, base)| mean - base).collect();
        [change(&self.real), change(&self.generated)]
    }
}

/// Names of the metrics over conditions.
const NAMES: [&str; 5] = [
    "discrimination_score_l1",
    "discrimination_score_l2",
    "discrimination_score_cosine",
    "perturbench_rank",
    "collapse_index",
];

/// Adds the metrics over conditions to the outcomes of the conditions.
pub fn score(profiles: &[Profile], outcomes: &mut [Outcome]) {
    let mut groups = BTreeMap::<&(String, BTreeMap<String, String>), Vec<usize>>::new();
    for (place, profile) in profiles.iter().enumerate() {
        groups.entry(&profile.group).or_default().push(place);
    }
    for members in groups.into_values() {
        if members.len() < 2 {
            let reason = "no other condition with the same covariates was evaluated to tell this one from";
            members.iter().for_each(|&place| NAMES.iter().for_each(|name| outcomes[place].leave_open(name, reason)));
            continue;
        }
        let group: Vec<&Profile> = members.iter().map(|&place| &profiles[place]).collect();
        let [real, generated]: [Vec<Vec<f64>>; 2] = {
            let (real, generated) = group.iter().map(|profile| profile.effects().into()).unzip();
            [real, generated]
        };
        let scores: Vec<_> = (0..group.len())
            .into_par_iter()
            .map(|own| {
                let targets = &group[own].targets;
                let norm = |norm: Norm| discrimination(norm, &real, &generated[own], own, targets);
                let scores = [norm(Norm::L1), norm(Norm::L2), norm(Norm::Cosine), logfc_rank(&group, own)];
                (scores, collapse_index(&real, &generated, own))
            })
            .collect();
        for (&place, (scores, collapse)) in members.iter().zip(scores) {
            NAMES.iter().zip(scores).for_each(|(name, score)| outcomes[place].keep(name, Ok(score)));
            outcomes[place].keep(NAMES[4], collapse);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(method: &str, real: &[f64], generated: &[f64]) -> Profile {
        Profile {
            group: (method.into(), BTreeMap::new()),
            real: Arc::new(real.to_vec()),
            generated: generated.to_vec(),
            control: Arc::new(vec![1.0; real.len()]),
            targets: Vec::new(),
        }
    }

    #[test]
    fn conditions_are_held_against_those_of_the_same_method_only() {
        let profiles = [
            profile("model", &[2.0, 1.0, 1.0], &[2.0, 1.0, 1.0]),
            profile("model", &[1.0, 2.0, 1.0], &[1.0, 2.0, 1.0]),
            profile("additive", &[2.0, 1.0, 1.0], &[1.0, 1.0, 2.0]),
        ];
        let mut outcomes = vec![Outcome::default(); 3];
        score(&profiles, &mut outcomes);
        for outcome in &outcomes[..2] {
            assert_eq!(outcome.values["discrimination_score_l1"], 1.0);
            assert_eq!(outcome.values["perturbench_rank"], 0.0);
            assert!(outcome.values["collapse_index"].abs() < 1e-12);
        }
        assert_eq!((outcomes[2].values.len(), outcomes[2].undefined.len()), (0, NAMES.len()));
    }
}

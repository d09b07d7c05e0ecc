//! What each perturbation does: pathways, strengths, and the share of cells that respond.

use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::programmes::{Activities, Programme, Shape};

/// A pathway moves many genes.
const PATHWAY: Shape = Shape { share: 0.08, loading: 0.55, rising: 0.65 };
/// What a perturbation does beside its pathways moves few genes, and less.
const OWN: Shape = Shape { share: 0.03, loading: 0.4, rising: 0.5 };
/// What two pathways, or two parts of a pair, do only together.
const JOINT: Shape = Shape { share: 0.06, loading: 0.55, rising: 0.65 };

/// One perturbation.
#[derive(Debug, Clone, PartialEq)]
pub struct Mechanism {
    /// The pathway that it targets.
    pub pathway: usize,
    /// Its activity there: positive activates, negative inhibits.
    pub activity: f64,
    /// A second pathway, moved weakly.
    pub side_pathway: usize,
    /// Its activity there; 0 where there is one pathway only.
    pub side_activity: f64,
    /// The share of cells that respond.
    pub penetrance: f64,
}

/// All perturbations, and where each programme stands in one list: pathways, own programmes of the perturbations,
/// joint programmes of two pathways, joint programmes of single pairs.
#[derive(Debug, Clone)]
pub struct Mechanisms {
    /// One per perturbation.
    pub singles: Vec<Mechanism>,
    /// Number of pathways.
    pub n_pathways: usize,
}

impl Mechanisms {
    /// Draws the mechanisms of some perturbations. Without a number of pathways, two share one on average, up to six pathways.
    pub fn draw(n_singles: usize, n_pathways: Option<usize>, rng: &mut ChaCha8Rng) -> Self {
        let n_pathways = n_pathways.unwrap_or_else(|| n_singles.div_ceil(2).clamp(1, 6));
        let mut order: Vec<usize> = (0..n_singles).collect();
        order.shuffle(rng);
        let mut incomplete: Vec<bool> = (0..n_singles).map(|single| single % 2 == 1).collect();
        incomplete.shuffle(rng);
        let mut singles = Vec::with_capacity(n_singles);
        for (position, incomplete) in order.into_iter().zip(incomplete) {
            let pathway = position % n_pathways;
            // Perturbations of one pathway push in one direction, so that they can saturate it.
            let sign = if pathway.is_multiple_of(2) { 1.0 } else { -1.0 };
            let side_pathway = (pathway + rng.random_range(1..n_pathways.max(2))) % n_pathways;
            let side_sign = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
            singles.push(Mechanism {
                pathway,
                activity: sign * rng.random_range(0.8..1.3),
                side_pathway,
                side_activity: if n_pathways == 1 { 0.0 } else { side_sign * rng.random_range(0.15..0.35) },
                penetrance: if incomplete { rng.random_range(0.7..0.95) } else { 1.0 },
            });
        }
        Self { singles, n_pathways }
    }

    /// The programme of the genes that one perturbation moves outside pathways.
    pub fn own(&self, single: usize) -> usize {
        self.n_pathways + single
    }

    /// The programme of the genes that two different pathways move together only.
    pub fn joint_of_pathways(&self, first: usize, second: usize) -> usize {
        let (low, high) = (first.min(second), first.max(second));
        self.n_pathways + self.singles.len() + high * (high - 1) / 2 + low
    }

    /// The programme of the genes that only one pair moves.
    pub fn joint_of_pair(&self, pair: usize) -> usize {
        self.n_pathways + self.singles.len() + self.n_pathways * (self.n_pathways - 1) / 2 + pair
    }

    /// Draws all programmes among the first `n_genes` genes.
    pub fn draw_programmes(&self, n_pairs: usize, n_genes: usize, rng: &mut ChaCha8Rng) -> Vec<Programme> {
        let shape = |programme: usize| match programme {
            pathway if pathway < self.n_pathways => PATHWAY,
            own if own < self.n_pathways + self.singles.len() => OWN,
            _ => JOINT,
        };
        (0..self.joint_of_pair(n_pairs)).map(|programme| Programme::draw(n_genes, shape(programme), rng)).collect()
    }

    /// What a responding cell of one perturbation does.
    pub fn activities(&self, single: usize) -> Activities {
        let mechanism = &self.singles[single];
        let mut activities = Activities(vec![(mechanism.pathway, mechanism.activity), (self.own(single), 1.0)]);
        if mechanism.side_activity != 0.0 {
            activities.0.push((mechanism.side_pathway, mechanism.side_activity));
        }
        activities
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn pathways_are_shared_and_programmes_have_places_of_their_own() {
        let mechanisms = Mechanisms::draw(8, None, &mut ChaCha8Rng::seed_from_u64(3));
        assert_eq!(mechanisms.n_pathways, 4);
        for pathway in 0..4 {
            assert_eq!(mechanisms.singles.iter().filter(|single| single.pathway == pathway).count(), 2);
        }
        assert!(mechanisms.singles.iter().all(|single| single.pathway != single.side_pathway));
        let mut places: Vec<usize> = (0..4).chain((0..8).map(|single| mechanisms.own(single))).collect();
        (1..4).for_each(|high| (0..high).for_each(|low| places.push(mechanisms.joint_of_pathways(low, high))));
        places.extend((0..28).map(|pair| mechanisms.joint_of_pair(pair)));
        assert_eq!(places, (0..4 + 8 + 6 + 28).collect::<Vec<_>>());
    }

    #[test]
    fn a_lone_perturbation_has_one_pathway() {
        let mechanisms = Mechanisms::draw(1, None, &mut ChaCha8Rng::seed_from_u64(3));
        assert_eq!(mechanisms.activities(0).0.len(), 2);
        assert_eq!(mechanisms.joint_of_pair(0), 2);
    }
}

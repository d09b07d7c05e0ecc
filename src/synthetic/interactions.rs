//! How the effect of a pair departs from the sum of its parts.

use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::design::Interactions;
use super::mechanisms::Mechanisms;
use super::programmes::{Activities, Programme};

/// The kind of an interaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// None: the pair is the sum of its parts.
    Additive,
    /// The pair does more than its parts, also in genes that neither part moves.
    Synergistic,
    /// The pair does less than its parts.
    Buffering,
    /// One part abolishes the effect of the other.
    Masking,
}

/// The interaction of one pair.
#[derive(Debug, Clone, PartialEq)]
pub struct Interaction {
    /// Its kind.
    pub kind: Kind,
    /// What is added to the sum of the parts.
    pub activities: Activities,
    /// Which of the two parts loses its effect, if the kind is masking.
    pub masked: Option<usize>,
}

/// A second perturbation of a saturated pathway adds only 15 % of its activity.
const SATURATION: f64 = 0.85;
/// A masked effect is reduced by 90 %.
const MASKING: f64 = 0.9;
/// Complementary pathways raise each other's activity by half,
const AMPLIFICATION: f64 = 0.5;
/// and move genes that neither moves alone.
const RECRUITMENT: f64 = 1.0;

/// What two different pathways do to each other.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Relation {
    Complementary,
    /// The lower-numbered pathway acts through the other, which masks it; or the reverse.
    Upstream {
        low: bool,
    },
    Independent,
}

/// Draws the interactions of all pairs.
pub fn draw(
    interactions: Interactions,
    mechanisms: &Mechanisms,
    pairs: &[(usize, usize)],
    programmes: &[Programme],
    n_genes: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<Interaction> {
    if interactions == Interactions::None {
        let none = Interaction { kind: Kind::Additive, activities: Activities::default(), masked: None };
        return vec![none; pairs.len()];
    }
    let n_pathways = mechanisms.n_pathways;
    let mut relations: Vec<Relation> = (0..n_pathways * (n_pathways - 1) / 2)
        .map(|position| match position % 3 {
            0 => Relation::Complementary,
            1 => Relation::Upstream { low: position % 2 == 1 },
            _ => Relation::Independent,
        })
        .collect();
    relations.shuffle(rng);
    let readable: Vec<Interaction> = pairs.iter().map(|&pair| readable(mechanisms, &relations, pair)).collect();
    if interactions == Interactions::Readable {
        return readable;
    }
    let size = |activities: &Activities| {
        let effect = activities.effect(programmes, &vec![1.0; programmes.len()], n_genes);
        effect.iter().map(|value| value * value).sum::<f64>().sqrt()
    };
    let mut dealt: Vec<(Kind, f64)> = readable.iter().map(|other| (other.kind, size(&other.activities))).collect();
    dealt.shuffle(rng);
    let pairs = pairs.iter().zip(dealt).enumerate();
    pairs
        .map(|(position, (&pair, (kind, wanted)))| {
            let mut interaction = hidden(mechanisms, pair, position, kind, rng);
            let raw = size(&interaction.activities);
            interaction.activities.0.iter_mut().for_each(|(_, activity)| *activity *= wanted / raw);
            interaction
        })
        .collect()
}

/// The interaction that follows from the pathways of the two parts.
fn readable(mechanisms: &Mechanisms, relations: &[Relation], (first, second): (usize, usize)) -> Interaction {
    let (a, b) = (&mechanisms.singles[first], &mechanisms.singles[second]);
    if a.pathway == b.pathway {
        let weaker = if a.activity.abs() < b.activity.abs() { a.activity } else { b.activity };
        let activities = Activities(vec![(a.pathway, -SATURATION * weaker)]);
        return Interaction { kind: Kind::Buffering, activities, masked: None };
    }
    let (low, high) = (a.pathway.min(b.pathway), a.pathway.max(b.pathway));
    match relations[high * (high - 1) / 2 + low] {
        Relation::Independent => Interaction { kind: Kind::Additive, activities: Activities::default(), masked: None },
        Relation::Complementary => {
            let together = (a.activity * b.activity).abs().sqrt();
            let activities = Activities(vec![
                (a.pathway, AMPLIFICATION * a.activity),
                (b.pathway, AMPLIFICATION * b.activity),
                (mechanisms.joint_of_pathways(low, high), RECRUITMENT * together),
            ]);
            Interaction { kind: Kind::Synergistic, activities, masked: None }
        }
        Relation::Upstream { low: low_is_upstream } => {
            let upstream = if low_is_upstream { low } else { high };
            let masked = if a.pathway == upstream { first } else { second };
            let mechanism = &mechanisms.singles[masked];
            let activities = Activities(vec![
                (mechanism.pathway, -MASKING * mechanism.activity),
                (mechanisms.own(masked), -MASKING),
            ]);
            Interaction { kind: Kind::Masking, activities, masked: Some(masked) }
        }
    }
}

/// An interaction of a given kind that does not follow from the pathways of the two parts; its size is still to be set.
fn hidden(
    mechanisms: &Mechanisms,
    (first, second): (usize, usize),
    position: usize,
    kind: Kind,
    rng: &mut ChaCha8Rng,
) -> Interaction {
    let mut activities = Activities::default();
    let mut masked = None;
    match kind {
        Kind::Additive => {}
        Kind::Buffering => {
            activities.add(&mechanisms.activities(first), -1.0);
            activities.add(&mechanisms.activities(second), -1.0);
        }
        Kind::Masking => {
            let part = if rng.random_bool(0.5) { first } else { second };
            activities.add(&mechanisms.activities(part), -1.0);
            masked = Some(part);
        }
        Kind::Synergistic => {
            activities.add(&mechanisms.activities(first), AMPLIFICATION);
            activities.add(&mechanisms.activities(second), AMPLIFICATION);
            activities.0.push((mechanisms.joint_of_pair(position), RECRUITMENT));
        }
    }
    Interaction { kind, activities, masked }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const N_GENES: usize = 1000;

    struct Drawn {
        mechanisms: Mechanisms,
        pairs: Vec<(usize, usize)>,
        interactions: Vec<Interaction>,
        effects: Vec<Vec<f64>>,
    }

    fn drawn(interactions: Interactions) -> Drawn {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let mechanisms = Mechanisms::draw(8, None, &mut rng);
        let pairs: Vec<(usize, usize)> = (0..8).flat_map(|b| (0..b).map(move |a| (a, b))).collect();
        let programmes = mechanisms.draw_programmes(pairs.len(), N_GENES, &mut rng);
        let interactions = draw(interactions, &mechanisms, &pairs, &programmes, N_GENES, &mut rng);
        let ones = vec![1.0; programmes.len()];
        let effects = interactions.iter().map(|i| i.activities.effect(&programmes, &ones, N_GENES)).collect();
        Drawn { mechanisms, pairs, interactions, effects }
    }

    fn sizes(drawn: &Drawn) -> Vec<f64> {
        let norm = |effect: &Vec<f64>| effect.iter().map(|value| value * value).sum::<f64>().sqrt();
        let mut sizes: Vec<f64> = drawn.effects.iter().map(norm).collect();
        sizes.sort_by(f64::total_cmp);
        sizes
    }

    /// The share of the interactions' sum of squares that the mean of the other pairs on the same pathways explains.
    fn explained_by_pathways(drawn: &Drawn) -> f64 {
        let pathways = |pair: usize| {
            let (a, b) = drawn.pairs[pair];
            let (a, b) = (drawn.mechanisms.singles[a].pathway, drawn.mechanisms.singles[b].pathway);
            (a.min(b), a.max(b))
        };
        let (mut residual, mut total) = (0.0, 0.0);
        for pair in 0..drawn.pairs.len() {
            let others: Vec<usize> =
                (0..drawn.pairs.len()).filter(|&other| other != pair && pathways(other) == pathways(pair)).collect();
            if others.is_empty() {
                continue;
            }
            for gene in 0..N_GENES {
                let mean = others.iter().map(|&other| drawn.effects[other][gene]).sum::<f64>() / others.len() as f64;
                residual += (drawn.effects[pair][gene] - mean).powi(2);
                total += drawn.effects[pair][gene].powi(2);
            }
        }
        1.0 - residual / total
    }

    #[test]
    fn readable_interactions_follow_from_pathways_and_hidden_ones_do_not() {
        let (readable, hidden) = (drawn(Interactions::Readable), drawn(Interactions::Hidden));
        let (explained, unexplained) = (explained_by_pathways(&readable), explained_by_pathways(&hidden));
        assert!(explained > 0.8, "{explained}");
        assert!(unexplained < 0.1, "{unexplained}");
    }

    #[test]
    fn hidden_interactions_have_the_kinds_and_sizes_of_readable_ones() {
        let (readable, hidden) = (drawn(Interactions::Readable), drawn(Interactions::Hidden));
        for (a, b) in sizes(&readable).iter().zip(sizes(&hidden)) {
            assert!((a - b).abs() < 1e-9 * (1.0 + a), "{a} {b}");
        }
        for kind in [Kind::Additive, Kind::Synergistic, Kind::Buffering, Kind::Masking] {
            let count = |drawn: &Drawn| drawn.interactions.iter().filter(|other| other.kind == kind).count();
            assert_eq!(count(&readable), count(&hidden));
            assert!(count(&readable) >= 4, "{kind:?}: {}", count(&readable));
        }
    }

    #[test]
    fn without_interactions_nothing_is_added() {
        assert!(drawn(Interactions::None).interactions.iter().all(|other| other.activities.0.is_empty()));
    }

    #[test]
    fn a_masked_part_is_one_of_the_pair_and_loses_nine_tenths() {
        let drawn = drawn(Interactions::Readable);
        for (interaction, &(a, b)) in drawn.interactions.iter().zip(&drawn.pairs) {
            let Some(masked) = interaction.masked else { continue };
            assert!(masked == a || masked == b);
            let mechanism = &drawn.mechanisms.singles[masked];
            assert!(interaction.activities.0.contains(&(mechanism.pathway, -MASKING * mechanism.activity)));
        }
    }
}

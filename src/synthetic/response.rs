//! What perturbations do in cells: all mechanisms, pairs and interactions of a screen.

use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::assignment::{cell_type_shares, choose_pairs};
use super::design::ScreenDesign;
use super::interactions::{self, Interaction};
use super::mechanisms::Mechanisms;
use super::names;
use super::programmes::{Activities, Programme};
use super::truth::{PairTruth, SingleTruth, Truth};
use crate::conditions::Perturbation;

/// The spread of the cell types' sensitivity to a programme, on the natural logarithm.
const SENSITIVITY_SPREAD: f64 = 0.35;

/// What happens in the perturbed cells.
pub struct Response {
    mechanisms: Mechanisms,
    pairs: Vec<(usize, usize)>,
    interactions: Vec<Interaction>,
    /// All programmes that perturbations move.
    pub programmes: Vec<Programme>,
    /// How strongly each cell type follows each programme: (n_cell_types, n_programmes).
    pub sensitivity: Vec<Vec<f64>>,
}

impl Response {
    /// Draws all mechanisms, pairs and interactions.
    pub fn draw(design: &ScreenDesign, n_nuclear: usize, rng: &mut ChaCha8Rng) -> Self {
        let mechanisms = Mechanisms::draw(design.singles, design.pathways, rng);
        let pairs = choose_pairs(design.singles, design.pairs, rng);
        let programmes = mechanisms.draw_programmes(pairs.len(), n_nuclear, rng);
        // A stream of their own: the same seed gives the same singles and controls, whatever the interactions.
        let mut stream = ChaCha8Rng::seed_from_u64(design.seed);
        stream.set_stream(u64::MAX);
        let kinds = design.interactions;
        let interactions = interactions::draw(kinds, &mechanisms, &pairs, &programmes, n_nuclear, &mut stream);
        let mut sensitivity = || {
            let normal: f64 = StandardNormal.sample(rng);
            (SENSITIVITY_SPREAD * normal).exp()
        };
        let sensitivity =
            (0..design.cell_types).map(|_| (0..programmes.len()).map(|_| sensitivity()).collect()).collect();
        Self { mechanisms, pairs, interactions, programmes, sensitivity }
    }

    /// The parts of a condition, and the interaction if it is a pair.
    fn parts(&self, condition: usize) -> (Vec<usize>, Option<&Interaction>) {
        let n_singles = self.mechanisms.singles.len();
        match condition {
            0 => (Vec::new(), None),
            single if single <= n_singles => (vec![single - 1], None),
            pair => {
                let pair = pair - 1 - n_singles;
                (vec![self.pairs[pair].0, self.pairs[pair].1], Some(&self.interactions[pair]))
            }
        }
    }

    /// What one cell of a condition does: it responds to each part by chance, and the parts interact if it responds to
    /// both.
    pub fn draw_activities(&self, condition: usize, rng: &mut ChaCha8Rng) -> Activities {
        let (parts, interaction) = self.parts(condition);
        let mut activities = Activities::default();
        let mut responds_to_all = true;
        for part in parts {
            if rng.random_bool(self.mechanisms.singles[part].penetrance) {
                activities.add(&self.mechanisms.activities(part), 1.0);
            } else {
                responds_to_all = false;
            }
        }
        if let Some(interaction) = interaction.filter(|_| responds_to_all) {
            activities.add(&interaction.activities, 1.0);
        }
        activities
    }

    /// What the cells of a condition do on average.
    fn mean_activities(&self, condition: usize) -> Activities {
        let (parts, interaction) = self.parts(condition);
        let mut activities = Activities::default();
        let mut all = 1.0;
        for part in parts {
            let penetrance = self.mechanisms.singles[part].penetrance;
            activities.add(&self.mechanisms.activities(part), penetrance);
            all *= penetrance;
        }
        if let Some(interaction) = interaction {
            activities.add(&interaction.activities, all);
        }
        activities
    }

    /// What the screen is made of.
    pub fn truth(&self, design: &ScreenDesign, n_nuclear: usize) -> Truth {
        let shares = cell_type_shares(design.cell_types);
        let mean_sensitivity: Vec<f64> = (0..self.programmes.len())
            .map(|programme| self.sensitivity.iter().zip(&shares).map(|(of, share)| share * of[programme]).sum())
            .collect();
        // Mitochondrial genes come last and respond to nothing.
        let mut effects = Array2::zeros((design.genes, design.n_conditions()));
        for condition in 0..design.n_conditions() {
            let effect = self.mean_activities(condition).effect(&self.programmes, &mean_sensitivity, n_nuclear);
            effects.column_mut(condition).iter_mut().zip(effect).for_each(|(slot, value)| *slot = value as f32);
        }
        let singles = self.mechanisms.singles.iter().enumerate().map(|(position, mechanism)| SingleTruth {
            perturbation: names::perturbation(position),
            pathway: mechanism.pathway,
            activity: mechanism.activity,
            side_pathway: mechanism.side_pathway,
            side_activity: mechanism.side_activity,
            penetrance: mechanism.penetrance,
        });
        let pairs = self.pairs.iter().zip(&self.interactions).map(|(&(a, b), interaction)| {
            let effect = interaction.activities.effect(&self.programmes, &mean_sensitivity, n_nuclear);
            PairTruth {
                perturbation: label(&[a, b]),
                components: [a, b].map(names::perturbation),
                pathways: [a, b].map(|part| self.mechanisms.singles[part].pathway),
                kind: interaction.kind,
                masked: interaction.masked.map(names::perturbation),
                interaction_norm: effect.iter().map(|value| value * value).sum::<f64>().sqrt(),
            }
        });
        Truth {
            design: design.clone(),
            singles: singles.collect(),
            pairs: pairs.collect(),
            conditions: (0..design.n_conditions()).map(|condition| label(&self.parts(condition).0)).collect(),
            effects,
        }
    }
}

/// The canonical label: `control`, `drug A`, `drug A+drug B`.
fn label(parts: &[usize]) -> String {
    let mut names: Vec<String> = parts.iter().map(|&part| names::perturbation(part)).collect();
    names.sort();
    if names.is_empty() { Perturbation::CONTROL.to_owned() } else { names.join("+") }
}

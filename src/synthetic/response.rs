//! What perturbations do in cells: all mechanisms, pairs and interactions of a screen.

use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::assignment::{cell_type_shares, choose_pairs};
use super::design::ScreenDesign;
use super::doses::{self, HillCurve, doses};
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
    /// Where a screen has doses: what they are, each single's curve, and the doses of each pair's parts.
    doses: Option<Doses>,
    /// All programmes that perturbations move.
    pub programmes: Vec<Programme>,
    /// How strongly each cell type follows each programme: (n_cell_types, n_programmes).
    pub sensitivity: Vec<Vec<f64>>,
}

/// The doses of a screen.
struct Doses {
    values: Vec<f64>,
    curves: Vec<HillCurve>,
    of_pairs: Vec<[usize; 2]>,
}

impl Doses {
    fn draw(design: &ScreenDesign, rng: &mut ChaCha8Rng) -> Self {
        let curves = (0..design.singles).map(|_| HillCurve::draw(rng)).collect();
        let of_pairs = (0..design.pairs).map(|_| [0; 2].map(|_| rng.random_range(0..design.doses))).collect();
        Self { values: doses(design.doses), curves, of_pairs }
    }
}

/// A single as a part of a condition.
#[derive(Clone, Copy)]
struct Part {
    single: usize,
    /// In uM.
    dose: Option<f64>,
    /// The share of its full activity.
    share: f64,
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
        // And another, for the same reason.
        let mut stream = ChaCha8Rng::seed_from_u64(design.seed);
        stream.set_stream(u64::MAX - 1);
        let doses = (design.doses > 1).then(|| Doses::draw(design, &mut stream));
        let mut sensitivity = || {
            let normal: f64 = StandardNormal.sample(rng);
            (SENSITIVITY_SPREAD * normal).exp()
        };
        let sensitivity =
            (0..design.cell_types).map(|_| (0..programmes.len()).map(|_| sensitivity()).collect()).collect();
        Self { mechanisms, pairs, interactions, doses, programmes, sensitivity }
    }

    /// A single at one of the doses, counted from 0.
    fn part(&self, single: usize, dose: usize) -> Part {
        match &self.doses {
            None => Part { single, dose: None, share: 1.0 },
            Some(doses) => {
                let value = doses.values[dose];
                Part { single, dose: Some(value), share: doses.curves[single].at(value) }
            }
        }
    }

    fn parts_of_pair(&self, pair: usize) -> [Part; 2] {
        let doses = self.doses.as_ref().map_or([0; 2], |doses| doses.of_pairs[pair]);
        [self.part(self.pairs[pair].0, doses[0]), self.part(self.pairs[pair].1, doses[1])]
    }

    /// The parts of a condition, and the interaction if it is a pair.
    fn parts(&self, condition: usize) -> (Vec<Part>, Option<&Interaction>) {
        let n_doses = self.doses.as_ref().map_or(1, |doses| doses.values.len());
        let n_singles = self.mechanisms.singles.len() * n_doses;
        match condition {
            0 => (Vec::new(), None),
            single if single <= n_singles => (vec![self.part((single - 1) / n_doses, (single - 1) % n_doses)], None),
            pair => {
                let pair = pair - 1 - n_singles;
                (self.parts_of_pair(pair).to_vec(), Some(&self.interactions[pair]))
            }
        }
    }

    /// What one cell of a condition does: it responds to each part by chance, and the parts interact if it responds to
    /// both.
    pub fn draw_activities(&self, condition: usize, rng: &mut ChaCha8Rng) -> Activities {
        let (parts, interaction) = self.parts(condition);
        let mut activities = Activities::default();
        let (mut responds_to_all, mut both) = (true, 1.0);
        for part in parts {
            both *= part.share;
            if rng.random_bool(self.mechanisms.singles[part.single].penetrance) {
                activities.add(&self.mechanisms.activities(part.single), part.share);
            } else {
                responds_to_all = false;
            }
        }
        if let Some(interaction) = interaction.filter(|_| responds_to_all) {
            activities.add(&interaction.activities, both);
        }
        activities
    }

    /// What the cells of a condition do on average.
    fn mean_activities(&self, condition: usize) -> Activities {
        let (parts, interaction) = self.parts(condition);
        let mut activities = Activities::default();
        let mut all = 1.0;
        for part in parts {
            let penetrance = self.mechanisms.singles[part.single].penetrance;
            activities.add(&self.mechanisms.activities(part.single), penetrance * part.share);
            all *= penetrance * part.share;
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
            half_dose: self.doses.as_ref().map(|doses| doses.curves[position].half_dose),
            power: self.doses.as_ref().map(|doses| doses.curves[position].power),
        });
        let pairs = self.pairs.iter().zip(&self.interactions).enumerate().map(|(pair, (&(a, b), interaction))| {
            let parts = self.parts_of_pair(pair);
            let effect = interaction.activities.effect(&self.programmes, &mean_sensitivity, n_nuclear);
            PairTruth {
                perturbation: label(&parts),
                components: parts.map(|part| label(&[part])),
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

/// The canonical label: `control`, `drug A`, `drug A+drug B`, `drug A @ 1 uM+drug B @ 10 uM`.
fn label(parts: &[Part]) -> String {
    let mut names: Vec<String> =
        parts.iter().map(|part| doses::label(names::perturbation(part.single), part.dose)).collect();
    names.sort();
    if names.is_empty() { Perturbation::CONTROL.to_owned() } else { names.join("+") }
}

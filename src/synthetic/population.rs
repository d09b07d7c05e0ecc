//! The cells before any perturbation: genes, cell types, batches, the state of a cell, library sizes.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::assignment::Assigned;
use super::design::ScreenDesign;
use super::names::MITOCHONDRIAL;
use super::programmes::{Programme, Shape};

// Numbers chosen by us so that a default screen has the library sizes, zeros and mitochondrial shares of a droplet
// screen restricted to 2,000 genes.

/// The spread of genes' expression, on the natural logarithm,
const GENE_SPREAD: f64 = 2.3;
/// cut this many spreads above the median, so that no gene takes more than about a hundredth of all counts.
const GENE_CUT: f64 = 2.2;
/// The median library size, before the state of the cell adds to it, of a panel of `FULL_PANEL` genes or more, in counts.
const MEDIAN_LIBRARY: f64 = 3200.0;
/// Fewer genes than these capture proportionally fewer counts.
const FULL_PANEL: f64 = 2000.0;
/// The spread of library sizes, on the natural logarithm.
const LIBRARY_SPREAD: f64 = 0.35;
/// The median share of mitochondrial counts.
const MITOCHONDRIAL_SHARE: f64 = 0.028;
/// Its spread, on the natural logarithm.
const MITOCHONDRIAL_SPREAD: f64 = 0.3;
/// The share of dying cells: few counts, many of them mitochondrial.
const DYING: f64 = 0.02;
/// The spread of batch effects per gene, on the natural logarithm.
const BATCH_SPREAD: f64 = 0.08;
/// What cell types of one lineage share.
const LINEAGE: Shape = Shape { share: 0.08, loading: 0.9, rising: 0.6 };
/// What marks one cell type.
const CELL_TYPE: Shape = Shape { share: 0.07, loading: 1.2, rising: 0.75 };
/// The two phases of the cell cycle.
const CELL_CYCLE: Shape = Shape { share: 0.03, loading: 0.8, rising: 0.9 };
/// Continuous states, such as activation and stress.
const STATE: Shape = Shape { share: 0.08, loading: 0.35, rising: 0.5 };
/// Number of continuous states.
const N_STATES: usize = 4;

/// Draws a standard normal number below a cut.
fn normal_below(cut: f64, rng: &mut ChaCha8Rng) -> f64 {
    loop {
        let normal = StandardNormal.sample(rng);
        if normal < cut {
            return normal;
        }
    }
}

/// Draws normal numbers.
fn normals(n: usize, spread: f64, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let mut draw = || -> f64 { StandardNormal.sample(rng) };
    (0..n).map(|_| spread * draw()).collect()
}

/// Everything about unperturbed cells.
pub struct Population {
    /// Log share of expected nuclear counts per cell type: (n_cell_types, n_nuclear).
    log_share: Vec<Vec<f64>>,
    /// Log effect per batch: (n_batches, n_nuclear).
    batch_effects: Vec<Vec<f64>>,
    /// The share of cycling cells per cell type.
    cycling: Vec<f64>,
    cell_cycle: [Programme; 2],
    states: Vec<Programme>,
    /// Shares of the mitochondrial genes among mitochondrial counts.
    mitochondrial: Vec<f64>,
    median_library: f64,
    /// Negative binomial dispersion: (n_genes).
    pub dispersion: Vec<f64>,
}

impl Population {
    /// Draws everything that all cells have in common.
    pub fn draw(design: &ScreenDesign, n_nuclear: usize, rng: &mut ChaCha8Rng) -> Self {
        let base = (0..n_nuclear).map(|_| GENE_SPREAD * normal_below(GENE_CUT, rng)).collect::<Vec<f64>>();
        // Lymphoid and myeloid cells, say.
        let lineages: Vec<Programme> = (0..2).map(|_| Programme::draw(n_nuclear, LINEAGE, rng)).collect();
        let mut log_share = Vec::with_capacity(design.cell_types);
        for cell_type in 0..design.cell_types {
            let mut expression = base.clone();
            lineages[usize::from(cell_type % 6 > 2)].add_to(1.0, &mut expression);
            Programme::draw(n_nuclear, CELL_TYPE, rng).add_to(1.0, &mut expression);
            let total = expression.iter().map(|value| value.exp()).sum::<f64>().ln();
            expression.iter_mut().for_each(|value| *value -= total);
            log_share.push(expression);
        }
        let batch_effects = (0..design.batches).map(|_| normals(n_nuclear, BATCH_SPREAD, rng)).collect();
        let cycling = (0..design.cell_types).map(|_| rng.random_range(0.05..0.35)).collect();
        let cell_cycle = std::array::from_fn(|_| Programme::draw(n_nuclear, CELL_CYCLE, rng));
        let states = (0..N_STATES).map(|_| Programme::draw(n_nuclear, STATE, rng)).collect();
        let weights: Vec<f64> = normals(MITOCHONDRIAL.len(), 0.6, rng).into_iter().map(f64::exp).collect();
        let total: f64 = weights.iter().sum();
        let mitochondrial: Vec<f64> = weights.into_iter().map(|weight| weight / total).collect();
        let median_library = MEDIAN_LIBRARY * (design.genes as f64 / FULL_PANEL).min(1.0);

        // Rare genes vary more between cells than abundant ones, as in data with unique molecular identifiers.
        let noise = normals(design.genes, 0.3, rng);
        let dispersion = |(gene, noise): (usize, f64)| {
            let mean = match gene.checked_sub(n_nuclear) {
                None => log_share.iter().map(|of| of[gene].exp()).sum::<f64>() / log_share.len() as f64,
                Some(gene) => MITOCHONDRIAL_SHARE * mitochondrial[gene],
            };
            (0.15 + 0.1 / (median_library * mean + 0.2)) * noise.exp()
        };
        let dispersion = noise.into_iter().enumerate().map(dispersion).collect();
        Self { log_share, batch_effects, cycling, cell_cycle, states, mitochondrial, median_library, dispersion }
    }

    /// Draws the state of a cell: log share of expected nuclear counts (n_nuclear).
    pub fn log_expression(&self, cell: &Assigned, rng: &mut ChaCha8Rng) -> Vec<f64> {
        let mut expression = self.log_share[cell.cell_type].clone();
        expression.iter_mut().zip(&self.batch_effects[cell.batch]).for_each(|(value, effect)| *value += effect);
        if rng.random_bool(self.cycling[cell.cell_type]) {
            let phase = rng.random_range(0.0..std::f64::consts::TAU);
            self.cell_cycle[0].add_to(phase.sin().max(0.0), &mut expression);
            self.cell_cycle[1].add_to((phase - 1.5).sin().max(0.0), &mut expression);
        }
        for state in &self.states {
            state.add_to(StandardNormal.sample(rng), &mut expression);
        }
        expression
    }

    /// Draws the library size and turns log shares (n_nuclear) into expected counts of all genes (n_genes).
    pub fn scale_to_counts(&self, expression: &mut Vec<f64>, rng: &mut ChaCha8Rng) {
        let dying = rng.random_bool(DYING);
        let (size, mitochondrial): (f64, f64) = (StandardNormal.sample(rng), StandardNormal.sample(rng));
        let library = self.median_library * (LIBRARY_SPREAD * size).exp() * if dying { 0.35 } else { 1.0 };
        let share = match dying {
            true => rng.random_range(0.1..0.3),
            false => MITOCHONDRIAL_SHARE * (MITOCHONDRIAL_SPREAD * mitochondrial).exp(),
        };
        let nuclear = library * (1.0 - share);
        expression.iter_mut().for_each(|value| *value = nuclear * value.exp());
        expression.extend(self.mitochondrial.iter().map(|part| library * share * part));
    }
}

//! From a design to cells with counts.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::assignment::{Assigned, assign};
use super::counts::negative_binomial;
use super::design::ScreenDesign;
use super::names::{self, MITOCHONDRIAL};
use super::population::Population;
use super::response::Response;
use super::truth::Truth;
use crate::Result;
use crate::cells::{Annotations, Cells, Column, SparseMatrix};

/// A simulated screen.
#[derive(Debug, Clone)]
pub struct Screen {
    /// The cells: `x` holds raw counts, `obs` the columns `perturbation`, `cell_type` and `batch`.
    pub cells: Cells,
    /// What they are made of; stored in the cells, too.
    pub truth: Truth,
}

/// Simulates a screen. The same design gives the same screen, whatever the number of threads.
///
/// # Errors
/// Those of [`ScreenDesign::check`].
pub fn simulate(design: &ScreenDesign) -> Result<Screen> {
    design.check()?;
    let n_nuclear = design.genes - MITOCHONDRIAL.len();
    let mut rng = ChaCha8Rng::seed_from_u64(design.seed);
    let response = Response::draw(design, n_nuclear, &mut rng);
    let population = Population::draw(design, n_nuclear, &mut rng);
    let assigned = assign(design, &mut rng);
    let batches: Vec<usize> = assigned.iter().map(|cell| cell.batch).collect();
    let barcodes = names::barcodes(&batches, &mut rng);
    let truth = response.truth(design, n_nuclear);

    let rows: Vec<Vec<(u32, f32)>> = assigned
        .par_iter()
        .enumerate()
        .map(|(position, cell)| {
            // A stream of its own for every cell: the order in which threads take them does not matter.
            let mut rng = ChaCha8Rng::seed_from_u64(design.seed);
            rng.set_stream(1 + position as u64);
            draw_cell(cell, &response, &population, &mut rng)
        })
        .collect();

    let mut cells = Cells {
        x: SparseMatrix::from_rows(design.genes, rows),
        obs: Annotations::new(barcodes),
        var: Annotations::new(names::genes(design.genes)),
        ..Cells::default()
    };
    let column =
        |name: &dyn Fn(&Assigned) -> String| Column::categorical(&assigned.iter().map(name).collect::<Vec<_>>());
    cells.obs.set("perturbation", column(&|cell| truth.conditions[cell.condition].clone()));
    cells.obs.set("cell_type", column(&|cell| names::cell_type(cell.cell_type)));
    cells.obs.set("batch", column(&|cell| format!("batch {}", cell.batch + 1)));
    truth.store(&mut cells)?;
    Ok(Screen { cells, truth })
}

/// Draws the counts of one cell: (gene, count) of the genes with counts.
fn draw_cell(cell: &Assigned, response: &Response, population: &Population, rng: &mut ChaCha8Rng) -> Vec<(u32, f32)> {
    let mut expected = population.log_expression(cell, rng);
    let sensitivity = &response.sensitivity[cell.cell_type];
    for &(programme, activity) in &response.draw_activities(cell.condition, rng).0 {
        response.programmes[programme].add_to(activity * sensitivity[programme], &mut expected);
    }
    population.scale_to_counts(&mut expected, rng);
    let counts = expected.iter().zip(&population.dispersion).enumerate();
    counts
        .filter_map(|(gene, (&mean, &dispersion))| {
            let count = negative_binomial(mean, dispersion, rng);
            (count > 0).then_some((gene as u32, count as f32))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Interactions, Kind, PairTruth, SingleTruth};
    use super::*;

    fn small(interactions: Interactions) -> ScreenDesign {
        ScreenDesign {
            cells: 1500,
            genes: 300,
            singles: 4,
            pairs: 6,
            cell_types: 2,
            interactions,
            ..Default::default()
        }
    }

    fn column(screen: &Screen, condition: &str) -> Vec<f64> {
        let at = screen.truth.conditions.iter().position(|name| name == condition).unwrap();
        screen.truth.effects.column(at).iter().map(|&value| f64::from(value)).collect()
    }

    /// Size of what a pair does beyond the sum of its parts, relative to the sum, per pair.
    fn departures(screen: &Screen) -> Vec<f64> {
        let norm = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>().sqrt();
        let departure = |pair: &PairTruth| {
            let [a, b] = [0, 1].map(|part| column(screen, &pair.components[part]));
            let sum: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
            let rest: Vec<f64> =
                column(screen, &pair.perturbation).iter().zip(&sum).map(|(both, sum)| both - sum).collect();
            norm(&rest) / norm(&sum)
        };
        screen.truth.pairs.iter().map(departure).collect()
    }

    #[test]
    fn pairs_are_the_sum_of_their_parts_only_without_interactions() {
        let additive = departures(&simulate(&small(Interactions::None)).unwrap());
        assert!(additive.iter().all(|&departure| departure < 1e-6), "{additive:?}");
        for interactions in [Interactions::Readable, Interactions::Hidden] {
            let screen = simulate(&small(interactions)).unwrap();
            for (pair, departure) in screen.truth.pairs.iter().zip(departures(&screen)) {
                assert_eq!(pair.kind == Kind::Additive, departure < 1e-6, "{pair:?} {departure}");
                assert!(!(1e-6..=0.15).contains(&departure), "{pair:?} {departure}");
            }
        }
    }

    #[test]
    fn interactions_change_nothing_but_pairs() {
        let [none, hidden] = [Interactions::None, Interactions::Hidden].map(|kind| simulate(&small(kind)).unwrap());
        let labels = none.cells.obs.texts("obs", "perturbation").unwrap();
        let (pairs, others): (Vec<usize>, Vec<usize>) = (0..labels.len()).partition(|&row| labels[row].contains('+'));
        assert_eq!(none.cells.x.select_rows(&others), hidden.cells.x.select_rows(&others));
        assert_ne!(none.cells.x.select_rows(&pairs), hidden.cells.x.select_rows(&pairs));
    }

    #[test]
    fn the_number_of_threads_does_not_change_the_screen() {
        let with = |n_threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            pool.install(|| simulate(&small(Interactions::Readable)).unwrap())
        };
        let (one, three) = (with(1), with(3));
        assert_eq!((one.cells.x, one.cells.obs, one.truth), (three.cells.x, three.cells.obs, three.truth));
        let other = simulate(&ScreenDesign { seed: 1, ..small(Interactions::Readable) }).unwrap();
        assert_ne!(with(1).cells.x, other.cells.x);
    }

    #[test]
    fn counts_show_the_true_effect() {
        let design = ScreenDesign {
            cells: 4000,
            genes: 200,
            singles: 1,
            pairs: 0,
            cell_types: 1,
            batches: 1,
            ..Default::default()
        };
        let screen = simulate(&design).unwrap();
        assert_eq!(screen.truth.singles[0].penetrance, 1.0);
        let labels = screen.cells.obs.texts("obs", "perturbation").unwrap();
        let mean = |name: &str| {
            let rows: Vec<usize> = (0..labels.len()).filter(|&row| labels[row] == name).collect();
            screen.cells.x.column_means(&rows)
        };
        let (control, drug) = (mean("control"), mean("drug A"));
        let truth = |gene: usize| f64::from(screen.truth.effects[[gene, 1]]);
        let error = |gene: usize| ((drug[gene] / control[gene]).ln() - truth(gene)).abs();
        let (moved, others): (Vec<usize>, Vec<usize>) =
            (0..200).filter(|&gene| control[gene] > 1.0).partition(|&gene| truth(gene) != 0.0);
        let mean = |genes: &[usize], of: &dyn Fn(usize) -> f64| {
            genes.iter().map(|&gene| of(gene)).sum::<f64>() / genes.len() as f64
        };
        assert!(moved.len() >= 3 && others.len() > 30, "{} {}", moved.len(), others.len());
        assert!(mean(&moved, &|gene| truth(gene).abs()) > 0.25);
        // 480 control cells with a coefficient of variation near 1 leave an error near 0.05.
        assert!(mean(&moved, &error) < 0.08 && mean(&others, &error) < 0.06);
    }

    #[test]
    fn zeros_library_sizes_and_mitochondrial_shares_are_those_of_a_droplet_screen() {
        let screen = simulate(&ScreenDesign { cells: 1000, ..Default::default() }).unwrap();
        let x = &screen.cells.x;
        let zeros = 1.0 - x.n_stored() as f64 / (1000.0 * 2000.0);
        assert!((0.6..0.9).contains(&zeros), "{zeros}");
        let mut sums = x.row_sums();
        let mitochondrial = |row: usize| {
            let (genes, counts) = x.row(row);
            let of =
                genes.iter().zip(counts).filter(|&(&gene, _)| gene >= 2000 - 13).map(|(_, &count)| f64::from(count));
            of.sum::<f64>() / sums[row]
        };
        let mut shares: Vec<f64> = (0..1000).map(mitochondrial).collect();
        shares.sort_by(f64::total_cmp);
        sums.sort_by(f64::total_cmp);
        assert!((3000.0..5000.0).contains(&sums[500]), "{}", sums[500]);
        assert!((0.02..0.04).contains(&shares[500]) && shares[999] > 0.1, "{} {}", shares[500], shares[999]);
        assert!(x.values().iter().all(|value| value.fract() == 0.0 && *value > 0.0));
    }

    #[test]
    fn doses_leave_controls_as_they_are_and_rise_by_their_curves() {
        let plain = simulate(&small(Interactions::Readable)).unwrap();
        let dosed = simulate(&ScreenDesign { doses: 3, ..small(Interactions::Readable) }).unwrap();
        assert_eq!(dosed.truth.conditions.len(), 1 + 4 * 3 + 6);
        assert_eq!(dosed.truth.conditions[1..4], ["drug A @ 0.01 uM", "drug A @ 1 uM", "drug A @ 100 uM"]);
        let pair = &dosed.truth.pairs[0];
        assert!(pair.perturbation.starts_with("drug A @ ") && pair.components[1].starts_with("drug B @ "));
        // Mechanisms are the same; a dose has a share of their full effect.
        let (full, single) = (column(&plain, "drug B"), &dosed.truth.singles[1]);
        let share = |dose: f64| {
            let power = dose.powf(single.power.unwrap());
            power / (power + single.half_dose.unwrap().powf(single.power.unwrap()))
        };
        for (label, dose) in [("drug B @ 0.01 uM", 0.01), ("drug B @ 1 uM", 1.0), ("drug B @ 100 uM", 100.0)] {
            let found = column(&dosed, label);
            assert!(found.iter().zip(&full).all(|(found, full)| (found - share(dose) * full).abs() < 1e-6), "{label}");
        }
        assert!(share(0.01) < 0.35 && share(100.0) > 0.65);
        let parameters = serde_json::to_string(&plain.truth.design).unwrap();
        assert!(!parameters.contains("doses"), "{parameters}");
    }

    #[test]
    fn the_truth_lies_in_the_file() {
        let screen = simulate(&small(Interactions::Readable)).unwrap();
        let simulation = screen.cells.uns["scflow"].get("simulation").unwrap();
        let text = |key: &str| simulation.get(key).unwrap().as_text().unwrap();
        assert_eq!(serde_json::from_str::<ScreenDesign>(text("parameters")).unwrap(), screen.truth.design);
        assert_eq!(serde_json::from_str::<Vec<SingleTruth>>(text("singles")).unwrap().len(), 4);
        let pairs: Vec<PairTruth> = serde_json::from_str(text("pairs")).unwrap();
        assert_eq!(pairs[0].perturbation, "drug A+drug B");
        assert_eq!(screen.cells.varm[super::super::EFFECTS_KEY].dim(), (300, 11));
    }
}

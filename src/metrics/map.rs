//! Real and generated cells side by side on one map.

use ndarray::{Array2, Axis};

use super::distances::choose;
use super::evaluation::Evaluation;
use super::predicted::Predicted;
use crate::Result;
use crate::conditions::Condition;
use crate::embedding::fuzzy::FuzzyGraph;
use crate::embedding::neighbors::Neighbors;
use crate::embedding::umap::{UmapParams, umap};
use crate::prepared::Prepared;

/// At most this many cells are drawn on the map.
const MOST_CELLS: usize = 6000;
const N_NEIGHBORS: usize = 15;

/// A map: one entry per drawn cell.
pub struct CellMap {
    /// `real`, `generated` or `control`.
    pub kinds: Vec<&'static str>,
    /// The condition.
    pub conditions: Vec<Condition>,
    /// Positions: (n_cells, 2).
    pub positions: Array2<f32>,
    /// Leiden label; the classifier's for generated cells and for real cells that were not clustered.
    pub labels: Vec<usize>,
}

/// Draws real cells of the predicted conditions, training controls and generated cells, a third of the places for each
/// if there are more than fit, and lays them out together.
///
/// # Errors
/// Those of the neighbours, the layout and the classifier.
pub fn draw(truth: &Prepared, predicted: &Predicted, evaluation: &Evaluation, seed: u64) -> Result<CellMap> {
    let groups = predicted.rows_by_condition();
    let held_out = truth.rows_by_condition(false);
    let is_control = |row: usize| truth.conditions[row].perturbation.is_control();
    let is_real = |row: usize| {
        let condition = &truth.conditions[row];
        !is_control(row)
            && groups.contains_key(condition)
            && (!truth.is_training[row] || !held_out.contains_key(condition))
    };
    let n = truth.conditions.len();
    let real: Vec<usize> = (0..n).filter(|&row| is_real(row)).collect();
    let control: Vec<usize> = (0..n).filter(|&row| is_control(row) && truth.is_training[row]).collect();
    let generated: Vec<usize> = (0..predicted.conditions.len()).collect();
    let thin = |rows: Vec<usize>, salt: u64| -> Vec<usize> {
        choose(rows.len(), MOST_CELLS / 3, seed ^ salt).into_iter().map(|chosen| rows[chosen]).collect()
    };
    let (real, generated, control) = (thin(real, 11), thin(generated, 12), thin(control, 13));
    let embedding = truth.embedding();
    let parts = [
        embedding.select(Axis(0), &real),
        predicted.embedding.select(Axis(0), &generated),
        embedding.select(Axis(0), &control),
    ];
    let mut points = Array2::zeros((0, embedding.ncols()));
    for part in &parts {
        points.append(Axis(0), part.view()).map_err(|source| crate::Error::backend("joining cells", source))?;
    }
    let graph = FuzzyGraph::new(&Neighbors::exact(points.view(), N_NEIGHBORS)?);
    let positions = umap(&graph, points.view(), &UmapParams { seed, ..UmapParams::default() })?;
    let mut labels = evaluation.classifier.predict(points.view())?;
    for (place, &row) in
        real.iter().chain(std::iter::repeat_n(&usize::MAX, generated.len())).chain(&control).enumerate()
    {
        if row != usize::MAX
            && let [label] = evaluation.clusters.labels_of(&[row])[..]
        {
            labels[place] = label;
        }
    }
    let kinds = [("real", real.len()), ("generated", generated.len()), ("control", control.len())];
    let conditions = real.iter().map(|&row| &truth.conditions[row]);
    let conditions = conditions.chain(generated.iter().map(|&row| &predicted.conditions[row]));
    let conditions = conditions.chain(control.iter().map(|&row| &truth.conditions[row]));
    Ok(CellMap {
        kinds: kinds.into_iter().flat_map(|(kind, n)| std::iter::repeat_n(kind, n)).collect(),
        conditions: conditions.cloned().collect(),
        positions,
        labels,
    })
}

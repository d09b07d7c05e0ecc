//! Neighbours, clusters and a map of the prepared cells, where they are asked for: slots of scanpy's names.

use std::collections::BTreeMap;

use super::PreprocessParams;
use super::laps::Laps;
use super::slots::Own;
use crate::Result;
use crate::cells::{Cells, Column, SparseMatrix, Value};
use crate::embedding::fuzzy::FuzzyGraph;
use crate::embedding::leiden::{LeidenParams, leiden};
use crate::embedding::neighbors::Neighbors;
use crate::embedding::umap::{UmapParams, umap};

/// The components that neighbours are found in: scanpy's, in which held-out cells are projected.
const POINTS: &str = "X_pca";

/// Writes what is asked for; clusters and map bring the neighbours along, as they are made from them.
///
/// # Errors
/// Those of [`Neighbors::find`], [`leiden`] and [`umap`].
pub(super) fn annotate(
    cells: &mut Cells,
    own: &mut Own,
    params: &PreprocessParams,
    laps: &mut Laps,
    say: &dyn Fn(&str),
) -> Result<()> {
    if !(params.neighbors || params.leiden || params.umap) {
        return Ok(());
    }
    let points = cells.obsm[POINTS].clone();
    say(&format!("finding {} neighbours of {} cells", params.n_neighbors, points.nrows()));
    let (neighbors, recall) = Neighbors::find(points.view(), params.n_neighbors, params.seed)?;
    if let Some(recall) = recall {
        say(&format!("the search is approximate: it found {:.1} % of the neighbours of 512 cells", 100.0 * recall));
    }
    let graph = FuzzyGraph::new(&neighbors);
    let n = points.nrows();
    set_pairs(cells, "distances", distances(&neighbors), say);
    set_pairs(cells, "connectivities", pairs(&graph), say);
    laps.end("neighbors");
    let mut told = map([
        ("n_neighbors", Value::Integer(params.n_neighbors as i64)),
        ("method", Value::Text("umap".into())),
        ("metric", Value::Text("euclidean".into())),
        ("use_rep", Value::Text(POINTS.into())),
        ("random_state", Value::Integer(params.seed as i64)),
    ]);
    if let (Value::Map(told), Some(recall)) = (&mut told, recall) {
        told.insert("recall".into(), Value::Float(recall));
    }
    let keys = ["connectivities", "distances"].map(|key| (format!("{key}_key"), Value::Text(key.into())));
    let entry = keys.into_iter().chain([("params".to_owned(), told)]).collect();
    cells.uns.insert("neighbors".into(), Value::Map(entry));
    if params.leiden {
        let choices = LeidenParams { resolution: params.resolution, seed: params.seed, ..LeidenParams::for_points(n) };
        let (labels, modularity) = leiden(&graph, &choices)?;
        let n_clusters = labels.iter().max().map_or(0, |most| most + 1);
        say(&format!("Leiden: {n_clusters} clusters at resolution {}, modularity {modularity:.4}", params.resolution));
        let categories = (0..n_clusters).map(|label| label.to_string()).collect();
        let codes = labels.iter().map(|&label| label as i32).collect();
        own.set_of_cells(cells, "leiden", Column::Categorical { codes, categories, ordered: false }, say);
        let told = map([
            ("resolution", Value::Float(params.resolution)),
            ("random_state", Value::Integer(params.seed as i64)),
            ("n_iterations", Value::Integer(-1)),
        ]);
        cells.uns.insert("leiden".into(), map([("params", told), ("modularity", Value::Float(modularity))]));
    }
    if params.leiden {
        laps.end("Leiden");
    }
    if params.umap {
        say(&format!("laying out a UMAP of {n} cells"));
        let choices = UmapParams { seed: params.seed, ..UmapParams::for_points(n) };
        let positions = umap(&graph, points.view(), &choices)?;
        if cells.obsm.insert("X_umap".into(), positions).is_some() {
            say("obsm[\"X_umap\"] is replaced");
        }
        let (a, b) = choices.curve();
        let told = map([("a", Value::Float(a)), ("b", Value::Float(b))]);
        cells.uns.insert("umap".into(), map([("params", told)]));
        laps.end("UMAP");
    }
    Ok(())
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<BTreeMap<_, _>>())
}

fn set_pairs(cells: &mut Cells, key: &str, matrix: SparseMatrix, say: &dyn Fn(&str)) {
    if cells.obsp.insert(key.into(), matrix).is_some() {
        say(&format!("obsp[\"{key}\"] is replaced"));
    }
}

/// The distance of each cell to its neighbours: (n_cells, n_cells).
fn distances(neighbors: &Neighbors) -> SparseMatrix {
    let rows = neighbors.indices.rows().into_iter().zip(neighbors.distances.rows()).map(|(others, distances)| {
        let mut row: Vec<(u32, f32)> =
            others.iter().map(|&other| other as u32).zip(distances.iter().copied()).collect();
        row.sort_unstable_by_key(|&(other, _)| other);
        row
    });
    SparseMatrix::from_rows(neighbors.indices.nrows(), rows.collect::<Vec<_>>())
}

/// The weights of the graph, both ways: (n_cells, n_cells).
fn pairs(graph: &FuzzyGraph) -> SparseMatrix {
    let rows = (0..graph.n_points()).map(|point| {
        let (others, weights) = graph.row(point);
        others.iter().copied().zip(weights.iter().copied()).collect()
    });
    SparseMatrix::from_rows(graph.n_points(), rows)
}

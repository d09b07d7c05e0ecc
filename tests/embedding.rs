//! The neighbour graph against scanpy, clusters against igraph, maps against umap-learn.

use ndarray::{Array2, ArrayView2};
use scflow::embedding::fuzzy::FuzzyGraph;
use scflow::embedding::leiden::{LeidenParams, leiden};
use scflow::embedding::neighbors::Neighbors;
use scflow::embedding::umap::{UmapParams, umap};
use scflow::io::h5ad;
use scflow::stages::preprocess::{PreprocessParams, preprocess};
use serde_json::Value;

use crate::data;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/embedding.json")).unwrap()
}

fn matrix(value: &Value) -> Array2<f32> {
    let rows: Vec<&Vec<Value>> = value.as_array().unwrap().iter().map(|row| row.as_array().unwrap()).collect();
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(row, column)| rows[row][column].as_f64().unwrap() as f32)
}

#[test]
fn the_neighbour_graph_is_that_of_scanpy() {
    let golden = golden();
    let points = matrix(&golden["points"]);
    let neighbors = Neighbors::exact(points.view(), 15).unwrap();
    let graph = FuzzyGraph::new(&neighbors);
    let dense = |edges: &Value| {
        let mut dense = Array2::<f64>::zeros((points.nrows(), points.nrows()));
        for edge in edges.as_array().unwrap() {
            let at = [0, 1].map(|end| edge[end].as_u64().unwrap() as usize);
            dense[at] = edge[2].as_f64().unwrap();
        }
        dense
    };
    let (mut distances, mut connectivities) = (dense(&golden["distances"]), dense(&golden["connectivities"]));
    for (row, others) in neighbors.indices.rows().into_iter().enumerate() {
        for (&other, &distance) in others.iter().zip(neighbors.distances.row(row)) {
            distances[[row, other]] -= f64::from(distance);
        }
    }
    for (first, second, weight) in graph.edges() {
        connectivities[[first, second]] -= f64::from(weight);
        connectivities[[second, first]] -= f64::from(weight);
    }
    for (name, rest) in [("distances", distances), ("connectivities", connectivities)] {
        let furthest = rest.iter().fold(0.0_f64, |most, gap| most.max(gap.abs()));
        // umap-learn stops its bisection at 1e-5 of the sum of memberships, as we do, from other brackets.
        assert!(furthest < 1e-4, "{name}: {furthest}");
    }
}

#[test]
fn clusters_are_as_modular_as_those_of_igraph_and_the_map_as_true_as_that_of_umap_learn() {
    let Some(path) = data::file("compat/scanpy_10x_pbmc68k_reduced.h5ad") else { return };
    let golden = golden();
    let cells = h5ad::read(&path).unwrap();
    let points = &cells.obsm["X_pca"];
    let graph = FuzzyGraph::new(&Neighbors::exact(points.view(), 15).unwrap());
    for (resolution, best) in golden["modularity"].as_object().unwrap() {
        let params = LeidenParams { resolution: resolution.parse().unwrap(), n_starts: 10, seed: 0 };
        let (labels, modularity) = leiden(&graph, &params).unwrap();
        let best = best.as_f64().unwrap();
        // igraph's modularity is that of the best of five runs until nothing moves.
        assert!(modularity > best - 1e-3, "{resolution}: {modularity} {best}");
        assert_eq!(labels.len(), points.nrows());
    }
    let map = umap(&graph, points.view(), &UmapParams::for_points(points.nrows())).unwrap();
    let (own, other) = (trustworthiness(points.view(), map.view(), 15), &golden["trustworthiness"]["pbmc68k_reduced"]);
    assert!(own > other.as_f64().unwrap() - 0.01, "{own} {other}");
}

#[test]
fn preprocess_writes_neighbours_clusters_and_a_map_on_request() {
    let Some(path) = data::file("kang18_ifnb_celltypes_scgen.h5ad") else { return };
    let folder = tempfile::tempdir().unwrap();
    let params = PreprocessParams {
        input: path,
        output: folder.path().join("prepared.h5ad"),
        covariates: vec!["cell_type".into()],
        holdout: vec!["IFN-beta | cell_type=B".into()],
        leiden: true,
        umap: true,
        ..PreprocessParams::default()
    };
    preprocess(&params, &|_| ()).unwrap();
    let cells = h5ad::read(&params.output).unwrap();
    let (points, map) = (&cells.obsm["X_pca"], &cells.obsm["X_umap"]);
    let (own, other) = (trustworthiness(points.view(), map.view(), 15), &golden()["trustworthiness"]["kang"]);
    assert!(own > other.as_f64().unwrap() - 0.01, "{own} {other}");
    let (distances, connectivities) = (&cells.obsp["distances"], &cells.obsp["connectivities"]);
    assert_eq!(distances.n_stored(), 14 * cells.n_cells());
    for (row, column) in [(0, 5), (7, 3)] {
        let at = |row: usize, column: usize| {
            let (columns, values) = connectivities.row(row);
            columns.iter().position(|&other| other as usize == column).map(|place| values[place])
        };
        assert_eq!(at(row, column), at(column, row));
    }
    assert_eq!(
        cells.uns["neighbors"].get("params").unwrap().get("n_neighbors"),
        Some(&scflow::cells::Value::Integer(15))
    );
    let types = cells.obs.texts("obs", "cell_type").unwrap();
    let labels = cells.obs.texts("obs", "leiden").unwrap();
    // Monocytes and lymphocytes never share a cluster, but for a few cells.
    let cells_of = |wanted: &str| {
        types.iter().zip(&labels).filter(|(kind, _)| **kind == wanted).map(|(_, label)| label).collect::<Vec<_>>()
    };
    let of_b = cells_of("B");
    let shared =
        cells_of("CD14+Mono").into_iter().filter(|label| of_b.iter().filter(|own| own == &label).count() > 20).count();
    assert!(shared < 10, "{shared}");
}

/// 1 − 2/(n k (2n − 3k − 1)) Σ_i Σ_{j among the k nearest on the map} max(0, rank of j in space − k).
fn trustworthiness(space: ArrayView2<f32>, map: ArrayView2<f32>, k: usize) -> f64 {
    let n = space.nrows();
    let (in_space, on_map) = (Neighbors::exact(space, n).unwrap(), Neighbors::exact(map, k + 1).unwrap());
    let mut ranks = vec![0; n];
    let mut penalty = 0;
    for i in 0..n {
        in_space.indices.row(i).iter().enumerate().for_each(|(rank, &other)| ranks[other] = rank + 1);
        penalty += on_map.indices.row(i).iter().map(|&other| ranks[other].saturating_sub(k)).sum::<usize>();
    }
    1.0 - 2.0 / ((n * k) as f64 * (2.0 * n as f64 - 3.0 * k as f64 - 1.0)) * penalty as f64
}

"""Writes embedding.json: scanpy's neighbour graph of some points; what igraph's Leiden and umap-learn reach on public data.

python3 -m venv env && env/bin/pip install scanpy==1.11.5 igraph scikit-learn && env/bin/python make_embedding.py DATA

DATA holds compat/scanpy_10x_pbmc68k_reduced.h5ad (scanpy's own) and kang18_ifnb_celltypes_scgen.h5ad; see data/README.md.
"""

import importlib.metadata
import json
import pathlib
import sys

import anndata
import igraph
import numpy as np
import scanpy as sc
from sklearn.manifold import trustworthiness

rng = np.random.default_rng(0)
points = (rng.normal(size=(150, 8)) + 3 * np.eye(8)[rng.integers(0, 3, 150)]).astype(np.float32)
cloud = anndata.AnnData(points)
sc.pp.neighbors(cloud, n_neighbors=15, use_rep="X")


def edges(matrix):
    matrix = matrix.tocoo()
    return [[int(i), int(j), float(value)] for i, j, value in zip(matrix.row, matrix.col, matrix.data)]


def modularities(data):
    matrix = data.obsp["connectivities"].tocoo()
    upper = matrix.row < matrix.col
    graph = igraph.Graph(n=data.n_obs, edges=list(zip(matrix.row[upper].tolist(), matrix.col[upper].tolist())))
    weights = matrix.data[upper].tolist()
    found = {}
    for resolution in (0.3, 0.5, 1.0, 2.0):
        best = -1.0
        for seed in range(5):
            igraph.set_random_number_generator(__import__("random").Random(seed))
            clusters = graph.community_leiden("modularity", weights=weights, resolution=resolution, n_iterations=-1)
            best = max(best, graph.modularity(clusters.membership, weights=weights, resolution=resolution))
        found[str(resolution)] = best
    return found


def trust(data, representation):
    sc.pp.neighbors(data, n_neighbors=15, use_rep=representation)
    sc.tl.umap(data, random_state=0)
    return float(trustworthiness(data.obsm[representation], data.obsm["X_umap"], n_neighbors=15))


folder = pathlib.Path(sys.argv[1])
reduced = anndata.read_h5ad(folder / "compat/scanpy_10x_pbmc68k_reduced.h5ad")
kang = anndata.read_h5ad(folder / "kang18_ifnb_celltypes_scgen.h5ad")
sc.pp.normalize_total(kang, target_sum=1e4)
sc.pp.log1p(kang)
sc.pp.highly_variable_genes(kang, n_top_genes=2000)
sc.pp.pca(kang, n_comps=50)
trusts = {"pbmc68k_reduced": trust(reduced, "X_pca"), "kang": trust(kang, "X_pca")}
golden = {
    "versions": {name: importlib.metadata.version(name) for name in ("scanpy", "igraph", "umap-learn", "scikit-learn")},
    "points": points.tolist(),
    "distances": edges(cloud.obsp["distances"]),
    "connectivities": edges(cloud.obsp["connectivities"]),
    "modularity": modularities(reduced),
    "trustworthiness": trusts,
}
pathlib.Path(__file__).with_name("embedding.json").write_text(json.dumps(golden) + "\n")

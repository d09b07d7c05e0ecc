"""Writes preprocess.json: counts of a small screen and what scanpy makes of them, fitted on its training cells.

python3 -m venv env && env/bin/pip install scanpy==1.11.5 "anndata<0.13" && env/bin/python make_preprocess.py
"""

import json
import pathlib

import anndata
import numpy as np
import scanpy as sc

N_CELLS, N_GENES, N_TOP, N_COMPONENTS = 90, 160, 50, 5

rng = np.random.default_rng(0)
means = rng.gamma(0.6, 2.0, N_GENES)
programs = np.exp(rng.normal(size=(4, N_GENES)) * np.array([1.3, 1.0, 0.8, 0.6])[:, None])
activity = rng.integers(0, 2, size=(N_CELLS, 4))
rates = means * np.prod(np.where(activity[:, :, None] == 1, programs, 1.0), axis=1)
rates *= rng.gamma(4.0, 0.25, size=(N_CELLS, 1))
counts = rng.poisson(rng.gamma(2.0, rates / 2.0))
is_training = np.arange(N_CELLS) % 3 != 2

genes = [f"MT-{gene}" if gene < 5 else f"G{gene}" for gene in range(N_GENES)]
data = anndata.AnnData(counts.astype(np.float32))
data.var_names = genes
data.var["mt"] = data.var_names.str.startswith("MT-")
sc.pp.calculate_qc_metrics(data, qc_vars=["mt"], percent_top=None, log1p=False, inplace=True)
sc.pp.normalize_total(data, target_sum=1e4)
sc.pp.log1p(data)
kept = sc.pp.filter_genes(counts[is_training].astype(np.float32), min_cells=3, inplace=False)[0]
data = data[:, kept].copy()

training = data[is_training].copy()
sc.pp.highly_variable_genes(training, flavor="seurat", n_top_genes=N_TOP)
training.X = training.X.astype(np.float64)
sc.pp.pca(training, n_comps=N_COMPONENTS, mask_var="highly_variable", svd_solver="full", dtype="float64")
loadings = training.varm["PCs"]
held_out = (data.X[~is_training].astype(float) - training.X.mean(axis=0)) @ loadings

golden = {
    "versions": {"scanpy": sc.__version__, "anndata": anndata.__version__, "numpy": np.__version__},
    "genes": genes,
    "counts": counts.tolist(),
    "is_training": is_training.tolist(),
    "n_top_genes": N_TOP,
    "total_counts": data.obs["total_counts"].astype(float).tolist(),
    "n_genes_by_counts": data.obs["n_genes_by_counts"].tolist(),
    "pct_counts_mt": data.obs["pct_counts_mt"].astype(float).tolist(),
    "kept_genes": data.var_names.tolist(),
    "normalized_first_cells": data.X[:8].astype(float).tolist(),
    "highly_variable": training.var_names[training.var["highly_variable"]].tolist(),
    "means": training.var["means"].tolist(),
    "dispersions": training.var["dispersions"].tolist(),
    "dispersions_norm": training.var["dispersions_norm"].astype(float).tolist(),
    "pca_variance": training.uns["pca"]["variance"].tolist(),
    "pca_variance_ratio": training.uns["pca"]["variance_ratio"].tolist(),
    "absolute_loadings": np.abs(loadings[training.var["highly_variable"]]).tolist(),
    "absolute_held_out": np.abs(held_out).tolist(),
}
path = pathlib.Path(__file__).with_name("preprocess.json")
path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")

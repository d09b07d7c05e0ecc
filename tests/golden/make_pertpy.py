"""Writes pertpy.json: pertpy's distances between groups of points, by its `Distance.pairwise` as a user calls it.

python3 -m venv env && env/bin/pip install pertpy==1.0.3 filelock "statsmodels<0.15" && env/bin/python make_pertpy.py
"""

import importlib.metadata
import json
import pathlib

import anndata
import numpy as np
import pandas as pd
import pertpy

N_FIRST, N_SECOND = 120, 80
GAMMA = 0.5


def cloud(n, step):
    """The fractional parts of multiples of square roots: the same digits in any language."""
    roots = np.sqrt(np.array([2, 3, 5, 7, 11, 13, 17, 19], dtype=float))
    return ((np.arange(1, n + 1)[:, None] * (roots * step)) % 1.0).astype(np.float32)


first = cloud(N_FIRST, 1.0)
second = (1.25 * cloud(N_SECOND, 1.5).astype(float) + 0.125).astype(np.float32)
groups = ["first"] * N_FIRST + ["second"] * N_SECOND
names = [f"cell_{cell}" for cell in range(len(groups))]
cells = anndata.AnnData(
    np.zeros((len(groups), 1), dtype=np.float32),
    obs=pd.DataFrame({"group": pd.Categorical(groups)}, index=names),
    # In double precision, so that pertpy's sums are.
    obsm={"X_pca": np.vstack([first, second]).astype(float)},
)


def pairwise(metric, cell_wise_metric="euclidean", **kwargs):
    distance = pertpy.tools.Distance(metric, obsm_key="X_pca", cell_wise_metric=cell_wise_metric)
    table = distance.pairwise(cells, groupby="group", show_progressbar=False, n_jobs=1, **kwargs)
    return float(table.loc["first", "second"])


golden = {
    "versions": {name: importlib.metadata.version(name) for name in ["pertpy", "anndata", "numpy", "scikit-learn"]},
    "n_first": N_FIRST,
    "n_second": N_SECOND,
    "gamma": GAMMA,
    "edistance": pairwise("edistance"),
    "edistance_sqeuclidean": pairwise("edistance", "sqeuclidean"),
    "mmd_linear": pairwise("mmd"),
    "mmd_rbf": pairwise("mmd", kernel="rbf", gamma=GAMMA),
}
pathlib.Path(__file__).with_name("pertpy.json").write_text(json.dumps(golden, indent=1) + "\n")

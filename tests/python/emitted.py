"""Asserts that what `scflow predict --emit-as perturbench` and `--emit-as pertpy` wrote has the shape that these programs
read, and that distances between the cells in it, by pertpy's definition, are those of `scflow evaluate`.

usage: python emitted.py FOLDER FILE PREPARED SCORES
needs: anndata, SciPy; FOLDER is perturbench's, FILE pertpy's, of the same cells; PREPARED is the screen, SCORES is what
`scflow evaluate` says of these cells
"""

import csv
import math
import pathlib
import sys

import anndata
import numpy as np
from scipy.spatial.distance import cdist

# Coordinates are in single precision.
TOLERANCE = 1e-5


def check_perturbench(folder):
    """What PerturBench's `Evaluation` asks of a prediction and of its reference."""
    prediction, reference = (anndata.read_h5ad(folder / name) for name in ["prediction.h5ad", "reference.h5ad"])
    assert list(prediction.var_names) == list(reference.var_names)
    for cells in [prediction, reference]:
        assert cells.X.format == "csr" and cells.X.min() >= 0 and cells.obs_names.is_unique
        columns = ["condition", "cell_type"]
        assert all(cells.obs[name].dtype == "category" and cells.obs[name].notna().all() for name in columns)
        # Fold changes are taken within the covariates, so each needs control cells.
        assert cells.obs.groupby("cell_type", observed=False)["condition"].apply(lambda of: (of == "control").any()).all()
        assert np.allclose(cells.layers["counts"].data, np.round(cells.layers["counts"].data))
        assert dict(cells.uns["log1p"]) == {}
    groups = [set(zip(cells.obs["condition"], cells.obs["cell_type"])) for cells in [prediction, reference]]
    assert groups[0] == groups[1], groups
    return {group for group in groups[0] if group[0] != "control"}


def check_pertpy(path, prepared):
    """One population for each group, on the same components, without categories that do not occur."""
    cells, screen = anndata.read_h5ad(path), anndata.read_h5ad(prepared)
    assert list(cells.obs.columns) == ["perturbation", "origin", "status", "stratum", "group", "cell_type"]
    for name in cells.obs.columns:
        assert cells.obs[name].dtype == "category" and set(cells.obs[name]) == set(cells.obs[name].cat.categories), name
    assert set(cells.obs["origin"]) == {"real", "generated"} and cells.obs_names.is_unique
    assert set(cells.obs["origin"][cells.obs["perturbation"] == "control"]) == {"real"}
    assert cells.X.min() >= 0 and np.isfinite(cells.obsm["X_pca"]).all()
    projected = (cells.X.toarray() - cells.var["pca_mean"].to_numpy()) @ cells.varm["PCs"]
    held_out = ((cells.obs["origin"] == "real") & (cells.obs["perturbation"] != "control")).to_numpy()
    np.testing.assert_allclose(projected[held_out], cells.obsm["X_pca"][held_out], atol=1e-3)
    real = cells[cells.obs["origin"] == "real"]
    expected = screen[real.obs_names].obsm["X_pca_cross_fitted"]
    np.testing.assert_array_equal(real.obsm["X_pca"], expected)
    return cells


def distances(x, y):
    """By pertpy's definition, pairs of a cell with itself counted, and without them, with norms and squared norms."""
    found = {}
    for name, metric in [("edist_l2", "euclidean"), ("edist_sq", "sqeuclidean")]:
        across, inside = 2 * cdist(x, y, metric).mean(), [cdist(cloud, cloud, metric).mean() for cloud in [x, y]]
        others = [mean * len(cloud) / (len(cloud) - 1) for mean, cloud in zip(inside, [x, y])]
        found[name] = (across - sum(inside), across - sum(others))
    return found


def main(folder, path, prepared, scores):
    groups = check_perturbench(folder)
    cells = check_pertpy(path, prepared)
    with open(scores / "scores.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["method"] == "model"]
    assert groups == {(row["perturbation"], row["cell_type"]) for row in rows}
    for row in rows:
        assert row["n_real"] == row["n_generated"] == row["n_compared"], row
        group = f"{row['perturbation']} | cell_type={row['cell_type']}"
        of = lambda origin: cells.obsm["X_pca"][(cells.obs["group"] == f"{group} | {origin}").to_numpy()].astype(float)
        for name, (biased, unbiased) in distances(of("real"), of("generated")).items():
            assert math.isclose(unbiased, float(row[name]), rel_tol=TOLERANCE, abs_tol=1e-6), (group, name, unbiased, row[name])
            print(f"{group}: {name} {unbiased:.6f}, by pertpy's definition {biased:.6f}")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*map(pathlib.Path, sys.argv[1:]))

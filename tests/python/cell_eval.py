"""Runs `cell-eval run` on what `scflow predict --emit-as cell-eval` wrote and asserts that shared numbers equal scflow's.

usage: python cell_eval.py FOLDER SCORES
needs: cell-eval; FOLDER holds prediction.h5ad and truth.h5ad, SCORES is what `scflow evaluate` says of the same cells
"""

import csv
import math
import pathlib
import subprocess
import sys
import tempfile

import anndata
import numpy as np

SHARED = ["pearson_delta", "mse", "mae"]
# Only where several conditions have the same covariates.
SHARED_OVER_CONDITIONS = [f"discrimination_score_{norm}" for norm in ["l1", "l2", "cosine"]]
# Only where the tests of scflow saw all cells of both sides: with fewer they find less.
SHARED_OF_GENES = ["pr_auc", "roc_auc", "overlap_at_N", "precision_at_N", "de_direction_match", "de_sig_genes_recall"]
# cell-eval computes means in single precision.
TOLERANCE = 2e-5


def check_files(folder):
    """What cell-eval asks of its two files."""
    prediction, truth = (anndata.read_h5ad(folder / name) for name in ["prediction.h5ad", "truth.h5ad"])
    assert list(prediction.var_names) == list(truth.var_names)
    for cells in [prediction, truth]:
        assert cells.X.format == "csr" and cells.X.min() >= 0 and cells.X.max() < 15
        assert (cells.obs["target_gene"] == "non-targeting").any()
    groups = [set(zip(cells.obs["target_gene"], cells.obs["celltype"])) for cells in [prediction, truth]]
    assert groups[0] == groups[1], groups
    filled = [np.mean(cells.X[(cells.obs["target_gene"] != "non-targeting").to_numpy()].getnnz(1)) for cells in [prediction, truth]]
    assert 0.7 < filled[0] / filled[1] < 1.4, f"genes per cell: {filled}"


def ours(scores):
    with open(scores / "scores.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["method"] == "model"]
    assert rows and all(row[name] for row in rows for name in SHARED)
    saw_all = lambda row: row["n_real"] == row["n_generated"] == row["n_compared"]
    assert all(map(saw_all, rows)), [(row["n_real"], row["n_generated"], row["n_compared"]) for row in rows]
    names = SHARED + SHARED_OVER_CONDITIONS + SHARED_OF_GENES
    assert any(row["pr_auc"] for row in rows)
    numbers = lambda row: {name: float(row[name]) for name in names if row[name]}
    return {(row["cell_type"], row["perturbation"]): numbers(row) for row in rows}


def theirs(folder):
    with tempfile.TemporaryDirectory() as output:
        command = [pathlib.Path(sys.executable).parent / "cell-eval", "run", "--profile", "full"]
        command += ["-ap", folder / "prediction.h5ad", "-ar", folder / "truth.h5ad", "--celltype-col", "celltype"]
        command += ["--outdir", output, "--num-threads", "1", "--skip-metrics", "clustering_agreement"]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        found = {}
        for path in pathlib.Path(output).glob("*results.csv"):
            if "agg" in path.name:
                continue
            with open(path, newline="") as file:
                for row in csv.DictReader(file):
                    found[path.name.removesuffix("_results.csv"), row["perturbation"]] = row
    return found


def main(folder, scores):
    check_files(folder)
    expected, found = theirs(folder), ours(scores)
    assert set(expected) == set(found), (set(expected), set(found))
    for key, values in found.items():
        for name, value in values.items():
            other = float(expected[key][name])
            assert math.isclose(value, other, rel_tol=TOLERANCE, abs_tol=1e-7), (key, name, value, other)
    names = sorted({name for values in found.values() for name in values})
    print(f"cell-eval agrees on {', '.join(names)} of {len(found)} conditions")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*map(pathlib.Path, sys.argv[1:]))

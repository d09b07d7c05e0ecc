"""Writes cell_eval.json: counts of a small screen and of a prediction, and what cell-eval and PerturBench's rank say of them.

python3 -m venv env && env/bin/pip install cell-eval==0.8.1 && env/bin/python make_cell_eval.py
"""

import importlib.metadata
import json
import pathlib
import tempfile
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from cell_eval import MetricsEvaluator
from pdex import pdex
from scipy.stats import spearmanr

warnings.simplefilter("ignore")
rng = np.random.default_rng(5)
N_GENES = 100
GENES = [f"gene{gene}" for gene in range(N_GENES)]
# Two of the names are genes, whose own change cell-eval leaves out.
PERTURBATIONS = ["control", "gene3", "gene7", "drug", "heat"]
N_CELLS = {"control": 50, "gene3": 30, "gene7": 34, "drug": 40, "heat": 28}

base = rng.gamma(0.8, 1.5, N_GENES)
shared = rng.normal(0, 0.6, N_GENES)
folds = {name: np.exp(shared + rng.normal(0, 0.5, N_GENES)) for name in PERTURBATIONS[1:]}
folds["control"] = np.ones(N_GENES)
labels = [name for name in PERTURBATIONS for _ in range(N_CELLS[name])]


def draw(blur):
    """Counts of all cells; the prediction's folds are blurred."""
    means = {name: base * np.exp(np.log(fold) * (1 - blur) + blur * (shared + rng.normal(0, 0.4, N_GENES))) for name, fold in folds.items()}
    means["control"] = base
    return np.array([rng.poisson(means[name]) for name in labels])


real, predicted = draw(0.0), draw(0.9)
# The same control cells on both sides.
is_control = np.array(labels) == "control"
predicted[is_control] = real[is_control]


def screen(counts):
    x = sp.csr_matrix(np.log1p(counts).astype(np.float32))
    obs = pd.DataFrame({"target_gene": labels}, index=[f"cell{cell}" for cell in range(len(labels))])
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=GENES))


def log_changes(counts, name):
    mean = lambda rows: np.log2(np.log1p(counts[rows]).astype(np.float32).astype(float).mean(0) + 0.1)
    return mean(np.array(labels) == name) - mean(is_control)


def cosine(x, y):
    return x @ y / np.linalg.norm(x) / np.linalg.norm(y)


def perturbench_rank(name):
    """Predictions more like the real effect than the own one, as a part of all (PerturBench's `rank` on logfc-cosine)."""
    effect = log_changes(real, name)
    likeness = {other: cosine(log_changes(predicted, other), effect) for other in PERTURBATIONS[1:]}
    return sum(value > likeness[name] for value in likeness.values()) / len(likeness)


with tempfile.TemporaryDirectory() as folder:
    arguments = dict(control_pert="control", pert_col="target_gene", num_threads=1)
    evaluator = MetricsEvaluator(screen(predicted), screen(real), outdir=folder, **arguments)
    short = {metric: evaluator.de_comparison.compute_overlap(k=10, metric=metric, fdr_threshold=0.05) for metric in ["overlap", "precision"]}
    results, _ = evaluator.compute(profile="full", write_csv=False, skip_metrics=["clustering_agreement"])
scores = {row["perturbation"]: {k: v for k, v in row.items() if k != "perturbation"} for row in results.to_dicts()}
for name in scores:
    for metric, found in short.items():
        scores[name][f"{metric}_at_10"] = float(found[name])
    scores[name]["perturbench_rank"] = perturbench_rank(name)
    delta = lambda counts: np.log1p(counts[np.array(labels) == name]).mean(0) - np.log1p(counts[is_control]).mean(0)
    scores[name]["spearman_delta"] = float(spearmanr(delta(real), delta(predicted))[0])
test = pdex(screen(real), groupby="target_gene", reference="control", is_log1p=True, epsilon=0.0, threads=1)
test = test.filter(test["target"] == "drug")
finite = lambda values: [float(value) if np.isfinite(value) else str(value) for value in values]
golden = {
    "versions": {name: importlib.metadata.version(name) for name in ["cell-eval", "pdex", "anndata", "numpy", "scipy"]},
    "labels": labels,
    "genes": GENES,
    "real": real.tolist(),
    "predicted": predicted.tolist(),
    "scores": scores,
    "drug": {name: finite(test[name].to_list()) for name in ["p_value", "fdr", "log2_fold_change"]},
}
path = pathlib.Path(__file__).with_name("cell_eval.json")
path.write_text(json.dumps(golden, separators=(",", ":")).replace(',"', ',\n"') + "\n")

"""Writes linear.json: the linear model of Ahlmann-Eltze et al. 2025 by numpy and scikit-learn.

python3 -m venv env && env/bin/pip install numpy scikit-learn && env/bin/python make_linear.py
"""

import json
import pathlib

import numpy as np
from sklearn.decomposition import PCA

RIDGE, N_FACTORS = 0.1, 10
rng = np.random.default_rng(7)
n_dims, names = 14, ["A", "B", "C", "D", "E"]
kinds = {"x": rng.normal(size=n_dims), "y": rng.normal(size=n_dims)}
effects = {name: rng.normal(size=n_dims) * 2 for name in names}
training = ["control", *names, "A+B", "C+D", "A+E", "B+C"]
cells, conditions = [], []
for kind, base in kinds.items():
    for number, label in enumerate(training):
        # E was never measured alone in y: its effect comes from x.
        if (kind, label) == ("y", "E"):
            continue
        parts = [effects[part] for part in label.split("+") if part != "control"]
        shift = sum(parts, np.zeros(n_dims)) + (0.7 * parts[0] * parts[1] if len(parts) == 2 else 0)
        for _ in range(3 + number % 2):
            cells.append(base + shift + 0.3 * rng.normal(size=n_dims))
            conditions.append(f"{label} | t={kind}")
cells = np.round(np.array(cells), 4)
mean = {name: cells[[other == name for other in conditions]].mean(0) for name in dict.fromkeys(conditions)}
n_cells = {name: conditions.count(name) for name in mean}


def change(name):
    return mean[name] - mean["control | t=" + name[-1]]


def effect(label, kind):
    """The sum of single effects; an effect that was not measured in a kind is the mean of the others, by cells."""
    total = np.zeros(n_dims)
    for part in [part for part in label.split("+") if part != "control"]:
        measured = [name for name in mean if name.startswith(part + " |")]
        own = f"{part} | t={kind}"
        if own in measured:
            total += change(own)
        else:
            total += np.average([change(name) for name in measured], axis=0, weights=[n_cells[name] for name in measured])
    return total


columns = list(mean)
Y = np.array([change(name) for name in columns]).T
b = Y.mean(1, keepdims=True)
pca = PCA(N_FACTORS, svd_solver="full").fit(Y.T)
G = pca.components_.T * pca.singular_values_
P = pca.components_ @ np.array([effect(name.split(" |")[0], name[-1]) for name in columns]).T
left = np.linalg.solve(G.T @ G + RIDGE * np.eye(N_FACTORS), G.T @ (Y - b))
W = np.linalg.solve(P @ P.T + RIDGE * np.eye(N_FACTORS), P @ left.T).T
expected = {}
for label in ["A+C", "D+E", "B", "E", "control", "A+B+D"]:
    for kind in kinds:
        p = pca.components_ @ effect(label, kind)
        expected[f"{label} | t={kind}"] = (mean[f"control | t={kind}"] + b[:, 0] + G @ W @ p).tolist()

path = pathlib.Path(__file__).with_name("linear.json")
path.write_text(json.dumps({"cells": cells.tolist(), "conditions": conditions, "expected": expected}) + "\n")

"""Writes metrics.json: inputs and the values that POT, scikit-learn and SciPy give for them.

python3 -m venv env && env/bin/pip install numpy scipy scikit-learn pot && env/bin/python make_metrics.py
"""

import json
import pathlib

import numpy as np
import ot
import scipy
import scipy.stats
import sklearn
from scipy.spatial.distance import cdist, pdist
from sklearn.metrics import r2_score
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import NearestNeighbors

rng = np.random.default_rng(0)
first = rng.normal(size=(30, 3)).astype(np.float32)
second = (rng.normal(size=(30, 3)) * 1.5 + [1, 0, -1]).astype(np.float32)
x, y = first.astype(float), second.astype(float)
n = len(x)


def off(matrix):
    return (matrix.sum() - np.trace(matrix)) / (n * (n - 1))


gamma = 1 / np.median(pdist(x, "sqeuclidean"))
mmd2 = off(rbf_kernel(x, x, gamma)) + off(rbf_kernel(y, y, gamma)) - 2 * rbf_kernel(x, y, gamma).mean()
energy = 2 * cdist(x, y).mean() - off(cdist(x, x)) - off(cdist(y, y))
w2 = np.sqrt(ot.emd2(np.full(n, 1 / n), np.full(n, 1 / n), ot.dist(x, y)))
real, generated, control = rng.normal(size=(3, 50))
p, q = rng.integers(0, 20, size=(2, 6)).astype(float)
neighbors = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(x).kneighbors()[1]

golden = {
    "versions": {"numpy": np.__version__, "scipy": scipy.__version__, "scikit-learn": sklearn.__version__, "pot": ot.__version__},
    "first": first.astype(float).tolist(),
    "second": second.astype(float).tolist(),
    "gamma_median": gamma,
    "mmd2_rbf": mmd2,
    "energy": energy,
    "w2_exact": w2,
    "std_ratio": float(np.average(y.std(0, ddof=1) / x.std(0, ddof=1), weights=x.var(0, ddof=1))),
    "neighbors": neighbors.tolist(),
    "real": real.tolist(),
    "generated": generated.tolist(),
    "control": control.tolist(),
    "pearson_delta": scipy.stats.pearsonr(real - control, generated - control)[0],
    "r2_mean": r2_score(real, generated),
    "counts_real": p.tolist(),
    "counts_generated": q.tolist(),
    "kld": scipy.stats.entropy(p + 0.5, q * p.sum() / q.sum() + 0.5),
    "total_variation": 0.5 * np.abs(p / p.sum() - q / q.sum()).sum(),
}
path = pathlib.Path(__file__).with_name("metrics.json")
path.write_text(json.dumps(golden, indent=1) + "\n")

"""Writes distances.json: distances between clouds of 600 points, by POT, scikit-learn and cell-eval's and scPerturb's formulas.

python3 -m venv env && env/bin/pip install numpy scipy scikit-learn pot && env/bin/python make_distances.py
"""

import json
import pathlib

import numpy as np
import ot
import scipy
import sklearn
from scipy.spatial.distance import cdist

N, N_LARGE = 600, 5000


def cloud(n, step):
    """The fractional parts of multiples of square roots: the same digits in any language."""
    roots = np.sqrt(np.array([2, 3, 5, 7, 11, 13, 17, 19], dtype=float))
    return ((np.arange(1, n + 1)[:, None] * (roots * step)) % 1.0).astype(np.float32).astype(float)


def clouds(n):
    """Two of them, the second stretched and moved."""
    return cloud(n, 1.0), (1.25 * cloud(n, 1.5) + 0.125).astype(np.float32).astype(float)


def w2_exact(x, y):
    uniform = np.full(len(x), 1 / len(x))
    return float(np.sqrt(ot.emd2(uniform, uniform, ot.dist(x, y), numItermax=10_000_000)))


def within(metric, points):
    """Mean over pairs of different points, as scPerturb corrects it: N / (N - 1)."""
    return cdist(points, points, metric).mean() * N / (N - 1)


x, y = clouds(N)
uniform = np.full(N, 1 / N)
costs = ot.dist(x, y)
sinkhorn = ot.sinkhorn(uniform, uniform, costs / costs.max(), 0.01, stopThr=1e-10, numItermax=100_000)
golden = {
    "versions": {"numpy": np.__version__, "scipy": scipy.__version__, "scikit-learn": sklearn.__version__, "pot": ot.__version__},
    "n": N,
    "w2_exact": w2_exact(x, y),
    "n_large": N_LARGE,
    "w2_exact_large": w2_exact(*clouds(N_LARGE)),
    "w2_sinkhorn_eps0.01": float(np.sqrt((sinkhorn * costs).sum())),
    "edist_l2": float(2 * cdist(x, y).mean() - within("euclidean", x) - within("euclidean", y)),
    "edist_sq": float(2 * cdist(x, y, "sqeuclidean").mean() - within("sqeuclidean", x) - within("sqeuclidean", y)),
}
pathlib.Path(__file__).with_name("distances.json").write_text(json.dumps(golden, indent=1) + "\n")

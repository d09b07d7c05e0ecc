"""Writes flow.json: plans of POT, and points and velocities of conditional paths by automatic differentiation.

python3 -m venv env && env/bin/pip install numpy pot torch && env/bin/python make_flow.py
"""

import json
import pathlib

import numpy as np
import ot
import torch

rng = np.random.default_rng(0)
n = 12
x0, x1 = rng.normal(size=(n, 5)), rng.normal(size=(n, 5)) + 0.5
costs = ot.dist(x1, x0)
weights = np.full(n, 1 / n)


def plan(epsilon):
    return ot.sinkhorn(weights, weights, costs, epsilon, method="sinkhorn_log", numItermax=200_000, stopThr=1e-13)


torch.set_default_dtype(torch.float64)
ends = torch.tensor(rng.normal(size=(2, 6)))
noise = torch.tensor(rng.normal(size=6))
times = torch.tensor([0.03, 0.2, 0.45, 0.5, 0.8, 0.96])


def path(deviation):
    """x_t of fixed ends and noise, and its derivative by t."""

    def point(t):
        return (1 - t) * ends[0] + t * ends[1] + deviation(t) * noise

    return torch.func.jvp(point, (times,), (torch.ones_like(times),))


sigma = 0.6
spreads = {
    "constant": path(lambda t: sigma * torch.ones_like(t)),
    "bridge": path(lambda t: sigma * torch.sqrt(t * (1 - t))),
}
golden = {
    "versions": {"numpy": np.__version__, "pot": ot.__version__, "torch": torch.__version__},
    "costs": costs.tolist(),
    "plans": [{"regularisation": epsilon, "plan": plan(epsilon).tolist()} for epsilon in (0.2, 0.5, 5.0)],
    "assignment": ot.emd(weights, weights, costs).argmax(axis=1).tolist(),
    "sigma": sigma,
    "times": times.tolist(),
    "x0": ends[0].tolist(),
    "x1": ends[1].tolist(),
    "noise": noise.tolist(),
    "spreads": {name: {"xt": xt.tolist(), "ut": ut.tolist()} for name, (xt, ut) in spreads.items()},
}
pathlib.Path(__file__).with_name("flow.json").write_text(json.dumps(golden, indent=1) + "\n")

"""Writes torchcfm.json: TorchCFM's points, targets, losses and samples on its toy, eight Gaussians to two moons.

python3 -m venv env && env/bin/pip install torch torchcfm torchdyn && env/bin/python make_torchcfm.py
"""

import importlib.metadata
import json
import pathlib

import numpy as np
import torch
from torchcfm.conditional_flow_matching import (
    ConditionalFlowMatcher,
    ExactOptimalTransportConditionalFlowMatcher,
    SchrodingerBridgeConditionalFlowMatcher,
)
from torchcfm.models.models import MLP
from torchcfm.utils import sample_8gaussians, sample_moons, torch_wrapper
from torchdyn.core import NeuralODE

torch.manual_seed(0)
np.random.seed(0)
SIGMA, N, WIDTH = 0.5, 48, 16
matchers = {
    "cfm": ConditionalFlowMatcher(sigma=0.0),
    "cfm-ot": ExactOptimalTransportConditionalFlowMatcher(sigma=0.0),
    "cfm-sb": SchrodingerBridgeConditionalFlowMatcher(sigma=SIGMA, ot_method="sinkhorn"),
}

# A velocity field that has learned the toy, so that its samples mean something.
field = MLP(dim=2, w=WIDTH, time_varying=True)
optimizer = torch.optim.Adam(field.parameters(), lr=3e-3)
for _ in range(3000):
    t, xt, ut = matchers["cfm-ot"].sample_location_and_conditional_flow(sample_8gaussians(256), sample_moons(256))
    loss = (field(torch.cat([xt, t[:, None]], dim=-1)) - ut).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

x0, x1 = sample_8gaussians(N), sample_moons(N).float()
variants = {}
with torch.no_grad():
    for name, matcher in matchers.items():
        # The transported variants pair the ends first; what follows is the same for all.
        first, second = x0, x1
        if hasattr(matcher, "ot_sampler"):
            first, second = matcher.ot_sampler.sample_plan(x0, x1)
        sample = ConditionalFlowMatcher.sample_location_and_conditional_flow
        t, xt, ut, noise = sample(matcher, first, second, return_noise=True)
        loss = (field(torch.cat([xt, t[:, None]], dim=-1)) - ut).square().mean()
        variants[name] = {
            "x0": first.flatten().tolist(),
            "x1": second.flatten().tolist(),
            "t": t.tolist(),
            "noise": noise.flatten().tolist(),
            "xt": xt.flatten().tolist(),
            "ut": ut.flatten().tolist(),
            "loss": loss.item(),
        }
        if name == "cfm-sb":
            variants[name]["lambda"] = matcher.compute_lambda(t).tolist()
    samples = {}
    for name, solver, n_times, tolerance in [("dopri5", "dopri5", 2, 1e-6), ("euler", "euler", 21, None)]:
        ode = NeuralODE(torch_wrapper(field), solver=solver, atol=tolerance or 1e-3, rtol=tolerance or 1e-3)
        samples[name] = ode.trajectory(x0, t_span=torch.linspace(0, 1, n_times))[-1].flatten().tolist()

golden = {
    "versions": {name: importlib.metadata.version(name) for name in ("torch", "torchcfm", "torchdyn")},
    "sigma": SIGMA,
    "width": WIDTH,
    "weights": {name: tensor.flatten().tolist() for name, tensor in field.state_dict().items()},
    "variants": variants,
    "x0": x0.flatten().tolist(),
    "samples": samples,
}
pathlib.Path(__file__).with_name("torchcfm.json").write_text(json.dumps(golden) + "\n")

"""Writes scvi.json: likelihoods of counts, and the parts of an scVI's loss for fixed weights, by scvi-tools.

python3 -m venv env && env/bin/pip install scvi-tools && env/bin/python make_scvi.py
"""

import json
import pathlib

import scvi
import torch
from scvi.distributions import NegativeBinomial, ZeroInflatedNegativeBinomial
from scvi.module import VAE

torch.manual_seed(0)


def rounded(tensor, digits=5):
    """Numbers as they go into the file, and are computed with."""
    return torch.round(tensor.detach().double() * 10**digits) / 10**digits


def numbers(tensor):
    return tensor.detach().double().flatten().tolist()


# Few counts and many, scatter like a Poisson's and far beyond it.
means = torch.tensor([[0.004, 0.3, 1.7, 12.0, 250.0], [2.5, 0.02, 40.0, 0.9, 6.0]], dtype=torch.float64)
thetas = torch.tensor([0.2, 1.5, 8.0, 40.0, 2000.0], dtype=torch.float64)
odds = torch.tensor([[-2.0, 0.5, -0.1, -4.0, 1.0], [0.3, -1.0, -3.0, 2.0, 0.0]], dtype=torch.float64)
counts = torch.tensor([[0, 1, 0, 45, 230], [7, 0, 33, 0, 1]], dtype=torch.float64)
likelihood = {
    "means": means.tolist(),
    "inverse_dispersions": thetas.tolist(),
    "dropout": odds.tolist(),
    "counts": counts.tolist(),
    "nb": NegativeBinomial(mu=means, theta=thetas).log_prob(counts).sum(-1).tolist(),
    "zinb": ZeroInflatedNegativeBinomial(mu=means, theta=thetas, zi_logits=odds).log_prob(counts).sum(-1).tolist(),
}

# Layer normalisation as the option has it; one category stands for the codes of a condition.
N_CELLS, N_GENES, N_CODES, N_LATENT = 4, 6, 3, 2
x = torch.poisson(torch.rand(N_CELLS, N_GENES) * 6)
codes = torch.tensor([[0], [2], [1], [2]])
noise = rounded(torch.randn(N_CELLS, N_LATENT)).float()
losses = {}
for law in ["nb", "zinb"]:
    vae = VAE(
        N_GENES,
        n_batch=N_CODES,
        n_hidden=5,
        n_latent=N_LATENT,
        n_layers=2,
        gene_likelihood=law,
        encode_covariates=True,
        use_batch_norm="none",
        use_layer_norm="both",
    ).eval()
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.copy_(rounded(parameter))
    inference = vae.inference(x, batch_index=codes)
    q = inference["qz"]
    z = q.loc + q.scale * noise
    generative = vae.generative(z=z, library=inference["library"], batch_index=codes)
    state = vae.state_dict()

    def linear(key):
        # As rows of inputs, the transpose of torch's.
        weight = state[f"{key}.weight"]
        return {"weight": numbers(weight.T), "shape": list(weight.T.shape), "bias": numbers(state[f"{key}.bias"])}

    layers = {
        "encoder.0.linear": "z_encoder.encoder.fc_layers.Layer 0.0",
        "encoder.1.linear": "z_encoder.encoder.fc_layers.Layer 1.0",
        "mean": "z_encoder.mean_encoder",
        "log_variance": "z_encoder.var_encoder",
        "decoder.0.linear": "decoder.px_decoder.fc_layers.Layer 0.0",
        "decoder.1.linear": "decoder.px_decoder.fc_layers.Layer 1.0",
        "shares": "decoder.px_scale_decoder.0",
    }
    if law == "zinb":
        layers["dropout"] = "decoder.px_dropout_decoder"
    prior = torch.distributions.Normal(torch.zeros_like(q.loc), torch.ones_like(q.loc))
    losses[law] = {
        "layers": {name: linear(key) for name, key in layers.items()},
        "log_inverse_dispersion": numbers(state["px_r"]),
        "mean": numbers(q.loc),
        "variance": numbers(q.variance),
        "reconstruction": numbers(-generative["px"].log_prob(x).sum(-1)),
        "divergence": numbers(torch.distributions.kl_divergence(q, prior).sum(-1)),
    }

golden = {
    "scvi": scvi.__version__,
    "torch": torch.__version__,
    "likelihood": likelihood,
    "vae": {
        "n_codes": N_CODES,
        "n_hidden": 5,
        "counts": x.tolist(),
        "codes": codes.flatten().tolist(),
        "noise": noise.double().tolist(),
        "losses": losses,
    },
}
pathlib.Path(__file__).with_name("scvi.json").write_text(json.dumps(golden, indent=1) + "\n")

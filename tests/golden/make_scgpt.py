"""Writes scgpt/: two small networks of the shape of scGPT as PyTorch saves them, and what PyTorch computes with them.

python3 -m venv env && env/bin/pip install torch && env/bin/python make_scgpt.py

`pretrained` is a network that was pretrained, with fast attention and within data-parallel training: other names for the same
weights, parts that a perturbation model has not, no flags. `perturbation` is a perturbation model, with flags, a decoder, and
a batch normalisation that has met some cells.
"""

import json
import pathlib

import torch
from torch import nn

torch.manual_seed(0)
WIDTH, HEADS, HIDDEN, LAYERS = 16, 2, 24, 2
# The genes of a simulated screen, among the published special words.
GENES = [f"GENE{number:04}" for number in range(1, 188)]
GENES += [f"MT-{name}" for name in "ND1 ND2 CO1 CO2 ATP8 ATP6 CO3 ND3 ND4L ND4 ND5 ND6 CYB".split()]
WORDS = ["<pad>"] + GENES[::-1] + ["<cls>", "<eoc>"]


class Genes(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(len(WORDS), WIDTH, padding_idx=0)
        self.enc_norm = nn.LayerNorm(WIDTH)

    def forward(self, words):
        return self.enc_norm(self.embedding(words))


class Values(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear1 = nn.Linear(1, WIDTH)
        self.linear2 = nn.Linear(WIDTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, values):
        values = torch.clamp(values.unsqueeze(-1), max=512)
        return self.norm(self.linear2(torch.relu(self.linear1(values))))


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(WIDTH, WIDTH), nn.LeakyReLU(), nn.Linear(WIDTH, WIDTH), nn.LeakyReLU(), nn.Linear(WIDTH, 1)
        )

    def forward(self, hidden):
        return self.fc(hidden).squeeze(-1)


class Network(nn.Module):
    def __init__(self, is_of_perturbations):
        super().__init__()
        self.encoder = Genes()
        self.value_encoder = Values()
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, HIDDEN, dropout=0.2, batch_first=True)
        self.transformer_encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.decoder = Decoder()
        if is_of_perturbations:
            self.pert_encoder = nn.Embedding(3, WIDTH, padding_idx=2)
            self.bn = nn.BatchNorm1d(WIDTH, eps=6.1e-5)
        else:
            self.flag_encoder = nn.Embedding(2, WIDTH)
            self.mvc_decoder = nn.Linear(WIDTH, WIDTH)

    def hidden(self, words, values, flags):
        tokens = self.encoder(words) + self.value_encoder(values)
        if hasattr(self, "pert_encoder"):
            tokens = self.bn((tokens + self.pert_encoder(flags)).transpose(1, 2)).transpose(1, 2)
        return self.transformer_encoder(tokens)


def settle(network):
    """Weights away from where they start, so that none of them could be mixed up unseen."""
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if tensor.dim() == 1:
                tensor.add_(0.3 * torch.randn_like(tensor))


def published(network):
    """The names of fast attention within data-parallel training."""
    renamed = {}
    for name, tensor in network.state_dict().items():
        name = name.replace("self_attn.in_proj_", "self_attn.Wqkv.")
        renamed[f"module.{name}"] = tensor
    return renamed


folder = pathlib.Path(__file__).parent / "scgpt"
expected = {}
for name, is_of_perturbations in [("pretrained", False), ("perturbation", True)]:
    network = Network(is_of_perturbations)
    settle(network)
    genes = ["GENE0005", "GENE0001", "GENE0150", "MT-CO1", "GENE0042", "GENE0099"]
    words = torch.tensor([[WORDS.index(gene) for gene in genes]] * 3)
    values = torch.round(torch.rand(3, len(genes)) * 500) / 100
    values[0, 2] = 0.0
    flags = torch.tensor([[0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0]])
    if is_of_perturbations:
        network.train()
        with torch.no_grad():
            for _ in range(20):
                network.hidden(words, values + torch.rand_like(values), flags)
    network.eval()
    with torch.no_grad():
        hidden = network.hidden(words, values, flags)
        expected[name] = {
            "genes": genes,
            "values": values.flatten().tolist(),
            "flags": flags.flatten().tolist(),
            "hidden": hidden.flatten().tolist(),
            "predicted": network.decoder(hidden).flatten().tolist(),
        }
    here = folder / name
    here.mkdir(parents=True, exist_ok=True)
    state = network.state_dict() if is_of_perturbations else published(network)
    torch.save(state, here / "best_model.pt")
    arguments = {
        "embsize": WIDTH,
        "nheads": HEADS,
        "d_hid": HIDDEN,
        "nlayers": LAYERS,
        "n_layers_cls": 3,
        "dropout": 0.2,
        "n_bins": 51,
        "pad_token": "<pad>",
        "pad_value": -2,
        "input_style": "binned",
        "input_emb_style": "continuous",
        "pre_norm": False,
    }
    (here / "args.json").write_text(json.dumps(arguments, indent=1) + "\n")
    (here / "vocab.json").write_text(json.dumps({word: row for row, word in enumerate(WORDS)}, indent=0) + "\n")
(folder / "expected.json").write_text(json.dumps(expected) + "\n")

"""Writes variable_genes.json: what scanpy makes of the counts of preprocess.json and of two public screens.

python3 -m venv env && env/bin/pip install scanpy==1.11.5 "anndata<0.13" scikit-misc==0.5.3
SCFLOW_DATA=FOLDER env/bin/python make_variable_genes.py

numpy's default sort leaves equal values in an order that depends on the processor, and rare genes of equal variance are many:
with it, scanpy's own list for seurat_v3 with batches differs between machines. Here scanpy sorts stably.

Lists of chosen genes of the public screens are hexadecimal numbers with one bit for each gene, the first gene in the highest.
"""

import importlib.metadata
import json
import os
import pathlib
import warnings

import anndata
import numpy as np
import scanpy as sc
from scipy import sparse
from scipy.stats import median_abs_deviation

warnings.simplefilter("ignore")
argsort = np.argsort
np.argsort = lambda values, axis=-1, **_: argsort(values, axis=axis, kind="stable")
folder = pathlib.Path(__file__).parent
data_folder = pathlib.Path(os.environ.get("SCFLOW_DATA", folder / "../../../shared/data"))
FLAVORS = ["seurat", "cell_ranger", "seurat_v3"]


def kept(counts, obs, library_sizes):
    """Counts of genes in three cells or more, and their logarithms as float32."""
    counts = counts[:, np.asarray((counts > 0).sum(axis=0)).ravel() >= 3]
    logs = sparse.diags(1e4 / library_sizes) @ counts.astype(np.float64)
    data = anndata.AnnData(sparse.csr_matrix(logs.log1p().astype(np.float32)), obs=obs)
    data.layers["counts"] = sparse.csr_matrix(counts.astype(np.float32))
    return data


def find(data, flavor, batch_key, n_top):
    layer = "counts" if flavor == "seurat_v3" else None
    return sc.pp.highly_variable_genes(
        data, flavor=flavor, batch_key=batch_key, n_top_genes=n_top, layer=layer, inplace=False
    )


def columns(frame):
    return {
        name: [None if value != value else value for value in frame[name].tolist()]
        for name in frame.columns
        if name not in ("gene_name", "mean_bin")
    }


def bits(chosen):
    text = "".join("1" if is_chosen else "0" for is_chosen in chosen)
    return f"{int(text, 2):0{-(-len(text) // 4)}x}"


small = json.loads((folder / "preprocess.json").read_text())
counts = sparse.csr_matrix(np.array(small["counts"], dtype=np.float64))
batch = np.array(["x", "y", "z"])[np.arange(counts.shape[0]) * 7 % 10 // 4]
obs = {"batch": batch}
data = kept(counts, obs, np.asarray(counts.sum(axis=1)).ravel())
data.obs["batch"] = data.obs["batch"].astype("category")
cases = [
    {"flavor": flavor, "batched": key is not None, **columns(find(data, flavor, key, 40))}
    for flavor in FLAVORS
    for key in (None, "batch")
]


def outliers(values, training, n_deviations):
    """is_outlier of single-cell best practices (sc-best-practices.org, quality control), measured on training cells."""
    median, deviation = np.median(values[training]), median_abs_deviation(values[training])
    return values < median - n_deviations * deviation, values > median + n_deviations * deviation


total = np.asarray(counts.sum(axis=1)).ravel()
n_genes = np.asarray((counts > 0).sum(axis=1)).ravel()
is_mitochondrial = np.array([gene.startswith("MT-") for gene in small["genes"]])
percent = 100 * np.asarray(counts[:, is_mitochondrial].sum(axis=1)).ravel() / total
training = np.array(small["is_training"])
is_out = sum(
    below | above for below, above in (outliers(np.log1p(values), training, 2.0) for values in (total, n_genes))
).astype(bool)
is_out |= outliers(percent, training, 2.0)[1]

real = []
for name, keys, n_top in [
    ("kang18_ifnb_celltypes_scgen", [None, "perturbation", "cell_type"], 2000),
    ("norman19_k562_combo", [None, "half"], 100),
]:
    raw = anndata.read_h5ad(data_folder / f"{name}.h5ad")
    counts = sparse.csr_matrix(raw.X)
    sizes = np.asarray(raw.obs["total_counts"], float) if "total_counts" in raw.obs else counts.sum(axis=1).A1
    raw.obs["half"] = np.array(["a", "b"])[np.arange(raw.n_obs) % 2]
    data = kept(counts, raw.obs, sizes)
    for key in set(keys) - {None}:
        data.obs[key] = data.obs[key].astype("category")
    for flavor in FLAVORS:
        for key in keys:
            case = {"file": name, "flavor": flavor, "batch_key": key, "n_top_genes": n_top, "n_genes": data.n_vars}
            try:
                case["highly_variable"] = bits(find(data, flavor, key, n_top)["highly_variable"])
            except ValueError as error:
                case["refused"] = str(error)
            real.append(case)

golden = {
    "versions": {name: importlib.metadata.version(name) for name in ["scanpy", "anndata", "scikit-misc", "numpy"]},
    "batch": batch.tolist(),
    "n_top_genes": 40,
    "cases": cases,
    "outliers_at_2_deviations": is_out.tolist(),
    "real": real,
}
path = folder / "variable_genes.json"
path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")

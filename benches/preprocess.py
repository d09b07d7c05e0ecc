"""Times `scflow preprocess` against the same steps in scanpy, one after the other on one file.

usage: python benches/preprocess.py SCFLOW N_CELLS N_GENES [--only-scflow]
needs: scanpy, igraph, scikit-learn; for scanpy's neighbours a pynndescent that works with it (0.5)

Prints seconds per step and the peak memory of each process. scanpy reads, normalises and fits in steps of its own; scflow
reads the file anew in each step, so the steps are compared as they stand in STEPS.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

N_TYPES, N_DRUGS = 10, 6
# A step of scflow, and what scanpy does for the same.
STEPS = {
    "quality": ["read", "quality"],
    "variable genes": ["normalise", "variable genes"],
    "components": ["pca"],
    "neighbors": ["neighbors"],
    "Leiden": ["leiden"],
    "UMAP": ["umap"],
    "writing": ["write"],
}


def make(path, n_cells, n_genes):
    """Counts of cells of several types under several drugs, about one in twelve above zero."""
    import anndata
    import numpy as np
    import scipy.sparse as sp

    rng = np.random.default_rng(1)
    mean = rng.lognormal(-3.2, 1.6, n_genes)
    types = mean * np.exp(rng.normal(0, 1.4, (N_TYPES, n_genes)) * (rng.random((N_TYPES, n_genes)) < 0.1))
    drugs = np.exp(rng.normal(0, 1, (N_DRUGS, n_genes)) * (rng.random((N_DRUGS, n_genes)) < 0.05))
    drugs[0] = 1
    of_type, of_drug = rng.integers(0, N_TYPES, n_cells), rng.integers(0, N_DRUGS, n_cells)
    rows = []
    for some in np.array_split(np.arange(n_cells), max(1, n_cells // 2000)):
        depth = rng.lognormal(0, 0.35, (len(some), 1))
        rate = types[of_type[some]] * drugs[of_drug[some]] * depth * rng.gamma(2, 0.5, (len(some), n_genes))
        rows.append(sp.csr_matrix(rng.poisson(rate).astype(np.float32)))
    cells = anndata.AnnData(sp.vstack(rows, format="csr"))
    cells.obs["perturbation"] = [f"drug {drug}" if drug else "control" for drug in of_drug]
    cells.write_h5ad(path, compression="gzip")


def scanpy_steps(path, out):
    """The peer, in a process of its own."""
    import scanpy as sc

    seconds, begun = {}, time.perf_counter()

    def over(step):
        nonlocal begun
        now = time.perf_counter()
        seconds[step], begun = now - begun, now

    cells = sc.read_h5ad(path)
    over("read")
    sc.pp.calculate_qc_metrics(cells, inplace=True, percent_top=None)
    sc.pp.filter_cells(cells, min_genes=200)
    sc.pp.filter_genes(cells, min_cells=3)
    over("quality")
    cells.layers["counts"] = cells.X.copy()
    sc.pp.normalize_total(cells, target_sum=1e4)
    sc.pp.log1p(cells)
    over("normalise")
    sc.pp.highly_variable_genes(cells, n_top_genes=2000)
    over("variable genes")
    sc.pp.pca(cells, n_comps=50, mask_var="highly_variable")
    over("pca")
    sc.pp.neighbors(cells, n_neighbors=15)
    over("neighbors")
    sc.tl.leiden(cells, flavor="igraph", n_iterations=2, directed=False)
    over("leiden")
    sc.tl.umap(cells)
    over("umap")
    cells.write_h5ad(out, compression="gzip")
    over("write")
    print(json.dumps(seconds))


def measured(command):
    """Runs a command; its peak memory in KiB is the last line that is printed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout)
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
    return done.returncode


def run(command):
    """The lines that a command prints, and its peak memory in GiB."""
    # By way of a process that has no other child, as the system tells the greatest of all children.
    done = subprocess.run([sys.executable, __file__, "--measure", *map(str, command)], capture_output=True, text=True)
    *lines, peak = done.stdout.splitlines()
    if done.returncode:
        sys.exit("\n".join([f"{command[0]} failed:", *lines, done.stderr]))
    return lines, int(peak) / 2**20


def main():
    mode, *rest = sys.argv[1:]
    if mode == "--make":
        return make(rest[0], int(rest[1]), int(rest[2]))
    if mode == "--peer":
        return scanpy_steps(*rest)
    if mode == "--measure":
        return measured(rest)
    scflow, (n_cells, n_genes) = mode, rest[:2]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "atlas.h5ad"
        run([sys.executable, __file__, "--make", path, n_cells, n_genes])
        ours = [scflow, "preprocess", path, "-o", Path(folder) / "ours.h5ad", "--perturbation-column", "perturbation",
                "--control", "control", "--min-genes", "200", "--no-holdout", "--leiden", "--umap"]
        lines, peak = run(ours)
        line = next(line for line in lines if line.startswith("seconds: "))
        seconds = {}
        for part in line.removeprefix("seconds: ").split(", "):
            step, took = part.rsplit(" ", 1)
            step = "writing" if step.startswith("writing") else step
            seconds[step] = seconds.get(step, 0) + float(took)
        theirs, their_peak = {}, float("nan")
        if "--only-scflow" not in sys.argv:
            lines, their_peak = run([sys.executable, __file__, "--peer", path, Path(folder) / "theirs.h5ad"])
            theirs = json.loads(next(line for line in lines if line.startswith("{")))
    print(f"{'step':16}{'scflow s':>10}{'scanpy s':>10}{'ratio':>8}")
    total = 0
    for step, parts in STEPS.items():
        peer = sum(theirs.get(part, float("nan")) for part in parts)
        total += peer
        print(f"{step:16}{seconds[step]:10.2f}{peer:10.2f}{peer / max(seconds[step], 1e-9):8.1f}")
    mine = sum(seconds.values())
    print(f"{'total':16}{mine:10.2f}{total:10.2f}{total / mine:8.1f}")
    print(f"{'peak GiB':16}{peak:10.2f}{their_peak:10.2f}")


if __name__ == "__main__":
    sys.exit(main())

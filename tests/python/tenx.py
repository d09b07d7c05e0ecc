"""Asserts that `scflow import` makes of 10x Genomics' files and folders what scanpy makes of them.

usage: python tenx.py SCFLOW [FILE.h5 of CellRanger 3 or later]
needs: scanpy
"""

import gzip
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import anndata
import h5py
import numpy as np
import scanpy
import scipy.io
import scipy.sparse as sp

PUBLIC = "compat/scanpy_10x_3.0.0_filtered_feature_bc_matrix.h5"


def simulated(path):
    """A file like those of CellRanger, with doubled symbols and two types of features."""
    rng = np.random.default_rng(1)
    n_features, n_cells = 60, 300
    counts = sp.random(n_features, n_cells, 0.2, format="csc", random_state=2, data_rvs=lambda n: rng.integers(1, 99, n))
    symbols = [f"GENE{i % 25}" for i in range(50)] + [f"CD{i}" for i in range(10)]
    with h5py.File(path, "w") as file:
        matrix = file.create_group("matrix")
        matrix["barcodes"] = np.array([f"CELL{i:04}-1" for i in range(n_cells)], "S")
        matrix["data"], matrix["indices"] = counts.data.astype(np.int32), counts.indices.astype(np.int64)
        matrix["indptr"], matrix["shape"] = counts.indptr.astype(np.int64), np.array(counts.shape, np.int32)
        matrix["features/id"] = np.array([f"ENSG{i:05}" for i in range(n_features)], "S")
        matrix["features/name"] = np.array(symbols, "S")
        matrix["features/feature_type"] = np.array(["Gene Expression"] * 50 + ["Antibody Capture"] * 10, "S")
        matrix["features/genome"] = np.array(["GRCh38"] * 50 + [""] * 10, "S")


def old_file(path, adata):
    """The same cells as CellRanger 2 wrote them."""
    counts = sp.csr_matrix(adata.X)
    with h5py.File(path, "w") as file:
        group = file.create_group("GRCh38")
        group["barcodes"] = adata.obs_names.to_numpy().astype("S")
        group["genes"], group["gene_names"] = adata.var["gene_ids"].to_numpy().astype("S"), adata.var_names.to_numpy().astype("S")
        group["data"], group["indices"] = counts.data.astype(np.int32), counts.indices.astype(np.int64)
        group["indptr"], group["shape"] = counts.indptr.astype(np.int64), np.array(adata.shape[::-1], np.int32)


def folder(path, adata, compress, old, shuffle=False):
    """The same cells in three files."""
    path.mkdir()
    end, make = (".gz", gzip.open) if compress else ("", open)
    matrix = sp.coo_matrix(adata.X.T)
    # CellRanger writes cell by cell; others may not.
    order = np.random.default_rng(3).permutation(matrix.nnz) if shuffle else np.lexsort((matrix.row, matrix.col))
    matrix = sp.coo_matrix((matrix.data[order].astype(np.int32), (matrix.row[order], matrix.col[order])), matrix.shape)
    with make(path / f"matrix.mtx{end}", "wb") as file:
        scipy.io.mmwrite(file, matrix)
    with make(path / f"barcodes.tsv{end}", "wt") as file:
        file.writelines(f"{name}\n" for name in adata.obs_names)
    with make(path / f"{'genes' if old else 'features'}.tsv{end}", "wt") as file:
        types = [""] * adata.n_vars if old else [f"\t{kind}" for kind in adata.var["feature_types"]]
        file.writelines(f"{i}\t{n}{t}\n" for i, n, t in zip(adata.var["gene_ids"], adata.var_names, types))


def imported(scflow, path, output, *flags):
    done = subprocess.run([scflow, "import", path, "-o", output, "--force", *flags], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return anndata.read_h5ad(output), done.stderr


def same(left, right):
    """Equality of counts, names and columns of genes; where anndata would make a column categorical, it may be one."""
    assert left.shape == right.shape, (left.shape, right.shape)
    assert (left.obs_names == right.obs_names).all() and (left.var_names == right.var_names).all()
    assert sorted(left.var.columns) == sorted(right.var.columns), (left.var.columns, right.var.columns)
    for name in left.var.columns:
        assert (left.var[name].astype(str) == right.var[name].astype(str)).all(), name
    assert left.X.dtype == right.X.dtype == np.float32
    assert (sp.csr_matrix(left.X) != sp.csr_matrix(right.X)).nnz == 0


def check(scflow, path, place):
    output = place / "out.h5ad"
    whole = scanpy.read_10x_h5(path, gex_only=False)
    same(whole_unique(whole), imported(scflow, path, output, "--feature-type", "all", "--unique")[0])
    genes, told = imported(scflow, path, output, "--unique")
    same(whole_unique(scanpy.read_10x_h5(path)), genes)
    others = whole.n_vars - genes.n_vars
    assert others == 0 or f"left out {others} features" in told, told
    by_id = imported(scflow, path, output, "--names", "ids")[0]
    assert (by_id.var_names == genes.var["gene_ids"]).all() and "gene_symbols" in by_id.var
    for compress, old, shuffle in ((True, False, False), (False, True, False), (True, False, True)):
        three = place / f"{path.stem} {compress} {old} {shuffle}"
        folder(three, whole, compress, old, shuffle)
        same(scanpy.read_10x_mtx(three), imported(scflow, three, output, "--unique")[0])
        same(scanpy.read_10x_mtx(three, var_names="gene_ids"), imported(scflow, three, output, "--names", "ids")[0])
    two = place / f"{path.stem} of CellRanger 2.h5"
    old_file(two, whole)
    same(whole_unique(scanpy.read_10x_h5(two)), imported(scflow, two, output, "--unique")[0])
    print(f"import: {path.name} is as scanpy reads it ({genes.n_obs} × {genes.n_vars})")


def whole_unique(adata):
    adata.var_names_make_unique()
    return adata


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    public = Path(__file__).resolve().parents[2] / "../shared/data" / PUBLIC
    public = Path(sys.argv[2]) if len(sys.argv) == 3 else public
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as place:
        warnings.simplefilter("ignore")
        place = Path(place)
        simulated(place / "simulated.h5")
        check(sys.argv[1], place / "simulated.h5", place)
        if public.is_file():
            check(sys.argv[1], public, place)
        else:
            print(f"skipped: {public} is absent")

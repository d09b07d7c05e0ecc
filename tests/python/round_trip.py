"""Asserts that what anndata writes survives scflow: slot by slot, with types, through `import` and through `preprocess`.

usage: python round_trip.py SCFLOW [FOLDER OF PUBLIC FILES]
needs: anndata, scanpy
"""

import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import scanpy
import scipy.sparse as sp

N_CELLS, N_GENES = 60, 40
# Files that anndata wrote; that without X has no counts, but is to survive all the same.
PUBLIC = [
    "compat/anndata_v0.5.0_adata.h5ad",
    "compat/anndata_v0.7.0_adata.h5ad",
    "compat/anndata_v0.7.8_adata.h5ad",
    "compat/anndata_v0.11.4_adata.h5ad",
    "compat/scanpy_10x_pbmc68k_reduced.h5ad",
    "compat/scgen2018_valid_legacy_anndata0.6.h5ad",
    "kang18_ifnb_celltypes_scgen.h5ad",
    "norman19_k562_combo.h5ad",
]


def frame(names, seed):
    """A table with every kind of column."""
    rng = np.random.default_rng(seed)
    n = len(names)
    gaps = rng.random(n) < 0.3
    table = pd.DataFrame(index=names)
    table["float64"] = np.where(gaps, np.nan, rng.normal(size=n))
    table["float32"] = rng.normal(size=n).astype(np.float32)
    table["int32"] = rng.integers(-9, 9, n).astype(np.int32)
    table["int64"] = rng.integers(-(2**40), 2**40, n)
    table["uint8"] = rng.integers(0, 255, n).astype(np.uint8)
    table["bool"] = rng.random(n) < 0.5
    table["text ß"] = [f"Zelle {i} — é" for i in range(n)]
    labels = rng.choice(["B cell", "T cell", "NK"], n)
    table["categorical"] = pd.Categorical(labels)
    table["missing"] = pd.Categorical(np.where(gaps, None, labels), categories=["T cell", "NK", "B cell", "none"])
    table["ordered"] = pd.Categorical(rng.choice(["low", "high"], n), categories=["low", "mid", "high"], ordered=True)
    table["numbers"] = pd.Categorical(rng.choice([1, 5, 10], n))
    table["nullable integer"] = pd.array(np.where(gaps, None, rng.integers(0, 99, n)), dtype="Int64")
    table["small nullable"] = pd.array(np.where(gaps, None, rng.integers(0, 99, n)), dtype="UInt8")
    table["nullable boolean"] = pd.array(np.where(gaps, None, rng.random(n) < 0.5), dtype="boolean")
    table["nothing missing"] = pd.array(rng.integers(0, 99, n), dtype="Int32")
    return table


def every_slot():
    """Cells with every slot that anndata has, and values of every kind in each."""
    rng = np.random.default_rng(1)
    cells = [f"cell {i}" for i in range(N_CELLS)]
    genes = [f"gene/{i}" if i == 3 else f"Gen-α{i}" for i in range(N_GENES)]
    counts = sp.random(N_CELLS, N_GENES, 0.3, format="csr", random_state=1, data_rvs=lambda n: rng.integers(1, 50, n))
    adata = anndata.AnnData(counts.astype(np.float32), frame(cells, 2), frame(genes, 3))
    adata.obs["perturbation"] = pd.Categorical(np.resize(["control", "A", "B", "A+B"], N_CELLS))
    adata.layers["integers csr"] = counts.astype(np.int32)
    adata.layers["floats csc"] = sp.csc_matrix(counts, dtype=np.float64)
    adata.layers["dense"] = rng.normal(size=(N_CELLS, N_GENES)).astype(np.float32)
    adata.layers["integers dense"] = counts.toarray().astype(np.int64)
    for slot, n in (("obsm", N_CELLS), ("varm", N_GENES)):
        arrays = getattr(adata, slot)
        names = cells if n == N_CELLS else genes
        arrays["float64"] = rng.normal(size=(n, 3))
        arrays["three dimensions"] = rng.normal(size=(n, 3, 2))
        arrays["integers"] = rng.integers(0, 9, (n, 2)).astype(np.int16)
        arrays["sparse"] = sp.random(n, 5, 0.4, format="csr", random_state=4)
        arrays["sparse columns"] = sp.csc_matrix(sp.random(n, 5, 0.4, random_state=5))
        arrays["table"] = frame(names, 6)
    for slot, n in (("obsp", N_CELLS), ("varp", N_GENES)):
        pairs = getattr(adata, slot)
        pairs["distances"] = sp.random(n, n, 0.1, format="csr", random_state=7)
        pairs["columns"] = sp.csc_matrix(sp.random(n, n, 0.1, random_state=8, dtype=np.float32))
        pairs["dense"] = rng.normal(size=(n, n))
    whole = anndata.AnnData(sp.csr_matrix(rng.integers(0, 9, (N_CELLS, N_GENES + 5)).astype(np.int32)))
    whole.obs_names, whole.var = cells, frame([f"raw {i}" for i in range(N_GENES + 5)], 9)
    whole.varm["loadings"] = rng.normal(size=(N_GENES + 5, 2))
    adata.raw = whole
    ranks = np.zeros(4, dtype=[("A", "<f4"), ("B cell", "<f8")])
    ranks["A"] = [1, 2, 3, 4]
    names = np.array([("g1", "Gen ä"), ("g3", "")], dtype=[("A", "O"), ("B cell", "O")])
    adata.uns = {
        "text": "line\n“quoted” ß",
        "number": 1e-300,
        "integer": -7,
        "truth": True,
        "texts": np.array(["x", "ÿ"], dtype=object),
        "one text": np.array(["x"], dtype=object),
        "matrix": rng.normal(size=(3, 4)),
        "cube": rng.integers(0, 9, (2, 3, 4)).astype(np.int8),
        "sparse": sp.random(7, 9, 0.3, format="csc", random_state=3),
        "table": frame(["a", "b", "c"], 10),
        "empty": {},
        "rank_genes_groups": {"params": {"groupby": "perturbation", "use_raw": True}, "scores": ranks, "names": names},
        "nested": {"deeper": {"deepest": np.arange(5, dtype=np.uint16), "categorical": pd.Categorical(["u", "v", "u"])}},
    }
    return adata


def columns_with_slashes(path):
    """Columns whose names hold a `/`, which old versions of anndata wrote; today's refuses the names when it writes."""
    adata = anndata.AnnData(sp.csr_matrix(np.eye(4, dtype=np.float32)))
    adata.obs["A"], adata.obs["kind"] = [1, 2, 3, 4], pd.Categorical(["u", "v", "u", "v"])
    adata.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        obs = file["obs"]
        obs.create_group("dose")
        obs.move("A", "dose/µM")
        obs.attrs["column-order"] = ["dose/µM", "kind"]


def same(path, left, right):
    """Equality of any two values of an AnnData file, with their types."""
    if isinstance(left, dict):
        assert sorted(left) == sorted(right), (path, sorted(left), sorted(right))
        for key in left:
            same(f"{path}/{key}", left[key], right[key])
    elif isinstance(left, pd.DataFrame):
        pd.testing.assert_frame_equal(left, right, obj=path)
    elif sp.issparse(left):
        assert type(left) is type(right) and left.dtype == right.dtype, (path, type(left), type(right), left.dtype)
        assert left.shape == right.shape and (left != right).nnz == 0, path
        assert left.has_sorted_indices <= right.has_sorted_indices, path
    elif isinstance(left, pd.api.extensions.ExtensionArray):
        pd.testing.assert_extension_array_equal(left, right, obj=path)
    elif isinstance(left, np.ndarray) and left.dtype.names:
        assert left.dtype.names == right.dtype.names, path
        for name in left.dtype.names:
            assert left[name].dtype == right[name].dtype, (path, name, left[name].dtype, right[name].dtype)
            np.testing.assert_array_equal(left[name], right[name], err_msg=f"{path}/{name}")
    elif isinstance(left, np.ndarray):
        # Texts of fixed length, which old versions wrote, become texts as today's writes them.
        left = left.astype(object) if left.dtype.kind == "U" and right.dtype.kind == "O" else left
        assert left.dtype == right.dtype, (path, left.dtype, right.dtype)
        np.testing.assert_array_equal(left, right, err_msg=path)
    else:
        # Of single values without an encoding, anndata gives numpy's types.
        left, right = (value.item() if isinstance(value, np.generic) else value for value in (left, right))
        assert type(left) is type(right) and left == right, (path, left, right)


def same_cells(left, right):
    """Equality of every slot."""
    for slot in ("obs", "var"):
        same(slot, getattr(left, slot), getattr(right, slot))
    assert (left.X is None) == (right.X is None)
    if left.X is not None:
        same("X", left.X, right.X)
    for slot in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
        same(slot, dict(getattr(left, slot)), dict(getattr(right, slot)))
    assert (left.raw is None) == (right.raw is None)
    if left.raw is not None:
        same("raw/X", left.raw.X, right.raw.X)
        same("raw/var", left.raw.var, right.raw.var)
        same("raw/varm", dict(left.raw.varm), dict(right.raw.varm))


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stderr}"
    return done.stderr


def check_encodings(path):
    """Everything says what it is, in an encoding of today."""
    with h5py.File(path, "r") as file:
        assert dict(file.attrs)["encoding-type"] == "anndata"

        def visit(name, element):
            inside = element.parent.attrs.get("encoding-type", "")
            if element.attrs.get("encoding-type") is None:
                # The parts of a sparse matrix, and the group around a column whose name holds a "/".
                assert inside in ("csr_matrix", "csc_matrix") or isinstance(element, h5py.Group), name
            else:
                version = element.attrs["encoding-version"]
                assert (element.attrs["encoding-type"], version) != ("dataframe", "0.1.0"), name

        file.visititems(visit)


def imported(scflow, path, folder):
    """What anndata reads is what it reads after an import, and a second import changes no byte."""
    outputs = [folder / "1.h5ad", folder / "2.h5ad"]
    for output in outputs:
        told = run(scflow, "import", path, "-o", output, "--force")
        assert "left out" not in told, told
    assert outputs[0].read_bytes() == outputs[1].read_bytes(), path
    check_encodings(outputs[0])
    same_cells(anndata.read_h5ad(path), anndata.read_h5ad(outputs[0]))
    print(f"import: {path.name} is the same afterwards")


def prepared(scflow, adata, folder):
    """`preprocess` keeps every slot that it does not replace, cut to its cells and genes, with the types."""
    screen, output = folder / "screen.h5ad", folder / "prepared.h5ad"
    # The last cell has no counts, and goes.
    counts = adata.X.tolil()
    counts[-1] = 0
    screen_cells = adata.copy()
    screen_cells.X = counts.tocsr()
    screen_cells.write_h5ad(screen)
    asked = ["--perturbation-column", "perturbation", "--control", "control", "--holdout", "A+B", "--n-components", "5"]
    run(scflow, "preprocess", screen, "-o", output, "--force", *asked)
    out = anndata.read_h5ad(output)
    assert 0 < out.n_obs < adata.n_obs
    expected = anndata.read_h5ad(screen)[out.obs_names, out.var_names].copy()
    same("counts", expected.X.toarray(), out.layers["counts"].toarray())
    for table in ("obs", "var"):
        left, right = getattr(expected, table), getattr(out, table)
        for name in left.columns:
            # Of what it cuts, anndata drops categories that are left without a row.
            column = right[name]
            if hasattr(column, "cat") and name != "perturbation":
                right[name] = column.cat.remove_unused_categories()
            pd.testing.assert_series_equal(left[name], right[name], obj=f"{table}/{name}")
        own = [name for name in right.columns if name in left.columns and name != "perturbation"]
        assert own == [name for name in left.columns if name != "perturbation"], own
    for slot in ("layers", "obsm", "varm", "obsp", "varp"):
        left, right = dict(getattr(expected, slot)), dict(getattr(out, slot))
        for name in left:
            cut = right[name]
            if isinstance(cut, pd.DataFrame):
                used = {n: c.cat.remove_unused_categories() for n, c in cut.items() if hasattr(c, "cat")}
                cut = cut.assign(**used)
            same(f"{slot}/{name}", left[name], cut)
    same("raw/X", expected.raw.X, out.raw.X)
    same("raw/var", expected.raw.var, out.raw.var)
    same("raw/varm", dict(expected.raw.varm), dict(out.raw.varm))
    for name, value in expected.uns.items():
        same(f"uns/{name}", value, out.uns[name])
    print(f"preprocess: every slot is kept for the {out.n_obs} cells and {out.n_vars} genes that are left")


def public_files(scflow, data, folder):
    for name in PUBLIC:
        path = data / name
        if path.is_file():
            imported(scflow, path, folder)
        else:
            print(f"skipped: {path} is absent")


def main(scflow, data):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        adata = every_slot()
        for compression in (None, "gzip", "lzf"):
            path = folder / f"every slot, {compression}.h5ad"
            adata.write_h5ad(path, compression=compression)
            imported(scflow, path, folder)
        path = folder / "slashes.h5ad"
        columns_with_slashes(path)
        imported(scflow, path, folder)
        prepared(scflow, adata, folder)
        public_files(scflow, data, folder)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    beside = Path(__file__).resolve().parents[2] / "../shared/data"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) == 3 else beside)

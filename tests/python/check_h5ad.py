"""Asserts that a written .h5ad file opens in anndata (and works in scanpy, where that is installed); prints a summary.

usage: python check_h5ad.py FILE.h5ad [FILE.h5ad …]
needs: anndata ≥ 0.8; scanpy if there
"""

import sys
import warnings

import anndata
import h5py
import numpy as np
import scipy.sparse as sp

# What every anndata ≥ 0.8 reads; newer encodings must not be written.
ENCODINGS = {
    "anndata": "0.1.0",
    "dict": "0.1.0",
    "csr_matrix": "0.1.0",
    "dataframe": "0.2.0",
    "categorical": "0.2.0",
    "array": "0.2.0",
    "string-array": "0.2.0",
    "string": "0.2.0",
    "numeric-scalar": "0.2.0",
}


def check_encodings(path):
    """Every element says what it is, in a version that old readers know; sparse indices have one integer type."""
    with h5py.File(path, "r") as file:
        assert dict(file.attrs)["encoding-type"] == "anndata"

        def visit(name, element):
            inside_sparse = element.parent.attrs.get("encoding-type") == "csr_matrix"
            encoding = element.attrs.get("encoding-type")
            if encoding is None:
                # The parts of a sparse matrix, and the group around a column whose name holds a "/".
                assert inside_sparse or isinstance(element, h5py.Group), name
                return
            assert element.attrs["encoding-version"] == ENCODINGS[encoding], (name, encoding)
            if encoding == "csr_matrix":
                assert element["data"].dtype == np.float32, name
                assert element["indices"].dtype == element["indptr"].dtype, name

        file.visititems(visit)
        for table in ("obs", "var"):
            assert file[table].attrs["encoding-type"] == "dataframe"


def check_matrix(matrix, name, shape):
    assert matrix.shape == shape, (name, matrix.shape, shape)
    assert sp.issparse(matrix) and matrix.format == "csr" and matrix.dtype == np.float32, name
    fresh = sp.csr_matrix((matrix.data, matrix.indices, matrix.indptr), shape=shape)
    fresh.check_format(full_check=True)
    assert fresh.has_canonical_format, f"{name}: unsorted or duplicate indices"


def check(path):
    check_encodings(path)
    adata = anndata.read_h5ad(path)
    check_matrix(adata.X, "X", adata.shape)
    for name, layer in adata.layers.items():
        check_matrix(layer, f"layers/{name}", adata.shape)
    for name, array in adata.obsm.items():
        assert array.shape[0] == adata.n_obs and array.dtype == np.float32, name
    for name, array in adata.varm.items():
        assert array.shape[0] == adata.n_vars and array.dtype == np.float32, name
    assert all(isinstance(name, str) for name in [*adata.obs_names, *adata.var_names])
    print(adata)
    print("obs:", {name: str(dtype) for name, dtype in adata.obs.dtypes.items()})
    print("uns:", sorted(adata.uns))
    components = check_scanpy(adata)
    print(f"{path}: opens in anndata {anndata.__version__}{components}")


def check_scanpy(adata):
    """Principal components of a log-normalised copy, as a user would make them."""
    try:
        import scanpy
    except ImportError:
        return ""
    if min(adata.shape) < 12 or adata.X.nnz == 0 or not np.isfinite(adata.X.data).all() or adata.X.min() < 0:
        return f", scanpy {scanpy.__version__} (too small or not counts: no PCA)"
    copy = anndata.AnnData(adata.X.copy())
    scanpy.pp.normalize_total(copy, target_sum=1e4)
    scanpy.pp.log1p(copy)
    scanpy.pp.pca(copy, n_comps=5)
    assert copy.obsm["X_pca"].shape == (adata.n_obs, 5) and np.isfinite(copy.obsm["X_pca"]).all()
    return f" and scanpy {scanpy.__version__} (normalised, 5 principal components)"


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        for path in sys.argv[1:]:
            check(path)

"""Writes gene_decoder.json: quantiles, zero probabilities and expected log1p values of count laws, by SciPy.

python3 -m venv env && env/bin/pip install numpy scipy && env/bin/python make_gene_decoder.py
"""

import json
import pathlib

import numpy as np
import scipy
from scipy import stats

UNIFORMS = [1e-6, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999999]
PER_COUNT = 0.7


def law(mean, dispersion):
    if dispersion == 0:
        return stats.poisson(mean)
    size = 1 / dispersion
    return stats.nbinom(size, size / (size + mean))


cases = []
for mean in [0.004, 0.3, 1.0, 4.6, 73.0, 1500.0]:
    for dispersion in [0.0, 0.02, 0.7, 6.0]:
        count = law(mean, dispersion)
        counts = np.arange(int(count.ppf(1 - 1e-13)) + 2)
        cases.append(
            {
                "mean": mean,
                "dispersion": dispersion,
                "quantiles": [float(count.ppf(u)) for u in UNIFORMS],
                "zero": float(count.pmf(0)),
                "log1p": float((count.pmf(counts) * np.log1p(PER_COUNT * counts)).sum()),
            }
        )
golden = {"scipy": scipy.__version__, "uniforms": UNIFORMS, "per_count": PER_COUNT, "cases": cases}
pathlib.Path(__file__).with_name("gene_decoder.json").write_text(json.dumps(golden, indent=1) + "\n")

"""Runs the code of every notebook on the results of a run; fails where a cell does.

usage: python run_notebooks.py RESULTS
needs: anndata, scanpy
"""

import json
import pathlib
import sys

import matplotlib

matplotlib.use("Agg")
results = pathlib.Path(sys.argv[1]).resolve()
notebooks = pathlib.Path(__file__).resolve().parents[2] / "notebooks"
for path in sorted(notebooks.glob("*.ipynb")):
    namespace = {}
    for number, cell in enumerate(json.loads(path.read_text())["cells"]):
        if cell["cell_type"] != "code":
            continue
        source = "".join(cell["source"]).replace("../runs/simulated", str(results))
        exec(compile(source, f"{path.name}, cell {number}", "exec"), namespace)
    print(f"{path.name}: ran on {results}")

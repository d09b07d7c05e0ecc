#!/usr/bin/env bash
# Sets up what is needed and runs all tests: those of cargo, the Snakemake workflow on a small simulated screen, and the
# checks in Python that other tools can work with what scflow writes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. pipelines/setup.sh

need_build_tools
cargo test --release --locked
cargo build --release --locked

need_python_packages tests/python/requirements.txt
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
echo "snakemake: the workflow on a small simulated screen"
"$python_home/bin/python" -m snakemake --snakefile pipelines/Snakefile --configfile pipelines/test.yaml \
  --config scflow="$(realpath "$scflow")" output="$results" --cores 2 --quiet all
test -s "$results/report.html"
for check in tests/python/check_*.py; do
  echo "python: $check"
  "$python_home/bin/python" "$check" "$results"/*.h5ad
done
echo "anndata, scanpy: what they read is what they read after an import"
"$python_home/bin/python" tests/python/round_trip.py "$scflow"
"$python_home/bin/python" tests/python/tenx.py "$scflow"
echo "tokenizers: the tokens that the model read"
"$python_home/bin/python" tests/python/tokenizer.py "$results/2-model" "$results/3-predicted.h5ad"
echo "cell-eval: its own numbers for the same cells"
# As many cells as there are real ones, so that tests of genes see all cells on both sides, as cell-eval's do.
asked=(--holdout --cells 5000 --at-most-comparable --seed 1 --quiet)
"$scflow" predict "$results/2-model" "${asked[@]}" --output "$results/as-many.h5ad"
"$scflow" evaluate "$results/as-many.h5ad" --truth "$results/1-prepared.h5ad" --output "$results/scores-as-many" --quiet
"$scflow" predict "$results/2-model" "${asked[@]}" \
  --emit-as cell-eval --truth "$results/1-prepared.h5ad" --output "$results/cell-eval"
"$python_home/bin/python" tests/python/cell_eval.py "$results/cell-eval" "$results/scores-as-many"
echo "perturbench, pertpy: the shape of the files, distances by pertpy's definition"
for program in perturbench pertpy; do
  "$scflow" predict "$results/2-model" "${asked[@]}" \
    --emit-as "$program" --truth "$results/1-prepared.h5ad" --output "$results/for-$program"
done
"$python_home/bin/python" tests/python/emitted.py \
  "$results/for-perturbench" "$results/for-pertpy" "$results/1-prepared.h5ad" "$results/scores-as-many"
if browser=$(find_browser); then
  echo "browser: the pages"
  "$python_home/bin/python" tests/python/browser.py "$browser" "$results/report.html" "$results/benchmark/report.html"
else
  echo "browser: none found (chromium or google-chrome), and no root to install one: the pages were not opened"
fi
echo "python: the notebooks"
"$python_home/bin/python" tests/python/run_notebooks.py "$results"
echo "all tests passed"

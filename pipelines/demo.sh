#!/usr/bin/env bash
# Builds scflow, simulates a screen, holds out pairs of perturbations, fits a model to the rest, generates the held-out
# cells, and writes a report. The last line is the report's path. Arguments go to `scflow run`, such as --output FOLDER.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. pipelines/setup.sh

need_build_tools
cargo build --release --locked
"$scflow" run pipelines/simulated.toml "$@"

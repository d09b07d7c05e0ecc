#!/usr/bin/env bash
# How well every method and every formulation tells held-out conditions, at equal CPU seconds: makes the screens, runs
# benches/comparison.rs twice side by side (one thread each), and prints two tables in Markdown.
#
#   bash benches/comparison.sh FOLDER [NORMAN.h5ad] [KANG.h5ad]
#
# Norman et al. 2019 and Kang et al. 2018 are optional: raw counts with obs columns `perturbation` (control, A, A+B) and, for
# Kang, `cell_type`. BUDGET (CPU seconds per fit, 15) and SEEDS (3) can be set in the environment.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:?a folder for screens and results}
norman=${2:-}
kang=${3:-}
mkdir -p "$folder"

cargo build --release --bin scflow
cargo bench --no-run --bench comparison
scflow=${CARGO_TARGET_DIR:-target}/release/scflow

# Screens that nothing was tuned on.
pairs=(--holdout "drug A + drug B" --holdout "drug A + drug F" --holdout "drug B + drug G" --holdout "drug C + drug D"
    --holdout "drug C + drug H" --holdout "drug E + drug F")
screens=()
for interactions in readable hidden; do
    $scflow simulate --seed 11 --interactions $interactions -o "$folder/raw.h5ad" --force --quiet
    $scflow preprocess "$folder/raw.h5ad" -o "$folder/$interactions.h5ad" --perturbation-column perturbation \
        --control control --covariate cell_type "${pairs[@]}" --force --quiet
    screens+=("$interactions=$folder/$interactions.h5ad")
done
rm "$folder/raw.h5ad"
few=("${screens[@]}")
if [ -n "$kang" ]; then
    for type in B CD14+Mono; do
        $scflow preprocess "$kang" -o "$folder/kang_$type.h5ad" --perturbation-column perturbation --control control \
            --covariate cell_type --holdout "IFN-beta | cell_type=$type" --force --quiet
        screens+=("kang-$type=$folder/kang_$type.h5ad")
    done
    few+=("kang-B=$folder/kang_B.h5ad")
fi
if [ -n "$norman" ]; then
    for pair in KLF1+MAP2K6 MAPK1+TGFBR2; do
        $scflow preprocess "$norman" -o "$folder/norman_$pair.h5ad" --perturbation-column perturbation --control control \
            --size-factors total_counts --holdout "$pair" --force --quiet
        screens+=("norman-$pair=$folder/norman_$pair.h5ad")
    done
    few+=("norman-KLF1+MAP2K6=$folder/norman_KLF1+MAP2K6.h5ad")
fi

compare() { # SETTINGS SCREENS…
    local settings=$1 part
    shift
    for part in 1 2; do
        cargo bench --quiet --bench comparison -- --settings "$settings" --budget "${BUDGET:-15}" --seeds "${SEEDS:-3}" \
            --part $part/2 "$@" > "$folder/$settings.$part.csv" &
    done
    wait
    cat "$folder/$settings".?.csv > "$folder/$settings.csv"
    cargo bench --quiet --bench comparison -- --summarise "$folder/$settings.csv" | tee "$folder/$settings.md"
}
compare methods "${screens[@]}"
compare formulations "${few[@]}"

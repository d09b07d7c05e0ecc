#!/usr/bin/env bash
# Which reader of descriptions tells best what components do that were never measured? The screens of ../described.sh, and
# control cells moved by the effects that additive-shift estimates from descriptions: from their words, or from the hidden states of a
# small GPT-NeoX, pretrained on such sentences of other screens or as it was drawn, pooled by their mean or taken from the last
# token. Once with the descriptions as they are, which all have the same words for the same things, and once in other words
# (reword.py), which the pretrained model has met.
#
# usage: bash benches/language/text_encoder.sh FOLDER [SEEDS]; needs scflow in SCFLOW or on the PATH, awk, and PYTHON with torch,
# transformers and tokenizers; some minutes.
set -euo pipefail
folder=$1 seeds=${2:-3} scflow=${SCFLOW:-scflow} python=${PYTHON:-python3}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$folder"
SCFLOW=$scflow PYTHON=$python bash "$here/pretrain.sh" "$folder"
columns=(--perturbation-column perturbation --control control --covariate cell_type)
declare -A arms=(
  [words]="" [pretrained-mean]="--text-encoder $folder/model" [pretrained-last]="--text-encoder $folder/model --text-pooling last"
  [random-mean]="--text-encoder $folder/random" [random-last]="--text-encoder $folder/random --text-pooling last"
)
for ((seed = 0; seed < seeds; seed++)); do
  own="$folder/$seed"
  mkdir -p "$own"
  "$scflow" simulate -o "$own/raw.h5ad" --descriptions "$own/same.csv" --cells 14000 --genes 1000 --singles 48 --pairs 60 \
    --pathways 10 --cell-types 2 --seed "$seed" --quiet --force
  "$python" "$here/reword.py" "$own/same.csv" "$own/other.csv" "$seed"
  "$scflow" split "$own/raw.h5ad" -o "$own/split.csv" --scheme unseen-single --fraction 0.25 --seed "$seed" "${columns[@]}" --force --quiet
  "$scflow" preprocess "$own/raw.h5ad" -o "$own/prepared.h5ad" --split "$own/split.csv" "${columns[@]}" --quiet --force
  for wording in same other; do
    for arm in "${!arms[@]}"; do
      at="$own/$wording-$arm"
      # The arms are lists of flags.
      # shellcheck disable=SC2086
      "$scflow" fit "$own/prepared.h5ad" -o "$at" --method additive-shift --descriptions "$own/$wording.csv" ${arms[$arm]} --seed "$seed" \
        --force 2>&1 | grep "^descriptions: .* left out" | sed "s/^/$seed $wording $arm /"
      "$scflow" predict "$at" -o "$at.h5ad" --holdout --allow-unseen --at-most-comparable --seed "$seed" --quiet --force
      "$scflow" evaluate "$at.h5ad" --truth "$own/prepared.h5ad" -o "$at-scores" --min-cells 15 --allow-missing --seed "$seed" --quiet \
        --force >"$at-scores.txt"
    done
  done
done
# Means over seeds of the means over conditions, lowest and highest; the simple estimates are the same beside all arms.
for wording in same other; do
  for arm in "${!arms[@]}"; do
    cat "$folder"/[0-9]*/"$wording-$arm-scores/intervals.csv" | sed "s/,model,/,$wording $arm,/"
  done
done | awk -F, -v OFS='\t' '
  ($1 ~ /^(unseen_single|combo_seen)/) && ($3 == "edist_l2" || $3 == "pearson_delta") {
    key = $1 SUBSEP $2 SUBSEP $3
    files[key]++; sum[key] += $4; if (files[key] == 1 || $4 < low[key]) low[key] = $4; if (files[key] == 1 || $4 > high[key]) high[key] = $4
  }
  END { for (key in sum) { split(key, part, SUBSEP); print part[1], part[3], part[2], sum[key] / files[key], low[key], high[key], files[key] } }
' | sort

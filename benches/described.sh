#!/usr/bin/env bash
# Do descriptions tell what components do that were never measured? Simulated screens of 48 components in 10 classes, a quarter
# of which is held out with every pair that contains one; single effects of these from their descriptions, against control
# cells as they are and control cells moved by the mean effect of all perturbations.
#
# usage: bash benches/described.sh FOLDER [SEEDS]; needs scflow on the PATH or in SCFLOW, and awk; a minute or two for each seed.
set -euo pipefail
folder=$1 seeds=${2:-3} scflow=${SCFLOW:-scflow}
mkdir -p "$folder"
columns=(--perturbation-column perturbation --control control --covariate cell_type)
for ((seed = 0; seed < seeds; seed++)); do
  own="$folder/$seed"
  mkdir -p "$own"
  "$scflow" simulate -o "$own/raw.h5ad" --descriptions "$own/drugs.csv" --cells 14000 --genes 1000 --singles 48 --pairs 60 \
    --pathways 10 --cell-types 2 --seed "$seed" --quiet --force
  "$scflow" split "$own/raw.h5ad" -o "$own/split.csv" --scheme unseen-single --fraction 0.25 --seed "$seed" "${columns[@]}" --force
  "$scflow" preprocess "$own/raw.h5ad" -o "$own/prepared.h5ad" --split "$own/split.csv" "${columns[@]}" --quiet --force
  for method in additive-shift interaction-shift; do
    "$scflow" fit "$own/prepared.h5ad" -o "$own/$method" --method "$method" --descriptions "$own/drugs.csv" --seed "$seed" --force
    "$scflow" predict "$own/$method" -o "$own/$method.h5ad" --holdout --allow-unseen --at-most-comparable --seed "$seed" --quiet --force
    "$scflow" evaluate "$own/$method.h5ad" --truth "$own/prepared.h5ad" -o "$own/$method-scores" --min-cells 15 --allow-missing \
      --seed "$seed" --quiet --force >"$own/$method-scores.txt"
  done
done
# Means over seeds of the means over conditions; the simple estimates are the same beside both methods.
for method in additive-shift interaction-shift; do
  cat "$folder"/*/"$method-scores/intervals.csv" | sed "s/,model,/,$method,/"
done | awk -F, -v OFS='\t' '
  ($1 ~ /^(unseen_single|combo_seen)/) && ($3 == "edist_l2" || $3 == "pearson_delta") {
    files[$1, $2, $3]++; sum[$1, $2, $3] += $4; low[$1, $2, $3] = (files[$1, $2, $3] == 1 || $4 < low[$1, $2, $3]) ? $4 : low[$1, $2, $3]
    high[$1, $2, $3] = (files[$1, $2, $3] == 1 || $4 > high[$1, $2, $3]) ? $4 : high[$1, $2, $3]
  }
  END { for (key in sum) { split(key, part, SUBSEP); print part[1], part[3], part[2], sum[key] / files[key], low[key], high[key], files[key] } }
' | sort

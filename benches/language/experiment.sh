#!/usr/bin/env bash
# Does it help that a language model was pretrained? Simulated screens whose components are described (class, target, strength);
# a quarter of the components is held out with all that contains them, and a quarter of the other pairs. A small GPT-NeoX
# that pretrain.py pretrained on such sentences of other screens (natural language, nl), against the same architecture drawn
# at random (ri), and against scflow's own sum of words (own): each measured from the mean of all cells (plain), where only
# the words tell conditions apart, and from the estimate in closed form (centred), which knows the descriptions too. LoRA and
# adapters beside the pretrained model (lora, adapters) are measured where only words tell.
#
# usage: bash benches/language/experiment.sh FOLDER [SEEDS [STEPS]]; needs scflow in SCFLOW or on the PATH, awk, and PYTHON with
# torch, transformers and tokenizers.
set -euo pipefail
folder=$1 seeds=${2:-3} steps=${3:-200} scflow=${SCFLOW:-scflow} python=${PYTHON:-python3}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$folder"
SCFLOW=$scflow PYTHON=$python bash "$here/pretrain.sh" "$folder"
columns=(--perturbation-column perturbation --control control --covariate cell_type)
declare -A arms=(
  [own-plain]="--members 1 --centre none" [own-centred]="--members 1"
  [nl-plain]="--language-model $folder/model --centre none" [nl-centred]="--language-model $folder/model"
  [lora-plain]="--language-model $folder/model --tune lora --centre none"
  [adapters-plain]="--language-model $folder/model --tune adapters --centre none"
  [ri-plain]="--language-model $folder/model --language-model-random --centre none"
  [ri-centred]="--language-model $folder/model --language-model-random"
)
for ((seed = 0; seed < seeds; seed++)); do
  own="$folder/$seed"
  mkdir -p "$own"
  "$scflow" simulate -o "$own/raw.h5ad" --descriptions "$own/drugs.csv" --cells 14000 --genes 1000 --singles 48 --pairs 60 \
    --pathways 10 --cell-types 2 --seed "$seed" --quiet --force
  "$scflow" split "$own/raw.h5ad" -o "$own/split.csv" --scheme simulation --seed "$seed" "${columns[@]}" --force --quiet
  "$scflow" preprocess "$own/raw.h5ad" -o "$own/prepared.h5ad" --split "$own/split.csv" "${columns[@]}" --quiet --force
  for arm in "${!arms[@]}"; do
    # The arms are lists of flags.
    # shellcheck disable=SC2086
    "$scflow" fit "$own/prepared.h5ad" -o "$own/$arm" ${arms[$arm]} --descriptions "$own/drugs.csv" --steps "$steps" --seed "$seed" \
      --quiet --force
    "$scflow" predict "$own/$arm" -o "$own/$arm.h5ad" --holdout --allow-unseen --at-most-comparable --seed "$seed" --quiet --force
    "$scflow" evaluate "$own/$arm.h5ad" --truth "$own/prepared.h5ad" -o "$own/$arm-scores" --min-cells 15 --allow-missing \
      --seed "$seed" --quiet --force >"$own/$arm-scores.txt"
  done
done
# Means over seeds of the means over conditions, lowest and highest; the simple estimates are the same beside all arms.
for arm in "${!arms[@]}"; do
  cat "$folder"/[0-9]*/"$arm-scores/intervals.csv" | sed "s/,model,/,$arm,/"
done | awk -F, -v OFS='\t' '
  ($1 ~ /^(unseen_single|combo_seen)/) && ($3 == "edist_l2" || $3 == "pearson_delta" || $3 == "std_ratio") {
    key = $1 SUBSEP $2 SUBSEP $3
    files[key]++; sum[key] += $4; if (files[key] == 1 || $4 < low[key]) low[key] = $4; if (files[key] == 1 || $4 > high[key]) high[key] = $4
  }
  END { for (key in sum) { split(key, part, SUBSEP); print part[1], part[3], part[2], sum[key] / files[key], low[key], high[key], files[key] } }
' | sort

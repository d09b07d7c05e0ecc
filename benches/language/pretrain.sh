#!/usr/bin/env bash
# Makes what the experiments beside this file start from, unless it is there: FOLDER/model, a small GPT-NeoX that pretrain.py pretrained on
# sentences about the components of simulated screens that no experiment uses, and FOLDER/random, the same as it was drawn.
#
# usage: bash benches/language/pretrain.sh FOLDER; needs scflow in SCFLOW or on the PATH, and PYTHON with torch, transformers and
# tokenizers.
set -euo pipefail
folder=$1 scflow=${SCFLOW:-scflow} python=${PYTHON:-python3}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$folder/corpus"
for seed in 101 102 103 104 105 106; do
  [[ -e "$folder/corpus/$seed.csv" ]] || "$scflow" simulate -o "$folder/corpus/$seed.h5ad" --descriptions "$folder/corpus/$seed.csv" \
    --cells 1200 --genes 200 --singles 60 --pairs 4 --pathways 10 --cell-types 2 --seed "$seed" --quiet --force
done
[[ -e "$folder/model/tokenizer.json" ]] || "$python" "$here/pretrain.py" "$folder/model" 600 0 "$folder"/corpus/*.csv
[[ -e "$folder/random/tokenizer.json" ]] || "$python" "$here/pretrain.py" "$folder/random" 0 0 "$folder"/corpus/*.csv

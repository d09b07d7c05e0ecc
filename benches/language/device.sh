#!/usr/bin/env bash
# What does a language model of Pythia-160M's size cost on each device, with weights of 32 and of 16 bits? Prints seconds of a step
# (the difference of a long and a short fit, so that reading and writing do not count), the most memory of the program and of the
# GPU, the loss of the last step, and the seconds that 1,000 predicted cells take.
#
# usage: bash benches/language/device.sh FOLDER [STEPS [DEVICES]]; needs scflow in SCFLOW or on the PATH (built with --features
# cuda for DEVICES "cpu cuda"), PYTHON with torch, transformers and tokenizers, and nvidia-smi for a GPU.
set -euo pipefail
folder=$1 steps=${2:-40} devices=${3:-cpu cuda} scflow=${SCFLOW:-scflow} python=${PYTHON:-python3}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$folder"
[ -f "$folder/model/model.safetensors" ] || "$python" "$here/pythia.py" "$folder/model" >/dev/null
"$scflow" simulate -o "$folder/raw.h5ad" --cells 4000 --genes 500 --singles 8 --cell-types 2 --seed 1 --quiet --force
"$scflow" preprocess "$folder/raw.h5ad" -o "$folder/prepared.h5ad" --perturbation-column perturbation --control control \
  --covariate cell_type --holdout "drug A + drug B" --quiet --force

# Megabytes of the GPU that are in use, now and then.
watch_gpu() {
  while :; do
    nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits 2>/dev/null || true
    sleep 0.1
  done
}

# Runs a command: seconds, the program's and the GPU's most megabytes.
measure() {
  "$python" - "$@" <<'PYTHON'
import resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], check=True)
seconds = time.perf_counter() - start
print(f"{seconds:.3f} {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f}")
PYTHON
}

printf 'device\tweights\ttrained\tseconds a step\tMB\tGPU MB\tlast loss\tseconds for 1,000 cells\n'
for device in $devices; do
  # The first use of a device loads its libraries.
  "$scflow" fit "$folder/prepared.h5ad" -o "$folder/fit" --language-model "$folder/model" --tune lora --steps 2 --device "$device" \
    --quiet --force
  for weights in f32 bf16; do
    if [ "$device $weights" = "cpu bf16" ]; then continue; fi
    for choice in "full" "full --checkpoint-activations" "lora"; do
      # The choice is a list of flags.
      # shellcheck disable=SC2206
      fit=("$scflow" fit "$folder/prepared.h5ad" -o "$folder/fit" --language-model "$folder/model" --tune $choice --device "$device"
        --language-weights "$weights" --learning-rate 1e-3 --quiet --force)
      [ "$device" = cpu ] || { watch_gpu >"$folder/gpu.txt" & }
      read -r short _ < <(measure "${fit[@]}" --steps 5)
      read -r long memory < <(measure "${fit[@]}" --steps "$((5 + steps))")
      [ "$device" = cpu ] || kill %%
      [ "$device" != cpu ] || echo 0 >"$folder/gpu.txt"
      read -r predicting _ < <(measure "$scflow" predict "$folder/fit" -p "drug A + drug B" --cells 500 -o "$folder/cells.h5ad" \
        --device "$device" --quiet --force)
      printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$device" "$weights" "$choice" \
        "$(awk "BEGIN { printf \"%.3f\", ($long - $short) / $steps }")" "$memory" "$(sort -n "$folder/gpu.txt" | tail -1)" \
        "$(tail -1 "$folder/fit/history.csv" | cut -d, -f2)" "$predicting"
    done
  done
done

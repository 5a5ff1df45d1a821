#!/usr/bin/env bash
# The tiny world's figures: the demo's loop with run seeds 1 to 5, one line each.
#   unadapted | passage only | self-edits before RL | after round 1 | after round 2 | paired gain
set -euo pipefail
here=$(dirname "$0")
stores=${STORES:-seeds-store}
for seed in ${SEEDS:-1 2 3 4 5}; do
  export SEAL_STORE=$stores/$seed
  mkdir -p "$SEAL_STORE"
  seal loop --contexts tiny --policy tiny --seed "$seed" --json --quiet > "$SEAL_STORE/loop.json"
  echo "seed $seed | $(python "$here/show.py" "$SEAL_STORE/loop.json" --brief)"
done

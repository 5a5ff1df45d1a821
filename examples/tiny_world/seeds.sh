#!/usr/bin/env bash
# The tiny world's figures: the demo's loop with run seeds 1 to 5, and accuracy by round of each.
set -euo pipefail
stores=${STORES:-seeds-store}
for seed in ${SEEDS:-1 2 3 4 5}; do
  export SEAL_STORE=$stores/$seed
  seal loop --contexts tiny --policy tiny --seed "$seed" --quiet
  seal report rounds
done

#!/usr/bin/env bash
# The tiny grid world's figures: the demo's loop with run seeds 1 to 5, and accuracy by round of each.
set -euo pipefail
here=$(dirname "$0")
stores=${STORES:-grid-seeds-store}
for seed in ${SEEDS:-1 2 3 4 5}; do
  export SEAL_STORE=$stores/$seed
  seal loop --contexts tiny-grids --seed "$seed" --quiet
  eval_tasks=$(seal import contexts tiny-grids --split eval --quiet)
  seal eval tiny-grids "$eval_tasks" --seed "$seed" --oracle "$here/oracle.json" --quiet
  seal report rounds
done

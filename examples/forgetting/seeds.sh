#!/usr/bin/env bash
# Forgetting on the tiny world, and what stands against it: five run seeds, a policy of its own each
# (two rounds of RL), sequences of eight self-edits about people of the eval split, merged one after
# another; then the same with replay, with the merge gate, and with adapters kept apart.
# Kill it and run it again: it goes on where it was.
set -euo pipefail
export SEAL_STORE=${SEAL_STORE:-forgetting-store}
contexts=$(seal import contexts tiny --split eval --quiet)
for seed in ${SEEDS:-1 2 3 4 5}; do
  policy=$(seal loop --contexts tiny --policy tiny --seed "$seed" --quiet)
  continual() {
    seal eval "$policy" "$contexts" --regime continual --sequences "${SEQUENCES:-6}" --seed "$seed" "$@"
  }
  continual
  continual --replay 2
  continual --separate
  continual --gate 5
done
seal report forgetting --format csv

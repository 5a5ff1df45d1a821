#!/usr/bin/env bash
# Shards of one stage by GNU parallel, on one machine:
#
#     JOBS=2 examples/cluster/parallel.sh 4 score generate-0123… --repeats 3
#
# JOBS shards run at a time; on a node with eight cards: GPUS=8 parallel.sh 32 …, a card for each of
# eight at a time. Interrupted, run it again: finished shards are hits, a killed one goes on after its
# last batch. Prints the id of the merged artifact, the same as without shards.
set -euo pipefail
shards=$1
stage=("${@:2}")

shard() { # its number, the place that runs it (from 1), the stage
  if [[ -n ${GPUS:-} ]]; then export CUDA_VISIBLE_DEVICES=$(($2 - 1)); fi
  seal "${@:4}" --shard "$1/$3" --wait >&2
}
export -f shard

seq "$shards" | SHELL=$BASH parallel --quote --line-buffer --jobs "${GPUS:-${JOBS:-2}}" \
  shard {} {%} "$shards" "${stage[@]}"
# --merge-only: a shard that is missing is named, instead of being computed here by one process.
seal "${stage[@]}" --merge-only

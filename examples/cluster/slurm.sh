#!/usr/bin/env bash
# Shards of one stage as a Slurm array, and a job that merges them:
#
#     SBATCH_GRES=gpu:1 SBATCH_TIMELIMIT=2:00:00 \
#       examples/cluster/slurm.sh 16 score generate-0123… --repeats 3
#
# Run it where the store is (a folder that all nodes see, by SEAL_STORE or the current folder), or set
# SEAL_REMOTE=s3://… and give each node a store of its own. Prints the number of the merging job, whose
# output, slurm-NUMBER.out, ends with the id. SBATCH_… variables are sbatch's own; OPTIONS has more.
# TASKS=3,5 runs those shards alone again; without it the whole array is harmless, too: finished
# shards are hits.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
shards=$1
export SEAL_STORE=${SEAL_STORE:-$PWD/seal-store}
read -ra options <<< "${OPTIONS:-}"

# The number of shards is an argument: with --array=3,5 SLURM_ARRAY_TASK_COUNT is 2.
# A minute and a half before its time is up, and when it is preempted, a task is told to end.
array=$(sbatch --parsable --job-name=seal-shard --array="${TASKS:-1-$shards}" --requeue \
  --open-mode=append --signal=B:TERM@90 "${options[@]}" "$here/slurm_shard.sh" "$@")
# Without --kill-on-invalid-dep a merge waits for ever behind a shard that failed.
sbatch --parsable --job-name=seal-merge --dependency="afterok:${array%%;*}" \
  --kill-on-invalid-dep=yes "${options[@]}" "$here/slurm_merge.sh" "${@:2}"

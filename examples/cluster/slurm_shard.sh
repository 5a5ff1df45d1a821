#!/usr/bin/env bash
# One task of the array of slurm.sh: the number of shards, the stage and its options.
# A task that is told to end stops after its last batch and queues itself again.
set -uo pipefail
told=
# Only this shell gets the signal (--signal=B:); a shell waits for its children before it heeds it.
trap 'told=1; kill -TERM "$child" 2>/dev/null' TERM
seal "${@:2}" --shard "$SLURM_ARRAY_TASK_ID/$1" --wait &
child=$!
wait "$child"
code=$?
if [[ $told ]]; then
  wait "$child"
  code=$?
fi
if ((code == 143)); then # ended by SIGTERM, resumable
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
  sleep 30 # Slurm ends this run of the task; an exit code would count as its end
fi
exit "$code"

#!/usr/bin/env bash
# What slurm.sh runs after its array: the stage and its options. With SEAL_REMOTE it fetches the
# shards first and sends the artifact.
set -euo pipefail
exec seal "$@" --merge-only --wait

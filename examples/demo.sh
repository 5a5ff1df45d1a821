#!/usr/bin/env bash
# Two rounds of RL on the model that comes with the package, and what came of them.
# Kill it and run it again: it goes on where it was.
set -euo pipefail
here=$(dirname "$0")
export SEAL_STORE=${SEAL_STORE:-demo-store}
mkdir -p "$SEAL_STORE"
seal loop --contexts tiny --policy tiny --json "$@" > "$SEAL_STORE/loop.json"
python "$here/tiny_world/show.py" "$SEAL_STORE/loop.json" --plot "$SEAL_STORE/accuracy.png"

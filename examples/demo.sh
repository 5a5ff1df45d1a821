#!/usr/bin/env bash
# Two rounds of RL on the model that comes with the package, and what came of them.
# Kill it and run it again: it goes on where it was.
set -euo pipefail
here=$(dirname "$0")
export SEAL_STORE=${SEAL_STORE:-demo-store}
seal loop --contexts tiny --policy tiny "$@"
echo
seal report rounds
echo
seal sql - --format table < "$here/tiny_world/samples.sql"
printf '\nWhich forms of self-edit did RL keep? (forms.sql, or any SQL of yours)\n\n'
seal sql - --format table < "$here/tiny_world/forms.sql"
echo
seal report rounds reward-noise examples cost --format html --output "$SEAL_STORE/report.html"

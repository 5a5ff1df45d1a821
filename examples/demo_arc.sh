#!/usr/bin/env bash
# Two rounds of RL on the grid model that comes with the package: which tools does it learn to call?
# Kill it and run it again: it goes on where it was.
set -euo pipefail
here=$(dirname "$0")
export SEAL_STORE=${SEAL_STORE:-demo-arc-store}
seal loop --contexts tiny-grids "$@"
# What one good choice for every task gives, made by hand.
seal eval tiny-grids "$(seal import contexts tiny-grids --split eval)" \
  --oracle "$here/tiny_grids/oracle.json"
echo
seal report rounds
echo
seal report tools
echo
seal report grids
echo
seal report rounds tools grids examples cost --format html --output "$SEAL_STORE/report.html"

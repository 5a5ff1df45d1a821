#!/usr/bin/env bash
# Does this installation work? One pipe through all six commands in a store that is thrown away,
# under a minute, no download: for the CI of projects that use seal.
set -euo pipefail
SEAL_STORE=$(mktemp -d)
export SEAL_STORE
trap 'rm -rf "$SEAL_STORE"' EXIT
contexts=$(seal import contexts tiny --limit 2)
policy=$(seal generate "$contexts" --policy tiny --samples 2 | seal adapt - --repeats 1 |
  seal score - --strict | seal filter - | seal update -)
metrics=$(seal eval "$policy" "$contexts" --limit 1 --strict)
[[ $policy == update-* && $metrics == eval-* ]]
echo "smoke test passed: $policy $metrics"

#!/usr/bin/env bash
# One round of SEAL on the tiny world, a line per stage. Run it again: every line is a hit.
# Next round: POLICY=$(examples/loop.sh) OFFSET=8 examples/loop.sh
set -euo pipefail
contexts=$(seal import contexts tiny --split train)

edits=$(seal generate "$contexts" --policy "${POLICY:-tiny}" --samples 5 --limit 8 --offset "${OFFSET:-0}")
adapters=$(seal adapt "$edits" --repeats 1)
rewards=$(seal score "$adapters")
selection=$(seal filter "$rewards" --rule best-of-n)
policy=$(seal update "$selection")
metrics=$(seal eval "$policy" "$(seal import contexts tiny --split eval)" --limit 8)

seal show "$metrics" >&2
echo "$policy"

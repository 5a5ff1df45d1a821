#!/usr/bin/env bash
# The tiny grid world's figures: the demo's loop and oracle with run seeds 1 to 5, a store for each,
# and at the end a table. The last line is of all seeds together, averaged by task. A policy is
# measured with two self-edits for each task, where the demo has one.
# Kill it and run it again: it goes on. SEEDS="1 2" runs some; the table has all there are.
set -euo pipefail
here=$(dirname "$0")
stores=${STORES:-grid-seeds-store}
for seed in ${SEEDS:-1 2 3 4 5}; do
  export SEAL_STORE=$stores/$seed
  seal loop --contexts tiny-grids --seed "$seed" --set eval.samples=2 --quiet >/dev/null
  eval_tasks=$(seal import contexts tiny-grids --split eval --quiet)
  seal eval tiny-grids "$eval_tasks" --seed "$seed" --oracle "$here/oracle.json" --quiet >/dev/null
done

# Artifacts are portable: all of them side by side are a store, too.
rm -rf "$stores/all"
mkdir -p "$stores/all"
header=
for store in "$stores"/[0-9]*; do
  cp -r "$store/artifacts" "$stores/all/"
  found=$(SEAL_STORE=$store seal sql --format csv - <"$here/seeds.sql")
  [ "$header" ] || { header=${found%%$'\n'*}; echo "seed,$header"; }
  echo "$(basename "$store"),${found##*$'\n'}"
done
echo "all,$(SEAL_STORE=$stores/all seal sql --format csv - <"$here/seeds.sql" | tail -1)"

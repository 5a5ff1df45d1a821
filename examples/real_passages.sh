#!/usr/bin/env bash
# The six commands on 20 real passages with a random-weight model, then the recipes of several steps
# on the same. It shows that real input goes through every stage; the scores mean nothing, because
# the model knows nothing.
#
#   examples/real_passages.sh path/to/squad_val.json
set -euo pipefail
passages=${1:?give a SQuAD JSON file, e.g. squad_val.json of the SEAL release}
export SEAL_STORE=${SEAL_STORE:-real-store}
model=$SEAL_STORE/random-model
[[ -d $model ]] || python "$(dirname "$0")/random_model.py" "$model"

contexts=$(seal import contexts "$passages" --limit 20)
edits=$(seal generate "$contexts" --policy "$model" --samples 2 --max-tokens 120)
adapters=$(seal adapt "$edits" --repeats 1 --epochs 1 --rank 4)
rewards=$(seal score "$adapters" --answer-tokens 16)
selection=$(seal filter "$rewards")
policy=$(seal update "$selection" --rank 4 --epochs 1)
seal eval "$policy" "$contexts" --limit 5 --epochs 1 --rank 4 --max-tokens 120 --answer-tokens 16
# A model that writes noise seldom lists two things: such a self-edit is invalid and says why.
for recipe in entity-triples active-reading; do
  edits=$(seal generate "$contexts" --policy "$model" --prompt $recipe --samples 1 --max-tokens 24)
done
seal score "$edits" --repeats 1 --epochs 1 --rank 4 --max-sequences 3 --answer-tokens 8
seal sql "select prompt_name, status, reason, count(*) as n from self_edits
          where trace is not null group by all order by all" >&2
seal ls >&2

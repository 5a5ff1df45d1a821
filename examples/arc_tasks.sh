#!/usr/bin/env bash
# The six commands on the paper's ARC subsets with a random-weight chat model kept in grammar. It
# shows that real tasks go through every stage; the scores mean nothing, the model knows nothing.
#
#   examples/arc_tasks.sh path/to/few-shot/data
set -euo pipefail
data=${1:?give the folder few-shot/data of the SEAL release}
export SEAL_STORE=${SEAL_STORE:-arc-store}
model=$SEAL_STORE/random-chat-model
[[ -d $model ]] || python "$(dirname "$0")/random_model.py" "$model" --chat
small="--rank 4 --max-sequences 2"
import() { seal import contexts "$data/arc-agi_$1.json" --domain arc --split "$2"; }

train=$(import training_challenges_filtered_1B_training_set train)
held_out=$(import evaluation_challenges_filtered_1B_eval_set eval)
edits=$(seal generate "$train" --policy "$model" --samples 2 --constrained)
rewards=$(seal score "$edits" $small --repeats 1 --answer-tokens 32)
policy=$(seal filter "$rewards" | seal update - --rank 4 --epochs 1)
seal eval "$policy" "$held_out" $small --constrained --voting --answer-tokens 32
seal report rounds tools cost >&2

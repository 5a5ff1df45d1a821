#!/usr/bin/env bash
# The six commands on the paper's ARC subsets under its preset, with a random-weight chat model kept in
# grammar, and with less of everything. It shows that real tasks go through every stage; the scores
# mean nothing, the model knows nothing.
#
#   examples/arc_tasks.sh path/to/few-shot/data
set -euo pipefail
data=${1:?give the folder few-shot/data of the SEAL release}
export SEAL_STORE=${SEAL_STORE:-arc-store}
model=$SEAL_STORE/random-chat-model
[[ -d $model ]] || python "$(dirname "$0")/random_model.py" "$model" --chat --window 16384
paper="--preset paper-arc"
# Each character is a token here: a prompt has thousands (so few at once), a tool call has 300.
small="--rank 4 --max-sequences 2 --answer-tokens 32 --decode-batch 4"
writing="--constrained --max-tokens 400"
eight=59341089,66e6c45b,68b67ca3,903d1b4a,b1fc8b8e,bc4146bd,c7d4e6ad,ce8d95cc
import() { seal import contexts "$data/arc-agi_$1.json" --domain arc --split "$2" "${@:3}"; }

train=$(import training_challenges_filtered_1B_training_set train)
held_out=$(import evaluation_challenges_filtered_1B_eval_set eval --only "$eight")
edits=$(seal generate "$train" $paper $writing --policy "$model" --samples 2)
rewards=$(seal score "$edits" $paper $small)
policy=$(seal filter "$rewards" $paper --rule best-of-n | seal update - $paper --rank 4 --epochs 1)
seal eval "$policy" "$held_out" $paper $writing $small --samples 1
seal report rounds tools cost >&2

#!/usr/bin/env bash
# Every regime of `seal eval` on 20 real passages with a random-weight model, with a small probe set. It
# shows that real input goes through; the scores mean nothing, the model knows nothing.
#
#   examples/regimes.sh path/to/squad_val.json
set -euo pipefail
passages=${1:?give a SQuAD JSON file, e.g. squad_val.json of the SEAL release}
export SEAL_STORE=${SEAL_STORE:-regimes-store}
model=$SEAL_STORE/random-model
[[ -d $model ]] || python "$(dirname "$0")/random_model.py" "$model"

contexts=$(seal import contexts "$passages" --limit 20)
probe=$(seal import contexts tiny --split eval --limit 2)
evaluate() {
  seal eval "$model" "$contexts" --strict --epochs 1 --rank 4 --max-tokens 60 --max-length 400 \
    --answer-tokens 8 "$@"
}
evaluate
evaluate --regime cpt --probe "$probe"
evaluate --regime cpt --full --questions 50
continual="--regime continual --edits 4 --sequences 5"
evaluate $continual
evaluate $continual --replay 0.5 --gate 10 --gate-on probe --probe "$probe"
evaluate $continual --separate
seal report paper-table2 continual forgetting >&2

#!/usr/bin/env bash
# RL with the model's own questions as the only reward, beside RL with gold questions: run seeds 1 to 5.
# The model writes them once, before RL, about the same people of the train split; both are measured
# on gold questions about the held-out people. The table: quiz.py.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
stores=${STORES:-quiz-store}
for seed in ${SEEDS:-1 2 3 4 5}; do
  export SEAL_STORE=$stores/$seed
  train=$(seal import contexts tiny --split train --quiet)
  held_out=$(seal import contexts tiny --split eval --quiet)
  seal loop --contexts tiny --policy tiny --seed "$seed" --quiet > /dev/null
  for number in ${QUESTIONS:-5}; do
    own=$(seal quiz "$train" --policy tiny --questions "$number" --seed "$seed" --quiet)
    seal loop --contexts "$own" --eval-contexts "$held_out" --policy tiny --seed "$seed" --quiet \
      > /dev/null
  done
  seal sql - --format csv < "$here/quiz.sql" | sed "s/^/$seed,/"
done | python3 "$here/quiz.py"

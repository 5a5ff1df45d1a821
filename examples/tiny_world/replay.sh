#!/usr/bin/env bash
# What replay does over four rounds of RL: accuracy by round, and what the last policy, unadapted,
# keeps of the people it was pretrained on; without replay, and with as many self-edits of earlier
# rounds as new ones. Round 1 is the same in both: there is nothing to replay yet. About a minute of
# CPU for each of the ten loops.
set -euo pipefail
here=$(dirname "$0")
stores=${STORES:-replay-store}
mkdir -p "$stores"
python "$here/known.py" > "$stores/known.jsonl"
echo "seed,replay,accuracy of rounds 0 to 4,known people"
for seed in ${SEEDS:-1 2 3 4 5}; do
  export SEAL_STORE=$stores/$seed
  known=$(seal import contexts "$stores/known.jsonl" --quiet)
  for replay in 0 1; do
    policy=$(seal loop --contexts tiny --rounds 4 --eval-limit 30 --seed "$seed" \
      --set "update.replay=$replay" --quiet)
    seal eval "$policy" "$known" --limit 20 --seed "$seed" --quiet > /dev/null
    seal sql --format csv "
      WITH RECURSIVE chain AS (
        SELECT policy, parent FROM policies WHERE policy = '$policy'
        UNION SELECT p.policy, p.parent FROM chain c JOIN policies p ON p.policy = c.parent
      )
      SELECT $seed, $replay,
             list(round(value, 3) ORDER BY round) FILTER (dataset <> '$known' AND method = 'self-edits'),
             any_value(value) FILTER (dataset = '$known' AND method = 'unadapted')
      FROM metrics WHERE metric = 'accuracy' AND policy IN (SELECT policy FROM chain)" | tail -n 1
  done
done

-- Which tools and which training few-shot self-edits chose, by round, and what RL kept of them.
--
-- A line per choice and value: `share` of the self-edits that could be read, and what they earned.
-- Needs: `seal score SELF_EDITS` of contexts of the domain arc.
WITH scored AS (
    SELECT r.artifact_id, r.round, r.policy, r.self_edit_id, r.reward, r.status, s.completion
    FROM rewards r
    JOIN lineage l ON l.artifact_id = r.artifact_id
    JOIN self_edits s ON s.artifact_id = l.ancestor AND s.self_edit_id = r.self_edit_id
), called AS (
    SELECT *, TRY_CAST(completion AS JSON) AS call FROM scored
), kept AS (
    SELECT f.ancestor AS artifact_id, k.self_edit_id, bool_or(k.kept) AS kept
    FROM selections k JOIN lineage f ON f.artifact_id = k.artifact_id GROUP BY ALL
), choices AS (
    SELECT called.*, unnest([
        {'choice': 'basic', 'chosen': call->>'$.data_generation.use_basic_augmentations'},
        {'choice': 'size', 'chosen': call->>'$.data_generation.use_size_augmentations'},
        {'choice': 'chain', 'chosen': call->>'$.data_generation.use_chain_augmentations'},
        {'choice': 'repeat', 'chosen': call->>'$.data_generation.use_repeat_augmentations'},
        {'choice': 'strategy', 'chosen': call->>'$.training.strategy'},
        {'choice': 'learning rate', 'chosen': call->>'$.training.learning_rate'},
        {'choice': 'epochs', 'chosen': call->>'$.training.num_train_epochs'}
    ], recursive := true)
    FROM called WHERE (call->'$.data_generation') IS NOT NULL
)
SELECT round, choice, chosen, count(*) AS written,
       round(count(*) / sum(count(*)) OVER (PARTITION BY round, policy, choice), 3) AS share,
       round(avg(reward), 3) AS mean_reward, count(*) FILTER (kept) AS kept, policy
FROM choices LEFT JOIN kept USING (artifact_id, self_edit_id)
WHERE chosen IS NOT NULL
GROUP BY round, policy, choice, chosen
ORDER BY choice, round, policy, chosen

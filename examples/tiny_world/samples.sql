-- Three held-out people and the self-edits about them, before RL and after the last round.
WITH written AS (
    SELECT s.context_id, p.round, s.completion
    FROM self_edits s
    JOIN (SELECT DISTINCT artifact_id, round FROM metrics) p USING (artifact_id)
)
SELECT c.title || ': ' || c.text AS passage, before.completion AS before_rl, after.completion AS after_rl
FROM (SELECT DISTINCT context_id, ordinal, title, text FROM contexts WHERE split = 'eval') c
JOIN written before ON before.context_id = c.context_id AND before.round = 0
JOIN written after ON after.context_id = c.context_id
    AND after.round = (SELECT max(round) FROM written)
ORDER BY c.ordinal
LIMIT 3

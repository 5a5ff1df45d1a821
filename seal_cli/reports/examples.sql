-- The self-edits of one context by round, with what they earned and whether they were kept.
--
-- $context is a context_id or a title; without it, the first context that has rewards.
-- Needs: `seal score SELF_EDITS`.
WITH scored AS (
    SELECT r.*, s.completion, c.title, c.ordinal, k.kept
    FROM rewards r
    JOIN lineage l ON l.artifact_id = r.artifact_id
    JOIN self_edits s ON s.artifact_id = l.ancestor AND s.self_edit_id = r.self_edit_id
    JOIN lineage m ON m.artifact_id = r.artifact_id
    JOIN contexts c ON c.artifact_id = m.ancestor AND c.context_id = r.context_id
    LEFT JOIN (
        SELECT f.ancestor AS artifact_id, k.self_edit_id, bool_or(k.kept) AS kept
        FROM selections k JOIN lineage f ON f.artifact_id = k.artifact_id GROUP BY ALL
    ) k ON k.artifact_id = r.artifact_id AND k.self_edit_id = r.self_edit_id
), wanted AS (
    SELECT context_id FROM scored
    WHERE $context IS NULL OR context_id = $context OR title = $context
    ORDER BY round DESC, ordinal LIMIT 1
)
SELECT title, round, policy, sample, round(reward, 3) AS reward, round(gain, 3) AS gain, kept,
       status, completion
FROM scored WHERE context_id IN (FROM wanted)
ORDER BY round, policy, artifact_id, reward DESC, sample

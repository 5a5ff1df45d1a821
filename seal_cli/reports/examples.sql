-- The self-edits of one context by round, with what they earned and whether they were kept.
--
-- Of the first context that has rewards, or `--context ID|TITLE` ($context in the query); of several
-- with one title, the first.
-- Needs: `seal score SELF_EDITS`; with --context, one that has rewards.
WITH scored AS (
    SELECT r.*, s.completion, c.title, c.ordinal, k.kept
    FROM rewards r
    JOIN lineage l ON l.artifact_id = r.artifact_id
    JOIN self_edits s ON s.artifact_id = l.ancestor AND s.self_edit_id = r.self_edit_id
    JOIN (  -- several artifacts may have the same contexts: an import, and a quiz about them
        SELECT context_id, any_value(title) AS title, min(ordinal) AS ordinal
        FROM contexts GROUP BY context_id
    ) c ON c.context_id = r.context_id
    LEFT JOIN (
        SELECT input AS artifact_id, self_edit_id, bool_or(kept) AS kept
        FROM selections JOIN (SELECT artifact_id, unnest(inputs) AS input FROM artifacts)
            USING (artifact_id)
        GROUP BY ALL
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

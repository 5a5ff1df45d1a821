-- The self-edits of one context by round, with what they earned and whether they were kept.
--
-- Of the first context that has rewards, or `--context ID|TITLE` ($context in the query); of several
-- with one title, the first. Every self-edit stands once, with one of its rewards: by gold questions
-- before any stand-in, by the grader that it was first scored with, of the writer as its own student
-- before others; `scored` says how many rewards it has. `kept` is what any selection says of it.
-- Needs: `seal score SELF_EDITS`; with --context, one that has rewards.
WITH scored AS (
    SELECT r.*, s.completion, s.prompt_name, count(*) OVER edits AS scored,
           c.title, c.ordinal
    FROM rewards r
    JOIN artifacts a ON a.artifact_id = r.artifact_id
    JOIN lineage l ON l.artifact_id = r.artifact_id
    JOIN self_edits s ON s.artifact_id = l.ancestor AND s.self_edit_id = r.self_edit_id
    JOIN (  -- several artifacts may have the same contexts: an import, and a quiz about them
        SELECT context_id, any_value(title) AS title, min(ordinal) AS ordinal
        FROM contexts GROUP BY context_id
    ) c ON c.context_id = r.context_id
    WINDOW edits AS (PARTITION BY r.self_edit_id)
    QUALIFY row_number() OVER (
        PARTITION BY r.self_edit_id
        ORDER BY r.rule = 'proxy', r.origin <> 'gold', a.stage = 'regrade', r.student <> r.policy,
                 r.status <> 'ok', a.created_at, r.artifact_id
    ) = 1
), chosen AS (
    SELECT self_edit_id, bool_or(kept) AS kept FROM selections GROUP BY self_edit_id
), wanted AS (
    SELECT context_id FROM scored
    WHERE $context IS NULL OR context_id = $context OR title = $context
    ORDER BY round DESC, ordinal, context_id LIMIT 1
)
SELECT title, prompt_name AS prompt, round, coalesce(w.name, s.policy) AS writer, sample,
       round(reward, 3) AS reward, round(gain, 3) AS gain, kept, status,
       CASE WHEN student <> s.policy THEN coalesce(m.name, student) END AS student, grader,
       dataset, scored, completion
FROM scored s LEFT JOIN chosen USING (self_edit_id)
LEFT JOIN model_names w ON w.policy = s.policy LEFT JOIN model_names m ON m.policy = s.student
WHERE context_id IN (FROM wanted)
ORDER BY prompt, round, writer, reward DESC, sample, completion

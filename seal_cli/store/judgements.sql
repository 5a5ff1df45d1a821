-- One row per answer and grader: the newest verdict, wherever it was given (with the answer, or by
-- `seal regrade` later). A view, like a table to `seal sql`; `artifact_id` is where the answer is,
-- `judged_in` where the verdict is.
SELECT l.ancestor AS artifact_id, v.answer_id, v.context_id, v.grader, v.correct, v.score,
       v.artifact_id AS judged_in
FROM verdicts v
JOIN lineage l ON l.artifact_id = v.artifact_id
JOIN artifacts made ON made.artifact_id = v.artifact_id
SEMI JOIN answers a ON a.artifact_id = l.ancestor AND a.answer_id = v.answer_id
QUALIFY row_number() OVER (
    PARTITION BY l.ancestor, v.answer_id, v.grader ORDER BY made.created_at DESC, v.artifact_id
) = 1

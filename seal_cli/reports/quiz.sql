-- The questions that a model wrote itself: how many were kept, and why the others were not.
--
-- A line per outcome; `contexts` have at least one such question. A question is kept when its answer
-- stands in the passage and the model answered it right with the passage in view and wrong without.
-- Needs: `seal quiz CONTEXTS --policy P`.
WITH written AS (
    SELECT artifact_id, context_id, policy, status, kept,
           CASE WHEN kept THEN 'kept' ELSE coalesce(reason, status) END AS outcome
    FROM drafts
), whole AS (
    SELECT artifact_id, count(*) AS questions, count(DISTINCT context_id) AS contexts
    FROM written GROUP BY artifact_id
)
SELECT w.artifact_id, outcome, status, count(*) AS questions,
       round(count(*) / any_value(whole.questions), 3) AS share,
       count(DISTINCT context_id) AS contexts, any_value(whole.contexts) AS of_contexts,
       round(count(*) / any_value(whole.contexts), 2) AS per_context,
       coalesce(any_value(n.name), any_value(w.policy)) AS model
FROM written w JOIN whole USING (artifact_id) LEFT JOIN model_names n USING (policy)
GROUP BY w.artifact_id, outcome, status
ORDER BY w.artifact_id, bool_or(kept) DESC, count(*) DESC, outcome

-- What the countermeasures against forgetting keep: replay, the merge gate, adapters kept apart.
--
-- Evaluations of the regime continual, pooled over policies of one name and over seeds; means over
-- sequences. `just_edited` is the accuracy on a passage right after its edit, `seen_after_last` that on
-- all of a sequence after its last. `kept_more` and `just_edited_more` are against the plain merges
-- of the same policy over the same passages, paired by sequence; `recovered` is kept_more as a share of
-- what the plain merges lose. `held_back` counts merges that a gate clipped or left out.
-- Needs: `seal eval POLICY CONTEXTS --regime continual`, and again with --replay, --gate or --separate.
WITH runs AS (
    SELECT artifact_id, any_value(policy) AS policy, any_value(dataset) AS dataset,
           max(method) FILTER (step > 0) AS method
    FROM metrics WHERE regime = 'continual' AND basis = 'answers' GROUP BY artifact_id
), edits AS (
    SELECT artifact_id, adapter_id, sequence, context_id, status, step,
           (hyperparameters->>'$.scale')::DOUBLE AS scale
    FROM adapters SEMI JOIN runs USING (artifact_id)
), cells AS (
    SELECT a.artifact_id, e.sequence, g.grader, e.step, p.step AS position,
           -- a failed answer has no verdict: then there is no accuracy
           CASE WHEN count(j.correct) = count(*) THEN avg(j.correct::INT) END AS accuracy
    FROM answers a
    JOIN edits e USING (artifact_id, adapter_id)
    JOIN edits p ON p.artifact_id = a.artifact_id AND p.sequence = e.sequence
                AND p.context_id = a.context_id
    JOIN (SELECT DISTINCT artifact_id, grader FROM judgements) g ON g.artifact_id = a.artifact_id
    LEFT JOIN judgements j ON j.artifact_id = a.artifact_id AND j.answer_id = a.answer_id
                          AND j.grader = g.grader
    GROUP BY ALL
), passages AS (
    SELECT artifact_id, sequence, grader, position, max(step) AS last,
           max(accuracy) FILTER (step = position) AS own, arg_max_null(accuracy, step) AS final
    FROM cells GROUP BY ALL
), drawn AS (
    SELECT artifact_id, sequence, string_agg(context_id ORDER BY step) AS passages,
           count(*) AS edits, count(*) FILTER (scale < 1) AS held_back
    FROM edits GROUP BY ALL HAVING bool_and(status <> 'failed')
), sequences AS (
    SELECT r.method, r.policy, r.dataset, grader, d.passages, d.edits, d.artifact_id, d.held_back,
           avg(own) AS own, avg(final) AS final
    FROM passages JOIN drawn d USING (artifact_id, sequence) JOIN runs r USING (artifact_id)
    GROUP BY ALL HAVING count(own) = d.edits AND count(final) = d.edits
), paired AS (
    SELECT s.*, b.own AS plain_own, b.final AS plain_final, s.final - b.final AS more,
           s.own - b.own AS own_more
    FROM sequences s LEFT JOIN sequences b
      ON b.method = 'self-edits' AND s.method <> 'self-edits' AND b.policy = s.policy
     AND b.dataset = s.dataset AND b.grader = s.grader AND b.passages = s.passages
), names AS (SELECT policy, any_value(name) AS name FROM policies GROUP BY policy)
SELECT coalesce(name, policy) AS model, method, edits, count(DISTINCT artifact_id) AS evaluations,
       count(*) AS sequences, round(avg(own), 4) AS just_edited,
       round(avg(final), 4) AS seen_after_last, round(avg(own_more), 4) AS just_edited_more,
       round(mean_low(own_more), 4) AS just_edited_low,
       round(mean_high(own_more), 4) AS just_edited_high, round(avg(more), 4) AS kept_more,
       round(mean_low(more), 4) AS kept_low, round(mean_high(more), 4) AS kept_high,
       round(avg(more) / nullif(avg(plain_own - plain_final), 0), 4) AS recovered,
       sum(held_back)::BIGINT AS held_back, grader, dataset
FROM paired LEFT JOIN names USING (policy)
GROUP BY coalesce(name, policy), method, edits, grader, dataset
ORDER BY dataset, model, edits, grader, method <> 'self-edits', method

-- One row per evaluation, grader, method and context: the share of questions answered rightly.
-- A view, like a table to `seal sql`. Answers of several adapters of a context are averaged; an
-- invalid self-edit was never examined and counts as nothing learned.
WITH judged AS (
    SELECT a.artifact_id AS run, v.grader, a.method, a.context_id, a.adapter_id,
           avg(v.correct::INT) AS accuracy, count(*) AS n_questions
    FROM verdicts v
    JOIN lineage l ON l.artifact_id = v.artifact_id
    JOIN answers a ON a.artifact_id = l.ancestor AND a.answer_id = v.answer_id
    GROUP BY ALL
    HAVING count(v.correct) = count(*)
), invalid AS (
    SELECT DISTINCT d.artifact_id, v.grader, 'self-edits', d.context_id, d.adapter_id, 0, NULL::BIGINT
    FROM adapters d JOIN verdicts v ON v.artifact_id = d.artifact_id
    WHERE d.status = 'invalid' AND d.self_edit_id IS NOT NULL
), run AS (
    SELECT artifact_id, method, any_value(regime) AS regime, any_value(dataset) AS dataset,
           any_value(policy) AS policy, any_value(round) AS round, any_value(n_questions) AS asked
    FROM metrics WHERE metric = 'accuracy' AND regime IN ('single', 'cpt')
      AND artifact_id IN (SELECT artifact_id FROM answers)
    GROUP BY ALL
)
SELECT run.artifact_id, run.regime, run.dataset, run.asked, run.policy, run.round, e.method,
       e.grader, e.context_id, avg(e.accuracy) AS accuracy, max(e.n_questions) AS n_questions
FROM (FROM judged UNION ALL FROM invalid) e
JOIN run ON run.artifact_id = e.run AND run.method = e.method
GROUP BY ALL

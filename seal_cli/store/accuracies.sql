-- One row per evaluation, grader, method and context: the share of questions answered rightly, as
-- the means in `metrics` are made of. A view, like a table to `seal sql`; who was adapted to what is
-- said by the columns of `experiments`.
--
-- A context is there only when every examination of it worked: all its questions answered and judged,
-- with every adapter. An invalid self-edit was never examined and counts as 0. `success` is the
-- share of its examinations in which every answer was right.
--
-- The unadapted model and the passage alone are measured again in every evaluation. They `count`
-- where they stand beside the student's own self-edits before RL by the prompt `implications`, as in
-- the paper's tables; where there is no such evaluation, all of them do.
WITH graders AS (
    SELECT DISTINCT artifact_id, grader FROM judgements
), asked AS (
    SELECT artifact_id, context_id, count(DISTINCT question_id) AS n_questions
    FROM answers WHERE scope = 'own' GROUP BY ALL
), examined AS (
    SELECT a.artifact_id, g.grader, a.method, a.context_id, a.adapter_id, a.repeat,
           CASE WHEN count(j.correct) = count(*) AND count(DISTINCT a.question_id) = max(n_questions)
                THEN avg(j.correct::INT) END AS accuracy
    FROM answers a
    JOIN graders g USING (artifact_id)
    JOIN asked USING (artifact_id, context_id)
    LEFT JOIN judgements j
        ON j.artifact_id = a.artifact_id AND j.answer_id = a.answer_id AND j.grader = g.grader
    WHERE a.scope = 'own'
    GROUP BY ALL
), unexamined AS (
    SELECT d.artifact_id, g.grader,
           -- an oracle's of an earlier version say `self-edits`
           CASE WHEN s.prompt_name = 'oracle' THEN 'oracle' ELSE d.method END AS method,
           d.context_id, d.adapter_id, d.repeat, CASE d.status WHEN 'invalid' THEN 0 END AS accuracy
    FROM adapters d JOIN graders g USING (artifact_id)
    LEFT JOIN self_edits s ON s.artifact_id = d.artifact_id AND s.self_edit_id = d.self_edit_id
    ANTI JOIN answers a ON a.artifact_id = d.artifact_id AND a.adapter_id = d.adapter_id
), cells AS (
    SELECT x.*, e.grader, e.context_id, avg(e.accuracy) AS accuracy,
           avg((e.accuracy = 1)::INT) AS success, any_value(n.n_questions) AS n_questions
    FROM (FROM examined UNION ALL FROM unexamined) e
    JOIN experiments x ON x.artifact_id = e.artifact_id AND x.method = e.method
    JOIN asked n ON n.artifact_id = e.artifact_id AND n.context_id = e.context_id
    WHERE x.regime IN ('single', 'cpt', 'fewshot')
    GROUP BY ALL
    HAVING count(e.accuracy) = count(*)
), beside AS (
    SELECT *, bool_or(method = 'self-edits' AND own AND round = 0 AND prompt_name = 'implications')
              OVER (PARTITION BY artifact_id) AS plain
    FROM cells
)
SELECT * EXCLUDE (plain),
       method = 'self-edits' OR plain OR NOT bool_or(plain) OVER (
           PARTITION BY regime, dataset, asked, trained, student, method, grader) AS counts
FROM beside

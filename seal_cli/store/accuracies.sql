-- One row per evaluation, grader, method and context: the share of questions answered rightly, as
-- the means in `metrics` are made of. A view, like a table to `seal sql`.
--
-- A context is there only when every examination of it worked: all its questions answered and judged,
-- with every adapter. An invalid self-edit was never examined and counts as 0. `success` is the
-- share of its examinations in which every answer was right. `asked` is how many
-- questions the evaluation had in all; `base` is the model before any RL that the student comes
-- from, `own` whether the policy comes from it, too.
WITH RECURSIVE parents AS (
    SELECT DISTINCT policy, parent FROM policies WHERE parent IS NOT NULL
), ancestry (model, base) AS (
    SELECT policy, policy FROM metrics UNION SELECT student, student FROM answers
    UNION
    SELECT a.model, p.parent FROM ancestry a JOIN parents p ON p.policy = a.base
), bases AS (
    FROM ancestry WHERE base NOT IN (SELECT policy FROM parents)
), runs AS (
    SELECT a.artifact_id, m.method, any_value(m.regime) AS regime, any_value(m.dataset) AS dataset,
           any_value(m.policy) AS policy, any_value(m.round) AS round,
           any_value(a.student) AS student, any_value(a.asked) AS asked,
           any_value(e.prompt_name) AS prompt_name
    FROM metrics m
    JOIN (SELECT artifact_id, any_value(student) AS student, count(DISTINCT question_id) AS asked
          FROM answers GROUP BY artifact_id) a USING (artifact_id)
    LEFT JOIN (SELECT artifact_id, any_value(prompt_name) AS prompt_name
               FROM self_edits WHERE prompt_name <> 'oracle' GROUP BY artifact_id) e USING (artifact_id)
    WHERE m.metric = 'accuracy' AND m.regime IN ('single', 'cpt', 'fewshot')
    GROUP BY a.artifact_id, m.method
), graders AS (
    SELECT DISTINCT artifact_id, grader FROM judgements
), asked AS (
    SELECT artifact_id, context_id, count(DISTINCT question_id) AS n_questions
    FROM answers GROUP BY ALL
), examined AS (
    SELECT a.artifact_id, g.grader, a.method, a.context_id, a.adapter_id, a.repeat,
           CASE WHEN count(j.correct) = count(*) AND count(DISTINCT a.question_id) = max(n_questions)
                THEN avg(j.correct::INT) END AS accuracy
    FROM answers a
    JOIN graders g USING (artifact_id)
    JOIN asked USING (artifact_id, context_id)
    LEFT JOIN judgements j
        ON j.artifact_id = a.artifact_id AND j.answer_id = a.answer_id AND j.grader = g.grader
    GROUP BY ALL
), unexamined AS (
    SELECT d.artifact_id, g.grader,
           CASE WHEN d.self_edit_id IS NULL THEN 'passage-only'
                WHEN s.prompt_name = 'oracle' THEN 'oracle' ELSE 'self-edits' END AS method,
           d.context_id, d.adapter_id, d.repeat, CASE d.status WHEN 'invalid' THEN 0 END AS accuracy
    FROM adapters d JOIN graders g USING (artifact_id)
    LEFT JOIN self_edits s ON s.artifact_id = d.artifact_id AND s.self_edit_id = d.self_edit_id
    ANTI JOIN answers a ON a.artifact_id = d.artifact_id AND a.adapter_id = d.adapter_id
)
SELECT runs.artifact_id, runs.regime, runs.dataset, runs.asked, runs.student, b.base,
       runs.policy, runs.round, w.base = b.base AS own, runs.prompt_name, runs.method, e.grader,
       e.context_id, avg(e.accuracy) AS accuracy,
       avg((e.accuracy = 1)::INT) AS success, any_value(n.n_questions) AS n_questions
FROM (FROM examined UNION ALL FROM unexamined) e
JOIN runs USING (artifact_id, method)
JOIN bases b ON b.model = runs.student
JOIN bases w ON w.model = runs.policy
JOIN asked n ON n.artifact_id = e.artifact_id AND n.context_id = e.context_id
GROUP BY ALL
HAVING count(e.accuracy) = count(*)

-- One row per artifact with answers and method: who was adapted, to what, and who was asked how.
-- A view, like a table to `seal sql`.
--
-- `student` was adapted to what `policy` wrote after `round` rounds of RL; where nothing was written,
-- both are who was asked. `base` is the model before any RL that the student comes from, `own`
-- whether the policy comes from it, too. `generator` says for people who or what wrote the texts,
-- `prompt_name` by which prompt; both are null where nothing was written. `asked` is how many
-- questions there were in all, `trained` whether a LoRA or all weights were. `regime` is null for the
-- rewards of a round of RL.
WITH RECURSIVE parents AS (
    SELECT DISTINCT policy, parent FROM policies WHERE parent IS NOT NULL
), ancestry (model, base) AS (
    SELECT policy, policy FROM metrics UNION SELECT student, student FROM answers
    UNION SELECT policy, policy FROM rewards
    UNION
    SELECT a.model, p.parent FROM ancestry a JOIN parents p ON p.policy = a.base
), bases AS (
    FROM ancestry WHERE base NOT IN (SELECT policy FROM parents)
), asked_of AS (
    SELECT artifact_id, any_value(student) AS student, count(DISTINCT question_id) AS asked
    FROM answers WHERE scope = 'own' GROUP BY artifact_id
), told AS (
    SELECT artifact_id, method, any_value(regime) AS regime, any_value(dataset) AS dataset,
           any_value(policy) AS policy, any_value(round) AS round,
           any_value(prompt_name) AS prompt_name, any_value(generator) AS generator
    FROM metrics WHERE metric IN ('accuracy', 'success') GROUP BY ALL
), earned AS (  -- by rounds of RL
    SELECT r.artifact_id, any_value(r.dataset) AS dataset, any_value(r.policy) AS policy,
           any_value(r.round) AS round, any_value(s.prompt_name) AS prompt_name
    FROM rewards r ANTI JOIN metrics m ON m.artifact_id = r.artifact_id
    JOIN lineage l ON l.artifact_id = r.artifact_id
    JOIN self_edits s ON s.artifact_id = l.ancestor AND s.self_edit_id = r.self_edit_id
    GROUP BY r.artifact_id
), prompts AS (
    SELECT artifact_id, any_value(prompt_name) AS prompt_name
    FROM self_edits WHERE prompt_name <> 'oracle' GROUP BY artifact_id
), training AS (
    SELECT artifact_id, CASE WHEN bool_or(coalesce((hyperparameters->>'$.full')::BOOLEAN, false))
                             THEN 'all weights' ELSE 'LoRA' END AS trained
    FROM adapters GROUP BY artifact_id
), found AS (
    SELECT m.artifact_id, m.method, starts_with(m.method, 'self-edits') AS writes, a.student, a.asked,
           t.regime, coalesce(t.dataset, e.dataset) AS dataset,
           CASE WHEN writes THEN coalesce(t.policy, e.policy, a.student) ELSE a.student END AS policy,
           CASE WHEN writes THEN coalesce(t.prompt_name, p.prompt_name, e.prompt_name) END AS prompt_name,
           coalesce(t.round, e.round) AS told_round, t.generator
    FROM (SELECT artifact_id, method FROM told UNION SELECT artifact_id, method FROM answers) m
    JOIN asked_of a USING (artifact_id)
    LEFT JOIN told t ON t.artifact_id = m.artifact_id AND t.method = m.method
    LEFT JOIN earned e ON e.artifact_id = m.artifact_id
    LEFT JOIN prompts p ON p.artifact_id = m.artifact_id
)
SELECT f.artifact_id, f.method, f.regime, f.dataset, f.asked, t.trained, f.student, b.base, f.policy,
       CASE WHEN f.writes THEN f.told_round ELSE coalesce(s.round, f.told_round) END AS round,
       NOT f.writes OR w.base = b.base AS own, f.prompt_name,
       CASE WHEN f.writes THEN coalesce(f.generator, n.name, f.policy) ELSE f.generator END AS generator
FROM found f
JOIN bases b ON b.model = f.student
JOIN bases w ON w.model = f.policy
LEFT JOIN training t ON t.artifact_id = f.artifact_id
LEFT JOIN model_names n ON n.policy = f.policy
LEFT JOIN (SELECT policy, any_value(round) AS round FROM policies GROUP BY policy) s
    ON s.policy = f.student

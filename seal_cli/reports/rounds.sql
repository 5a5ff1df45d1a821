-- Accuracy by round of RL, and what RL gained since round 0, paired by context.
--
-- Evaluations of one passage or task at a time; `runs` of the same model, prompt and round (other
-- seeds) are averaged. Without self-edits there is one line per method: the model before RL, as it
-- was measured beside its own self-edits. `student` is who was adapted, where that is not the policy
-- itself (`--student`); `success` is the share of few-shot tasks all of whose tests are right.
-- Self-edits of other models are in `paper-table2` and `prompt-ablation`.
-- Needs: `seal eval POLICY CONTEXTS` (`seal loop` does it after every round).
WITH measured AS (
    SELECT {'dataset': dataset, 'asked': asked, 'grader': grader, 'base': base, 'prompt': prompt_name,
            'method': method} AS line,
           round, CASE WHEN student <> policy THEN student END AS adapted, context_id, artifact_id,
           accuracy, CASE regime WHEN 'fewshot' THEN success END AS success
    FROM accuracies
    WHERE regime IN ('single', 'fewshot') AND own AND counts AND (round = 0 OR method = 'self-edits')
), cells AS (
    SELECT line, round, adapted, context_id, avg(accuracy) AS accuracy, avg(success) AS success,
           list(artifact_id) AS artifacts
    FROM measured GROUP BY ALL
), paired AS (
    SELECT c.*, c.accuracy - b.accuracy AS gain
    FROM cells c LEFT JOIN cells b
      ON b.line = c.line AND b.context_id = c.context_id AND b.round = 0 AND c.round > 0
     -- before RL the policy is its own student, also where that one stays
     AND (b.adapted IS NOT DISTINCT FROM c.adapted OR b.adapted IS NULL AND c.adapted = c.line.base)
)
SELECT line.method, round, round(avg(accuracy), 4) AS accuracy,
       round(at_least_0(mean_low(accuracy)), 4) AS low,
       round(at_most_1(mean_high(accuracy)), 4) AS high,
       round(avg(gain), 4) AS gain_since_0,
       round(mean_low(gain), 4) AS gain_low, round(mean_high(gain), 4) AS gain_high,
       round(avg(success), 4) AS success,
       count(*) AS contexts, coalesce(any_value(n.name), line.base) AS model,
       coalesce(any_value(a.name), adapted) AS student, line.prompt, line.grader, line.dataset,
       len(list_distinct(flatten(list(artifacts)))) AS runs
FROM paired
LEFT JOIN model_names n ON n.policy = line.base LEFT JOIN model_names a ON a.policy = adapted
GROUP BY line, round, adapted
ORDER BY line.dataset, line.asked, model, student NULLS FIRST, line.grader,
         CASE WHEN line.method IN ('unadapted', 'in-context') THEN 0
              WHEN line.method = 'passage-only' THEN 1
              WHEN line.method = 'oracle' THEN 3 ELSE 2 END, line.prompt, round

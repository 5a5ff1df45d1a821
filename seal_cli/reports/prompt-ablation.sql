-- Accuracy by self-edit prompt and writer (paper's prompt ablation), one passage at a time.
--
-- `gain` is paired by context with the same model without RL under the prompt `implications`.
-- Needs: `seal eval POLICY CONTEXTS --prompt NAME` for several prompts.
WITH cells AS (
    SELECT a.dataset, a.grader, a.asked, p.prompt_name, a.policy, a.round, a.context_id,
           avg(a.accuracy) AS accuracy
    FROM accuracies a
    JOIN (SELECT DISTINCT artifact_id, prompt_name FROM self_edits) p USING (artifact_id)
    WHERE a.regime = 'single' AND a.method = 'self-edits'
    GROUP BY ALL
), plain AS (
    SELECT dataset, grader, asked, context_id, avg(accuracy) AS before FROM cells
    WHERE prompt_name = 'implications' AND round = 0 AND policy NOT LIKE '%gpt%'
    GROUP BY ALL
)
SELECT dataset, grader, prompt_name AS prompt, coalesce(any_value(names.name), policy) AS model, round,
       round(avg(accuracy), 4) AS accuracy,
       round(greatest(mean_low(accuracy), 0), 4) AS low, round(least(mean_high(accuracy), 1), 4) AS high,
       round(avg(accuracy - before), 4) AS gain,
       round(mean_low(accuracy - before), 4) AS gain_low,
       round(mean_high(accuracy - before), 4) AS gain_high,
       count(*) AS contexts
FROM cells LEFT JOIN plain USING (dataset, grader, asked, context_id)
LEFT JOIN (SELECT policy, any_value(name) AS name FROM policies GROUP BY policy) names USING (policy)
GROUP BY dataset, grader, asked, prompt_name, policy, round
ORDER BY dataset, grader, prompt, round, model

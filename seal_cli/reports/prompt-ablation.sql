-- Accuracy by self-edit prompt and writer (paper's prompt ablation), one passage at a time.
--
-- `gain` is paired by context with the student's own self-edits before RL under the prompt
-- `implications`. Runs of the same writer and prompt are averaged.
-- Needs: `seal eval POLICY CONTEXTS --prompt NAME` for several prompts.
WITH cells AS (
    SELECT dataset, asked, grader, base, prompt_name, policy, round, own, context_id,
           avg(accuracy) AS accuracy
    FROM accuracies WHERE regime = 'single' AND method = 'self-edits'
    GROUP BY ALL
), plain AS (
    SELECT dataset, asked, grader, base, context_id, accuracy AS before FROM cells
    WHERE prompt_name = 'implications' AND round = 0 AND own
), names AS (SELECT policy, any_value(name) AS name FROM policies GROUP BY policy)
SELECT prompt_name AS prompt, coalesce(any_value(n.name), policy) AS model, round,
       round(avg(accuracy), 4) AS accuracy,
       round(at_least_0(mean_low(accuracy)), 4) AS low,
       round(at_most_1(mean_high(accuracy)), 4) AS high,
       round(avg(accuracy - before), 4) AS gain,
       round(mean_low(accuracy - before), 4) AS gain_low,
       round(mean_high(accuracy - before), 4) AS gain_high,
       count(*) AS contexts, coalesce(any_value(b.name), base) AS student, grader, dataset
FROM cells LEFT JOIN plain USING (dataset, asked, grader, base, context_id)
LEFT JOIN names n USING (policy) LEFT JOIN names b ON b.policy = base
GROUP BY dataset, asked, grader, base, prompt_name, policy, round
ORDER BY dataset, grader, student, prompt, round, model

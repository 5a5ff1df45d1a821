-- Prompts and recipes side by side in training: what their self-edits earned, and cost, by round.
--
-- Rewards of `score` by gold questions; evaluations are in prompt-ablation. `accuracy` is the mean over
-- contexts of the mean over self-edits, an invalid one as no answer right, a failed one left out; `best`
-- that of each context's best. `tokens` is what was written for one self-edit, all steps of a recipe.
-- `dataset` is the passages' split, or what an import calls them.
-- Needs: `seal generate CONTEXTS --prompt NAME | seal score -` for several prompts.
WITH scored AS (
    SELECT s.prompt_name, r.round, r.policy, r.student, r.grader,
           coalesce(r.dataset, c.split) AS split, r.context_id,
           r.status, s.n_tokens, r.baseline_accuracy AS baseline,
           CASE r.status WHEN 'invalid' THEN 0 ELSE r.adapted_accuracy END AS accuracy
    FROM rewards r
    JOIN lineage l ON l.artifact_id = r.artifact_id
    JOIN self_edits s ON s.artifact_id = l.ancestor AND s.self_edit_id = r.self_edit_id
    JOIN (SELECT m.artifact_id, context_id, any_value(split) AS split
          FROM lineage m JOIN contexts x ON x.artifact_id = m.ancestor GROUP BY ALL) c
      ON c.artifact_id = r.artifact_id AND c.context_id = r.context_id
    WHERE r.rule <> 'proxy' AND r.origin = 'gold'
), cells AS (
    SELECT prompt_name, round, policy, student, grader, split, context_id, count(*) AS n,
           count(*) FILTER (status = 'invalid') AS invalid,
           count(*) FILTER (status = 'failed') AS failed, sum(n_tokens) AS tokens,
           avg(accuracy) AS accuracy, max(accuracy) AS best, avg(baseline) AS baseline
    FROM scored GROUP BY ALL
)
SELECT prompt_name AS prompt, round, round(avg(accuracy), 4) AS accuracy,
       round(at_least_0(mean_low(accuracy)), 4) AS low,
       round(at_most_1(mean_high(accuracy)), 4) AS high, round(avg(best), 4) AS best,
       round(avg(baseline), 4) AS baseline, count(*) AS contexts, sum(n)::BIGINT AS self_edits,
       sum(invalid)::BIGINT AS invalid, sum(failed)::BIGINT AS failed,
       round(sum(tokens) / sum(n), 1) AS tokens, coalesce(any_value(w.name), policy) AS writer,
       coalesce(any_value(s.name), student) AS student, grader, split AS dataset
FROM cells LEFT JOIN model_names w USING (policy)
LEFT JOIN model_names s ON s.policy = student
GROUP BY prompt_name, round, policy, student, grader, split
ORDER BY split, grader, student, round, prompt, writer

-- What is left of earlier passages after each further self-edit (paper's retention matrix).
--
-- Row k is after k self-edits (0: before any), column p the passage that was edited p-th: means over
-- sequences. `seen` is the mean over the passages edited so far, in row 0 over all. `model` wrote the
-- self-edits and took them. `method` has the countermeasures: replay, the merge gate, adapters kept
-- apart. Every evaluation of ours is a matrix of its own; of a release all files of a model are one,
-- without the file with the means of all others, whose dataset is `… (overall)`.
-- Needs: `seal import official DIR` or `seal eval POLICY CONTEXTS --regime continual`.
WITH cells AS (
    SELECT {'policy': policy, 'round': round, 'dataset': dataset, 'grader': grader,
            'evaluation': CASE basis WHEN 'answers' THEN artifact_id END} AS matrix, step, position,
           max(method) FILTER (step > 0) AS method,
           max(coalesce(m.prompt_name, e.prompt_name)) FILTER (step > 0) AS prompt,
           sum(value * n) / sum(n) AS accuracy, sum(n)::BIGINT AS sequences
    FROM metrics m LEFT JOIN (SELECT artifact_id, any_value(prompt_name) AS prompt_name
                              FROM self_edits GROUP BY artifact_id) e USING (artifact_id)
    WHERE regime = 'continual' AND metric = 'accuracy' AND value IS NOT NULL
      AND dataset NOT LIKE '% (overall)'
    GROUP BY matrix, step, position
), named AS (
    SELECT coalesce(n.name, matrix.policy) AS model, matrix.round, matrix.dataset, matrix.grader,
           matrix.evaluation, step, position, round(accuracy, 4) AS accuracy,
           max(method) OVER whole AS method, max(prompt) OVER whole AS prompt,
           max(sequences) OVER whole AS sequences,
           round(avg(accuracy) OVER (PARTITION BY matrix, step), 4) AS seen
    FROM cells LEFT JOIN model_names n ON n.policy = matrix.policy
    WINDOW whole AS (PARTITION BY matrix)
)
PIVOT named ON position USING first(accuracy)
GROUP BY model, round, prompt, method, dataset, grader, evaluation, sequences, step, seen
ORDER BY model, round, prompt, dataset, grader, method, evaluation, step

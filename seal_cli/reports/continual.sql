-- What is left of earlier passages after each further self-edit (paper's retention matrix).
--
-- Row k is after k self-edits (0: before any), column p the passage that was edited p-th: means over
-- sequences. `seen` is the mean over the passages edited so far, in row 0 over all. `method` has the
-- countermeasures: replay, the merge gate, adapters kept apart. Every evaluation of ours is a matrix of
-- its own; of a release all files of a policy are one, without the file with the means of all others,
-- whose dataset is `… (overall)`.
-- Needs: `seal import official DIR` or `seal eval POLICY CONTEXTS --regime continual`.
WITH cells AS (
    SELECT policy, dataset, CASE basis WHEN 'answers' THEN artifact_id END AS evaluation, step, position,
           max(method) FILTER (step > 0) AS named, sum(value * n) / sum(n) AS accuracy,
           sum(n)::BIGINT AS sequences
    FROM metrics
    WHERE regime = 'continual' AND metric = 'accuracy' AND value IS NOT NULL
      AND dataset NOT LIKE '% (overall)'
    GROUP BY policy, dataset, evaluation, step, position
), rows_ AS (
    SELECT policy, dataset, evaluation, step, position, round(accuracy, 4) AS accuracy,
           max(named) OVER (PARTITION BY policy, dataset, evaluation) AS method,
           max(sequences) OVER (PARTITION BY policy, dataset, evaluation) AS sequences,
           round(avg(accuracy) OVER (PARTITION BY policy, dataset, evaluation, step), 4) AS seen
    FROM cells
)
PIVOT rows_ ON position USING first(accuracy)
GROUP BY policy, dataset, method, evaluation, sequences, step, seen
ORDER BY policy, dataset, method, evaluation, step

-- What is left of earlier passages after each further self-edit (paper's retention matrix).
--
-- Row k is after k self-edits (0: before any), column p the passage that was edited p-th: means over
-- sequences. `seen` is the mean over the passages edited so far, in row 0 over all. The release's file
-- with the means of all others, whose dataset is `… (overall)`, is left out.
-- Needs: `seal import official DIR`.
WITH cells AS (
    SELECT policy, dataset, step, position, sum(value * n) / sum(n) AS accuracy, sum(n)::BIGINT AS sequences
    FROM metrics
    WHERE regime = 'continual' AND metric = 'accuracy' AND value IS NOT NULL
      AND dataset NOT LIKE '% (overall)'
    GROUP BY ALL
), rows_ AS (
    SELECT policy, dataset, step, sequences, position, round(accuracy, 4) AS accuracy,
           round(avg(accuracy) OVER (PARTITION BY policy, dataset, step), 4) AS seen
    FROM cells
)
PIVOT rows_ ON position USING first(accuracy) GROUP BY policy, dataset, sequences, step, seen
ORDER BY policy, dataset, step

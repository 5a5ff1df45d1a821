-- Accuracy by round of RL, and what RL gained since round 0, paired by context.
--
-- Evaluations of one passage at a time. Without self-edits there is one line per method: the model
-- before RL. Intervals are 95 % over contexts.
-- Needs: `seal eval POLICY CONTEXTS` (`seal loop` does it after every round).
WITH RECURSIVE origin(policy, root) AS (
    SELECT DISTINCT policy, policy FROM accuracies WHERE round = 0
    UNION
    SELECT p.policy, o.root FROM policies p JOIN origin o ON p.parent = o.policy
), cells AS (
    SELECT dataset, grader, root, method, round, context_id, avg(accuracy) AS accuracy
    FROM accuracies JOIN origin USING (policy)
    WHERE regime = 'single' AND (round = 0 OR method = 'self-edits')
    GROUP BY ALL
), paired AS (
    SELECT cells.*, cells.accuracy - before.accuracy AS gain
    FROM cells LEFT JOIN cells before
      ON before.dataset = cells.dataset AND before.grader = cells.grader
     AND before.root = cells.root AND before.method = 'self-edits' AND before.round = 0
     AND before.context_id = cells.context_id AND cells.method = 'self-edits' AND cells.round > 0
)
SELECT method, round, round(avg(accuracy), 4) AS accuracy,
       round(greatest(mean_low(accuracy), 0), 4) AS low, round(least(mean_high(accuracy), 1), 4) AS high,
       round(avg(gain), 4) AS gain_since_0,
       round(mean_low(gain), 4) AS gain_low, round(mean_high(gain), 4) AS gain_high,
       count(*) AS contexts, coalesce(any_value(name), root) AS model, grader, dataset
FROM paired LEFT JOIN (SELECT DISTINCT policy AS root, name FROM policies) USING (root)
GROUP BY dataset, root, grader, method, round
ORDER BY dataset, model, grader,
         CASE method WHEN 'unadapted' THEN 0 WHEN 'passage-only' THEN 1 ELSE 2 END, round

-- Accuracy by round of RL, and what RL gained since round 0, paired by context.
--
-- Evaluations of one passage or task at a time; runs of the same model, prompt and round (other seeds) are
-- averaged. Without self-edits there is one line per method: the model before RL, over all its
-- evaluations. Intervals are 95 % over contexts. `student` is who was adapted, where that is not
-- the policy itself (`--student`); `success` is the share of few-shot tasks all of whose tests are
-- right.
-- Needs: `seal eval POLICY CONTEXTS` (`seal loop` does it after every round).
WITH cells AS (
    SELECT dataset, asked, grader, base, method, round, context_id, avg(accuracy) AS accuracy,
           avg(success) FILTER (regime = 'fewshot') AS success,
           CASE method WHEN 'self-edits' THEN prompt_name END AS prompt,
           CASE WHEN student <> policy THEN student END AS adapted
    FROM accuracies
    WHERE regime IN ('single', 'fewshot') AND own AND (round = 0 OR method = 'self-edits')
    GROUP BY ALL
), paired AS (
    SELECT c.*, c.accuracy - b.accuracy AS gain
    FROM cells c LEFT JOIN cells b
      ON b.dataset = c.dataset AND b.asked = c.asked AND b.grader = c.grader AND b.base = c.base
     AND b.prompt IS NOT DISTINCT FROM c.prompt AND b.context_id = c.context_id
     -- before RL the policy is its own student, also where that one stays
     AND (b.adapted IS NOT DISTINCT FROM c.adapted OR b.adapted IS NULL AND c.adapted = c.base)
     AND b.method = 'self-edits' AND b.round = 0 AND c.method = 'self-edits' AND c.round > 0
)
SELECT method, round, round(avg(accuracy), 4) AS accuracy,
       round(at_least_0(mean_low(accuracy)), 4) AS low,
       round(at_most_1(mean_high(accuracy)), 4) AS high,
       round(avg(gain), 4) AS gain_since_0,
       round(mean_low(gain), 4) AS gain_low, round(mean_high(gain), 4) AS gain_high,
       round(avg(success), 4) AS success,
       count(*) AS contexts, coalesce(any_value(n.name), base) AS model,
       coalesce(any_value(a.name), adapted) AS student, prompt, grader, dataset
FROM paired
LEFT JOIN (SELECT policy, any_value(name) AS name FROM policies GROUP BY policy) n ON n.policy = base
LEFT JOIN (SELECT policy, any_value(name) AS name FROM policies GROUP BY policy) a
    ON a.policy = adapted
GROUP BY dataset, asked, base, adapted, prompt, grader, method, round
ORDER BY dataset, asked, model, student NULLS FIRST, grader,
         CASE WHEN method IN ('unadapted', 'in-context') THEN 0 WHEN method = 'passage-only' THEN 1
              WHEN method = 'oracle' THEN 3 ELSE 2 END, prompt, round

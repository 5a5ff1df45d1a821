-- Accuracy without the passage in view by method (paper Table 2), with SEAL minus each of the others.
--
-- One line per run and method. Single passage: mean over passages; many passages (cpt): mean over
-- questions. Intervals are 95 % over passages, differences paired by passage. `seal` is the model
-- that is compared with the others: the last round's own self-edits.
-- Needs: `seal import official DIR` or `seal eval POLICY CONTEXTS`.
WITH cells AS (
    SELECT *, CASE regime WHEN 'cpt' THEN n_questions ELSE 1 END AS weight, accuracy * weight AS hits
    FROM accuracies
), seal AS (
    SELECT regime, dataset, asked, grader, context_id, policy AS seal, avg(hits) AS seal_hits
    FROM (SELECT * FROM cells WHERE method = 'self-edits' AND policy NOT LIKE '%gpt%'
          QUALIFY round = max(round) OVER (PARTITION BY regime, dataset, asked, grader))
    GROUP BY ALL
), means AS (
    SELECT cells.*, seal, seal_hits - hits AS more,
           sum(hits) OVER line / sum(weight) OVER line AS mean,
           sum(more) OVER line / sum(weight) OVER line AS gap
    FROM cells LEFT JOIN seal USING (regime, dataset, asked, grader, context_id)
    WINDOW line AS (PARTITION BY artifact_id, grader, method)
), lines AS (
    SELECT artifact_id, regime, dataset, asked, grader, method, policy, round, seal, mean, gap,
           count(*) AS contexts, sqrt(contexts / (contexts - 1)) / sum(weight) AS scale,
           t975(contexts - 1) * scale * sqrt(sum((hits - mean * weight) ** 2)) AS width,
           t975(contexts - 1) * scale * sqrt(sum((more - gap * weight) ** 2)) AS gap_width,
           method <> 'self-edits' OR policy <> seal AS other
    FROM means GROUP BY ALL
), names AS (SELECT policy, any_value(name) AS name FROM policies GROUP BY policy)
SELECT regime, asked AS questions, method, coalesce(n.name, lines.policy) AS model,
       round(mean, 4) AS accuracy, round(greatest(mean - width, 0), 4) AS low,
       round(least(mean + width, 1), 4) AS high,
       coalesce(s.name, seal) AS seal,
       CASE WHEN other THEN round(gap, 4) END AS seal_minus_this,
       CASE WHEN other THEN round(gap - gap_width, 4) END AS difference_low,
       CASE WHEN other THEN round(gap + gap_width, 4) END AS difference_high,
       grader, dataset, parse_filename(a.source) AS file, artifact_id
FROM lines JOIN artifacts a USING (artifact_id)
LEFT JOIN names n USING (policy) LEFT JOIN names s ON s.policy = seal
ORDER BY regime DESC, dataset, questions, grader,
         CASE method WHEN 'unadapted' THEN 0 WHEN 'passage-only' THEN 1 ELSE 2 END, round, model, mean

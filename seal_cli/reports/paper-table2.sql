-- Accuracy without the passage in view by method (paper Table 2), with SEAL minus each of the others.
--
-- One line per run and method, prompt `implications` (`prompt-ablation` has the others). Single
-- passage: mean over passages; many passages (cpt): mean over questions. Intervals are 95 % over
-- passages, differences paired by passage. `seal` is whom the others are compared with: the last
-- round's own self-edits on the same base model; without a round of RL, that model's own.
-- Needs: `seal import official DIR` or `seal eval POLICY CONTEXTS`.
WITH cells AS (
    SELECT *, CASE regime WHEN 'cpt' THEN n_questions ELSE 1 END AS weight, accuracy * weight AS hits
    FROM accuracies
    WHERE coalesce(prompt_name, 'implications') = 'implications'
), last_round AS (
    SELECT * FROM cells WHERE method = 'self-edits' AND own
    QUALIFY round = max(round) OVER (PARTITION BY regime, dataset, asked, base, grader)
), seal AS (
    SELECT regime, dataset, asked, base, grader, context_id, avg(hits) AS seal_hits
    FROM last_round GROUP BY ALL
), compared AS (
    SELECT regime, dataset, asked, base, grader, max(round) AS seal_round,
           string_agg(DISTINCT policy, ', ' ORDER BY policy) AS seal
    FROM last_round GROUP BY ALL
), means AS (
    SELECT cells.*, seal_hits - hits AS more,
           sum(hits) OVER line / sum(weight) OVER line AS mean,
           sum(more) OVER line / sum(weight) FILTER (more IS NOT NULL) OVER line AS gap
    FROM cells LEFT JOIN seal USING (regime, dataset, asked, base, grader, context_id)
    WINDOW line AS (PARTITION BY artifact_id, grader, method)
), lines AS (
    SELECT artifact_id, regime, dataset, asked, base, grader, method, policy, round, own, mean, gap,
           count(*) AS n, count(more) AS pairs,
           t975(n - 1) * sqrt(n / (n - 1) * sum((hits - mean * weight) ** 2)) / sum(weight) AS width,
           t975(pairs - 1) * sqrt(pairs / (pairs - 1) * sum((more - gap * weight) ** 2))
               / sum(weight) FILTER (more IS NOT NULL) AS gap_width
    FROM means GROUP BY ALL
), names AS (SELECT policy, any_value(name) AS name FROM policies GROUP BY policy)
SELECT regime, asked AS questions, method, coalesce(n.name, lines.policy) AS model,
       round(mean, 4) AS accuracy, round(at_least_0(mean - width), 4) AS low,
       round(at_most_1(mean + width), 4) AS high, coalesce(s.name, seal) AS seal,
       CASE WHEN other THEN round(gap, 4) END AS seal_minus_this,
       CASE WHEN other THEN round(gap - gap_width, 4) END AS difference_low,
       CASE WHEN other THEN round(gap + gap_width, 4) END AS difference_high,
       grader, dataset, parse_filename(a.source) AS file, artifact_id
FROM (SELECT *, NOT (method = 'self-edits' AND own AND round = seal_round) AS other
      FROM lines LEFT JOIN compared USING (regime, dataset, asked, base, grader)) lines
JOIN artifacts a USING (artifact_id)
LEFT JOIN names n USING (policy) LEFT JOIN names s ON s.policy = seal
ORDER BY regime DESC, dataset, questions, grader, base,
         CASE method WHEN 'unadapted' THEN 0 WHEN 'passage-only' THEN 1 ELSE 2 END, round, model, mean

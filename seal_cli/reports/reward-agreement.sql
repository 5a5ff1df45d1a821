-- Stand-ins for the real reward: how they rank the same self-edits, and what choosing by them costs.
--
-- Stand-ins are rewards from questions that a model wrote itself and the proxy of a rubric; the real
-- one is accuracy on gold questions. Within each context with several self-edits that have both:
-- Spearman's correlation (mean over the contexts where both differ, with its interval) and
-- Pearson's over all after taking each context's mean off; then what the stand-in's best self-edit
-- (the earliest of several) earns for real, beside a random one and the really best. `recovered` is
-- (chosen - random) / (best - random); `best` is itself the luckiest of noisy rewards.
-- Needs: `seal score SELF_EDITS` twice: with gold questions, and with --questions QUIZ or --reward proxy.
WITH pairs AS (
    SELECT s.artifact_id, t.artifact_id AS against, s.rule, s.origin, s.grader, t.policy, t.round,
           t.student, t.dataset, t.grader AS real_grader, s.context_id, s.self_edit_id, s.sample, s.reward AS stand_in,
           t.adapted_accuracy AS earned
    FROM rewards s
    JOIN rewards t ON t.self_edit_id = s.self_edit_id AND t.artifact_id <> s.artifact_id
    WHERE (s.rule = 'proxy' OR s.origin = 'self' AND s.student = t.student)
      AND t.rule <> 'proxy' AND t.origin = 'gold'
      AND s.status = 'ok' AND t.status = 'ok' AND t.adapted_accuracy IS NOT NULL
    QUALIFY count(*) OVER (PARTITION BY s.artifact_id, t.artifact_id, s.context_id) > 1
), ranked AS (  -- those that are equal share the mean of their ranks
    SELECT *, row_number() OVER chosen AS place,
           rank() OVER by_stand_in + (count(*) OVER same_stand_in - 1) / 2 AS rank_stand_in,
           rank() OVER by_earned + (count(*) OVER same_earned - 1) / 2 AS rank_earned,
           stand_in - avg(stand_in) OVER within AS off_stand_in,
           earned - avg(earned) OVER within AS off_earned
    FROM pairs
    WINDOW within AS (PARTITION BY artifact_id, against, context_id),
           chosen AS (PARTITION BY artifact_id, against, context_id
                      ORDER BY stand_in DESC, sample, self_edit_id),
           by_stand_in AS (PARTITION BY artifact_id, against, context_id ORDER BY stand_in),
           by_earned AS (PARTITION BY artifact_id, against, context_id ORDER BY earned),
           same_stand_in AS (PARTITION BY artifact_id, against, context_id, stand_in),
           same_earned AS (PARTITION BY artifact_id, against, context_id, earned)
), by_context AS (
    SELECT artifact_id, against, context_id, count(*) AS n,
           CASE WHEN count(DISTINCT stand_in) > 1 AND count(DISTINCT earned) > 1
                THEN corr(rank_stand_in, rank_earned) END AS spearman,
           avg(earned) AS random, max(earned) AS best,
           max(earned) FILTER (place = 1) AS chosen
    FROM ranked GROUP BY ALL
), pooled AS (
    SELECT artifact_id, against, any_value(rule) AS rule, any_value(origin) AS origin,
           any_value(policy) AS policy, any_value(round) AS round, any_value(student) AS student,
           any_value(dataset) AS dataset,
           any_value(grader) AS grader, any_value(real_grader) AS real_grader,
           CASE WHEN stddev_pop(off_stand_in) > 0 AND stddev_pop(off_earned) > 0
                THEN corr(off_stand_in, off_earned) END AS within
    FROM ranked GROUP BY artifact_id, against
)
SELECT any_value(p.rule) AS rule, any_value(p.origin) AS questions,
       any_value(p.grader) AS grader, any_value(e.prompt_name) AS prompt, any_value(p.round) AS round,
       coalesce(any_value(w.name), any_value(p.policy)) AS writer,
       coalesce(any_value(m.name), any_value(p.student)) AS student, any_value(p.dataset) AS dataset,
       count(*) AS contexts, sum(n)::BIGINT AS self_edits,
       round(avg(spearman), 3) AS spearman, round(mean_low(spearman), 3) AS low,
       round(mean_high(spearman), 3) AS high, count(spearman) AS ranked_contexts,
       round(any_value(p.within), 3) AS pearson_within,
       round(avg(random), 3) AS random, round(avg(chosen), 3) AS chosen, round(avg(best), 3) AS best,
       round(avg(best - chosen), 3) AS regret, round(avg(best - random), 3) AS random_regret,
       round((avg(chosen) - avg(random)) / nullif(avg(best) - avg(random), 0), 3) AS recovered,
       any_value(p.real_grader) AS real_grader, parse_filename(any_value(a.source)) AS file,
       parse_filename(any_value(b.source)) AS against_file, artifact_id, against
FROM by_context JOIN pooled p USING (artifact_id, against)
JOIN artifacts a USING (artifact_id) JOIN artifacts b ON b.artifact_id = against
LEFT JOIN (SELECT l.artifact_id, any_value(s.prompt_name) AS prompt_name
           FROM rewards r JOIN lineage l ON l.artifact_id = r.artifact_id
           JOIN self_edits s ON s.artifact_id = l.ancestor AND s.self_edit_id = r.self_edit_id
           GROUP BY l.artifact_id) e ON e.artifact_id = against
LEFT JOIN model_names w ON w.policy = p.policy LEFT JOIN model_names m ON m.policy = p.student
GROUP BY artifact_id, against
ORDER BY rule, questions, prompt, round, writer, artifact_id, against

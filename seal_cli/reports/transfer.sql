-- What a student learns from another model's self-edits: writer by student (teacher and student).
--
-- A cell is one writer, prompt and student on one set of passages: means over contexts of the means
-- over self-edits. An invalid self-edit counts as no answer right, a failed one not at all; runs of the
-- same student are averaged. `gain` is over the unadapted student. `difference` is the accuracy less
-- that of `against` (the writer as its own student, else the student with most self-edits), paired by
-- context on the `shared` self-edits that both were scored on. `dataset` is the passages' split, or
-- what an import calls them.
-- Needs: `seal score SELF_EDITS --student MODEL`.
WITH scored AS (
    SELECT s.prompt_name, r.policy, any_value(r.round) AS round, r.student, r.grader,
           coalesce(r.dataset, c.split) AS split,
           r.context_id, r.self_edit_id, avg(r.reward) FILTER (r.rule = 'accuracy') AS reward,
           avg(r.baseline_accuracy) AS baseline,
           avg(CASE r.status WHEN 'invalid' THEN 0 ELSE r.adapted_accuracy END) AS accuracy
    FROM rewards r
    JOIN lineage l ON l.artifact_id = r.artifact_id
    JOIN self_edits s ON s.artifact_id = l.ancestor AND s.self_edit_id = r.self_edit_id
    JOIN lineage m ON m.artifact_id = r.artifact_id
    JOIN contexts c ON c.artifact_id = m.ancestor AND c.context_id = r.context_id
    WHERE r.status <> 'failed' AND r.rule <> 'proxy' AND r.origin = 'gold'
    GROUP BY ALL
), students AS (  -- whom the others are held against
    SELECT prompt_name, policy, grader, split,
           arg_max(student, (student = policy, n, student)) AS against
    FROM (SELECT prompt_name, policy, grader, split, student, count(*) AS n
          FROM scored GROUP BY ALL)
    GROUP BY ALL
), paired AS (
    SELECT a.*, against, b.accuracy AS theirs
    FROM scored a JOIN students USING (prompt_name, policy, grader, split)
    LEFT JOIN scored b
      ON b.prompt_name = a.prompt_name AND b.policy = a.policy AND b.grader = a.grader
     AND b.split IS NOT DISTINCT FROM a.split AND b.self_edit_id = a.self_edit_id
     AND b.student = against AND a.student <> against
), cells AS (
    SELECT prompt_name, policy, round, student, grader, split, against, context_id,
           avg(reward) AS reward, avg(accuracy) AS accuracy, avg(baseline) AS baseline,
           avg(accuracy - theirs) AS minus, count(*) AS n, count(theirs) AS shared
    FROM paired GROUP BY ALL
)
SELECT coalesce(any_value(w.name), policy) AS writer, round,
       coalesce(any_value(s.name), student) AS student, prompt_name AS prompt,
       sum(n)::BIGINT AS self_edits, count(*) AS contexts, round(avg(reward), 4) AS reward,
       round(avg(accuracy), 4) AS accuracy, round(avg(baseline), 4) AS baseline,
       round(avg(accuracy - baseline), 4) AS gain,
       round(mean_low(accuracy - baseline), 4) AS gain_low,
       round(mean_high(accuracy - baseline), 4) AS gain_high,
       CASE WHEN student <> any_value(against) THEN coalesce(any_value(a.name), any_value(against))
           END AS against,
       round(avg(minus), 4) AS difference, round(mean_low(minus), 4) AS difference_low,
       round(mean_high(minus), 4) AS difference_high,
       CASE WHEN student <> any_value(against) THEN sum(shared)::BIGINT END AS shared, grader,
       split AS dataset
FROM cells
LEFT JOIN model_names w USING (policy) LEFT JOIN model_names s ON s.policy = student
LEFT JOIN model_names a ON a.policy = against
GROUP BY prompt_name, policy, round, student, grader, split
ORDER BY split, grader, prompt, round, writer, policy, student <> policy, student

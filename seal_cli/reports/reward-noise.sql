-- How far a round's rewards can be trusted: reliability, expected winner's curse, ties.
--
-- One line per artifact of rewards: what one model wrote by one prompt, under one grader.
-- Reliability is the intraclass correlation (icc) between self-edits of one context, of a single
-- repeat and of the mean of all. The winner's curse: choose the best self-edit by all repeats but
-- one, score it on the one left out; `apparent` is what it was chosen for, `true_reward` what it then
-- earned.
-- Needs: `seal score` with several repeats.
WITH repeats AS (
    SELECT r.artifact_id, r.grader, r.round, r.policy, r.student, r.dataset, s.prompt_name,
           r.context_id, r.self_edit_id, r.sample, r.reward, r.gain, a.repeat,
           avg(v.correct::INT) AS accuracy
    FROM rewards r
    JOIN lineage m ON m.artifact_id = r.artifact_id
    JOIN self_edits s ON s.artifact_id = m.ancestor AND s.self_edit_id = r.self_edit_id
    JOIN verdicts v ON v.artifact_id = r.artifact_id AND v.grader = r.grader
    JOIN lineage l ON l.artifact_id = r.artifact_id
    JOIN answers a ON a.artifact_id = l.ancestor AND a.answer_id = v.answer_id
         AND a.self_edit_id = r.self_edit_id AND a.scope = 'own'
    WHERE r.status = 'ok' AND r.n_repeats > 1
    GROUP BY ALL
), edits AS (
    SELECT artifact_id, grader, round, policy, student, dataset, prompt_name, context_id,
           self_edit_id, sample, any_value(reward) AS reward, any_value(gain) AS gain,
           avg(accuracy) AS mean, var_samp(accuracy) AS noise, count(*) AS k
    FROM repeats GROUP BY ALL
), spread AS (  -- mean squares of a one-way analysis within contexts
    SELECT artifact_id, avg(noise) AS within_edits, any_value(k) AS k,
           sum(between_edits * (n - 1)) / sum(n - 1) * any_value(k) AS between_edits
    FROM (SELECT artifact_id, context_id, avg(noise) AS noise, any_value(k) AS k, count(*) AS n,
                 var_samp(mean) AS between_edits
          FROM edits GROUP BY ALL HAVING count(*) > 1)
    GROUP BY artifact_id
), held_out AS (
    SELECT o.artifact_id, o.context_id, o.self_edit_id, o.sample, h.repeat, h.accuracy AS true_reward,
           avg(o.accuracy) AS apparent
    FROM repeats o JOIN repeats h
      ON h.artifact_id = o.artifact_id AND h.self_edit_id = o.self_edit_id AND h.repeat <> o.repeat
    GROUP BY ALL
), chosen AS (
    SELECT artifact_id, avg(apparent) AS apparent, avg(true_reward) AS true_reward
    FROM (SELECT * FROM held_out QUALIFY row_number() OVER (
              PARTITION BY artifact_id, context_id, repeat ORDER BY apparent DESC, sample) = 1)
    GROUP BY artifact_id
), contexts_ AS (
    SELECT artifact_id, context_id, count(*) AS n, avg(reward) AS random_reward, max(reward) AS best_reward,
           count(*) FILTER (top) AS tied, bool_and(gain <= 0) FILTER (top) AS no_better
    FROM (SELECT *, reward = max(reward) OVER (PARTITION BY artifact_id, context_id) AS top FROM edits)
    GROUP BY ALL
)
SELECT any_value(e.prompt) AS prompt, any_value(e.round) AS round,
       coalesce(any_value(n.name), any_value(e.policy)) AS writer,
       coalesce(any_value(t.name), any_value(e.student)) AS student,
       any_value(e.grader) AS grader, any_value(e.dataset) AS dataset, any_value(s.k) AS repeats,
       count(*) AS contexts, sum(c.n)::BIGINT AS self_edits,
       round(any_value((s.between_edits - s.within_edits)
             / (s.between_edits + (s.k - 1) * s.within_edits)), 3) AS icc_of_one,
       round(any_value((s.between_edits - s.within_edits) / s.between_edits), 3) AS icc_of_mean,
       round(avg(c.random_reward), 3) AS random,
       round(avg(c.best_reward), 3) AS best,
       round(any_value(h.apparent), 3) AS apparent,
       round(any_value(h.true_reward), 3) AS true_reward,
       count(*) FILTER (c.tied > 1) AS tied_contexts,
       count(*) FILTER (c.no_better) AS best_is_no_gain,
       parse_filename(any_value(a.source)) AS file, c.artifact_id
FROM contexts_ c
JOIN (SELECT artifact_id, any_value(round) AS round, any_value(policy) AS policy,
             any_value(student) AS student, any_value(grader) AS grader, any_value(dataset) AS dataset,
             any_value(prompt_name) AS prompt FROM edits GROUP BY artifact_id) e USING (artifact_id)
JOIN artifacts a USING (artifact_id)
LEFT JOIN model_names n ON n.policy = e.policy LEFT JOIN model_names t ON t.policy = e.student
LEFT JOIN spread s USING (artifact_id)
LEFT JOIN chosen h USING (artifact_id)
GROUP BY c.artifact_id
ORDER BY prompt, round, writer, file, c.artifact_id

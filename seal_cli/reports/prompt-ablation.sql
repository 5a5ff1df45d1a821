-- Accuracy by self-edit prompt and writer (paper's prompt ablation), one passage at a time.
--
-- `student` was adapted to what `writer` wrote by the prompt. `gain` is over the unadapted student of
-- the same evaluation, `more_than_plain` over the base model's own self-edits before RL by the prompt
-- `implications`; both are paired by context. `runs` of the same writer, prompt and student are
-- averaged.
-- Needs: `seal eval POLICY CONTEXTS --prompt NAME` for several prompts.
WITH measured AS (
    SELECT {'dataset': a.dataset, 'asked': a.asked, 'grader': a.grader, 'base': a.base} AS asked_in,
           a.prompt_name AS prompt, a.policy, a.round, a.student, a.own, a.context_id, a.artifact_id,
           a.accuracy, a.accuracy - u.accuracy AS gain
    FROM accuracies a LEFT JOIN accuracies u
      ON u.artifact_id = a.artifact_id AND u.grader = a.grader AND u.context_id = a.context_id
     AND u.method = 'unadapted'
    WHERE a.regime = 'single' AND a.method = 'self-edits'
), cells AS (
    SELECT asked_in, prompt, policy, round, student, context_id, avg(accuracy) AS accuracy,
           avg(gain) AS gain, list(artifact_id) AS artifacts,
           prompt = 'implications' AND round = 0 AND any_value(own) AS plain
    FROM measured GROUP BY asked_in, prompt, policy, round, student, context_id
), compared AS (
    SELECT c.*, CASE WHEN NOT plain THEN accuracy - before END AS more
    FROM cells c LEFT JOIN (SELECT asked_in, context_id, avg(accuracy) AS before FROM cells
                            WHERE plain GROUP BY ALL) USING (asked_in, context_id)
)
SELECT prompt, round, coalesce(any_value(w.name), policy) AS writer,
       round(avg(accuracy), 4) AS accuracy,
       round(at_least_0(mean_low(accuracy)), 4) AS low,
       round(at_most_1(mean_high(accuracy)), 4) AS high,
       round(avg(gain), 4) AS gain, round(mean_low(gain), 4) AS gain_low,
       round(mean_high(gain), 4) AS gain_high,
       round(avg(more), 4) AS more_than_plain, round(mean_low(more), 4) AS more_low,
       round(mean_high(more), 4) AS more_high,
       count(*) AS contexts, coalesce(any_value(s.name), student) AS student,
       coalesce(any_value(b.name), asked_in.base) AS base, asked_in.grader, asked_in.dataset,
       len(list_distinct(flatten(list(artifacts)))) AS runs
FROM compared
LEFT JOIN model_names w USING (policy) LEFT JOIN model_names s ON s.policy = student
LEFT JOIN model_names b ON b.policy = asked_in.base
GROUP BY asked_in, prompt, policy, round, student
ORDER BY asked_in.dataset, asked_in.grader, base, prompt, round, writer, student

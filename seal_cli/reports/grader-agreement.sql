-- How far graders agree on the same answers: share, Cohen's kappa, bias in points.
--
-- `against` is the grader whose verdicts came with the answers; `grader` is another one, added by
-- `seal regrade`. Bias is the mean over contexts of what the grader gives more.
-- Needs: `seal regrade ARTIFACT --grader NAME`.
WITH judged AS (
    SELECT DISTINCT a.artifact_id, a.method, a.answer_id, a.context_id, v.grader, v.correct,
           v.artifact_id = a.artifact_id AS original
    FROM verdicts v
    JOIN lineage l ON l.artifact_id = v.artifact_id
    JOIN answers a ON a.artifact_id = l.ancestor AND a.answer_id = v.answer_id
    WHERE v.correct IS NOT NULL
), pairs AS (
    SELECT o.artifact_id, o.method, o.context_id, o.grader AS against, n.grader,
           o.correct::INT AS theirs, n.correct::INT AS ours
    FROM judged o JOIN judged n USING (artifact_id, answer_id)
    WHERE o.original AND n.grader <> o.grader
), contexts_ AS (
    SELECT artifact_id, method, grader, against, context_id, avg(ours) - avg(theirs) AS more
    FROM pairs GROUP BY ALL
), bias AS (
    SELECT artifact_id, method, grader, against, avg(more) AS bias FROM contexts_ GROUP BY ALL
)
SELECT artifact_id, parse_filename(any_value(source)) AS file, method, grader, against,
       count(*) AS answers,
       round(avg((ours = theirs)::INT), 4) AS agreement,
       avg(ours) * avg(theirs) + (1 - avg(ours)) * (1 - avg(theirs)) AS chance,
       round((avg((ours = theirs)::INT) - chance) / (1 - chance), 4) AS kappa,
       round(100 * any_value(bias), 2) AS bias_points,
       round(avg(theirs) FILTER (ours = 1), 4) AS precision,
       round(avg(ours) FILTER (theirs = 1), 4) AS recall
FROM pairs JOIN bias USING (artifact_id, method, grader, against)
JOIN artifacts USING (artifact_id)
GROUP BY artifact_id, method, grader, against
ORDER BY file, method, grader
